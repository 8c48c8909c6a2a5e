package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"meridian/cluster/rollout"
)

// Rollout returns the functions with which nodes share their configuration. Its records are below PREFIX/CLUSTER/config/v1/,
// apart from those of the vantages, which have no right to read them.
func (s *Store) Rollout() rollout.Store {
	c := configStore{s.client, strings.TrimSuffix(s.Prefix, "/") + "/" + s.Cluster + "/config/v1/"}
	return rollout.Store{Read: c.read, Write: c.write, Watch: c.watch}
}

// configStore holds the records of the shared configuration.
type configStore struct {
	client *clientv3.Client
	prefix string
}

func (s configStore) read(ctx context.Context, prefix string) (map[string]rollout.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stored, err := s.client.Get(ctx, s.prefix+prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, explain(err)
	}
	all := make(map[string]rollout.Value, len(stored.Kvs))
	for _, kv := range stored.Kvs {
		all[strings.TrimPrefix(string(kv.Key), s.prefix)] = rollout.Value{Data: kv.Value, Revision: kv.ModRevision}
	}
	return all, nil
}

func (s configStore) write(ctx context.Context, c rollout.Change) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var conditions []clientv3.Cmp
	for key, revision := range c.If {
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(s.prefix+key), "=", revision))
	}
	var ops []clientv3.Op
	for key, value := range c.Puts {
		ops = append(ops, clientv3.OpPut(s.prefix+key, string(value)))
	}
	for _, prefix := range c.Deletes {
		ops = append(ops, clientv3.OpDelete(s.prefix+prefix, clientv3.WithPrefix()))
	}
	done, err := s.client.Txn(ctx).If(conditions...).Then(ops...).Commit()
	if err != nil {
		return false, explainWrite(err)
	}
	return done.Succeeded, nil
}

// watch reports changes of the state. It carries no values: the reader reads all again, so that nothing is missed after a
// compaction or a lost connection.
func (s configStore) watch(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		watching, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
		for r := range s.client.Watch(watching, s.prefix+rollout.StateKeys, clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
			if r.Err() != nil {
				break
			}
			changed()
		}
		stop()
		select {
		case <-ctx.Done():
		case <-time.After(minBackoff + rand.N(maxBackoff)): // not all nodes at once
		}
	}
}

// explainWrite is explain for a write. Unless etcd has refused it, etcd may have made it: the answer is lost.
func explainWrite(err error) error {
	var refused rpctypes.EtcdError
	if errors.As(err, &refused) && !slices.Contains([]codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown}, refused.Code()) {
		return explain(err)
	}
	return &rollout.UncertainError{Err: explain(err)}
}

// explain says what to do about errors of etcd that an operator must act on.
func explain(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("etcd is full and refuses every write; compact and defragment it, disarm its alarm, and set automatic compaction: %w", err)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("the user of this node in etcd lacks a right; see the roles in the manual: %w", err)
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return errors.New("etcd does not answer in time; more than half of its members must run")
	}
	return err
}
