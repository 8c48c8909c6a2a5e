// Package etcd carries the records of the vantages of a cluster on etcd (API 3).
//
// Each record is a key below PREFIX/CLUSTER/v1/. A publication is one transaction, so that the heartbeat at its end is read
// with the blocks before it. No lease is used: etcd extends leases after each change of its leader, so that they do not show
// that a node has died; see the heartbeats of package observation.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"

	"meridian/cluster"
	"meridian/cluster/observation"
)

const (
	requestTimeout = 5 * time.Second
	minBackoff     = 250 * time.Millisecond
	maxBackoff     = time.Second
	keepAlive      = 2 * time.Second
	maxOperations  = 100 // in a transaction; etcd allows 128
)

// connecting is how a lost connection is made again: a node must be back a few seconds after etcd, however long that was away.
// The default of gRPC waits up to two minutes.
var connecting = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
	MinConnectTimeout: 3 * time.Second, // for a handshake over 300 ms, twice
}

// Options holds the settings of a Store.
type Options struct {
	Endpoints []string
	TLS       *tls.Config // nil: none
	Prefix    string
	Cluster   string
	Patience  cluster.Patience // without a record
	Logger    *slog.Logger
}

// Store is a connection to etcd. Its methods are safe for concurrent use.
type Store struct {
	client *clientv3.Client
	base   string // of all keys of the cluster
	prefix string // of the records of the vantages
	tables []*Table

	accessRetry time.Duration
	Options
}

// Open returns a store. It connects in the background: etcd need not be reachable.
func Open(o Options) (*Store, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: o.Endpoints, TLS: o.TLS, DialTimeout: requestTimeout,
		DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAlive,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(connecting)},
		Logger:      zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("etcd %s: %w", strings.Join(o.Endpoints, ", "), err)
	}
	base := strings.TrimSuffix(o.Prefix, "/") + "/" + o.Cluster + "/"
	return &Store{client: client, base: base, prefix: base + "v1/", accessRetry: accessRetry, Options: o}, nil
}

// Close closes the connection.
func (s *Store) Close() error { return s.client.Close() }

// Transport returns the functions of s.
func (s *Store) Transport() cluster.Transport {
	return cluster.Transport{Publish: s.Publish, Watch: s.Watch}
}

// Publish writes records, in their order, in one transaction or a few.
func (s *Store) Publish(ctx context.Context, records []observation.Record) error {
	for len(records) > 0 {
		part := records[:min(len(records), maxOperations)]
		records = records[len(part):]
		puts := make([]clientv3.Op, len(part))
		for i, r := range part {
			puts[i] = clientv3.OpPut(s.prefix+r.Key, string(r.Value))
		}
		if _, err := s.client.Txn(ctx).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

// Watch calls receive with all records, and then with each that changes, until ctx ends. After an error it reads all again:
// a watch that only continued would miss what etcd has compacted.
func (s *Store) Watch(ctx context.Context, receive func(cluster.Update)) {
	pause, quiet := minBackoff, quietLog{}
	for ctx.Err() == nil {
		read := false
		err := s.watchOnce(ctx, func(u cluster.Update) { read = true; receive(u) })
		if ctx.Err() != nil {
			return
		}
		receive(cluster.Update{})
		for _, t := range s.tables {
			t.receive(TableUpdate{})
		}
		if read {
			pause, quiet = minBackoff, quietLog{}
		}
		if due, times := quiet.due(time.Now()); due {
			s.Logger.Warn("etcd cannot be watched; trying again", "endpoints", strings.Join(s.Endpoints, " "), "error", s.diagnose(ctx, err), "times", times)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)): // not all nodes at once
		}
		pause = min(2*pause, maxBackoff)
	}
}

// The pauses between two log lines of an error that lasts.
const (
	minQuiet = 10 * time.Second
	maxQuiet = 10 * time.Minute
)

// quietLog says which errors in a row to log: the first, and then one after pauses that grow.
type quietLog struct {
	times int // errors in a row
	pause time.Duration
	next  time.Time
}

// due counts an error, and reports whether to log it.
func (q *quietLog) due(now time.Time) (due bool, times int) {
	q.times++
	if now.Before(q.next) {
		return false, q.times
	}
	q.pause = min(max(2*q.pause, minQuiet), maxQuiet)
	q.next = now.Add(q.pause)
	return true, q.times
}

// watchOnce reads all records and watches until an error.
func (s *Store) watchOnce(ctx context.Context, receive func(cluster.Update)) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	stored, err := s.read(ctx, s.prefix)
	if err != nil {
		return err
	}
	tables, err := s.watchTables(ctx)
	if err != nil {
		return err
	}
	changes := s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(stored.Header.Revision+1), clientv3.WithFilterDelete())
	receive(cluster.Update{Values: s.inOrder(stored), Connected: true})
	heard, lost := make(chan struct{}, 1), make(chan error, 1)
	go func() { lost <- s.Patience.Await(ctx, heard, s.ask) }()
	for {
		select {
		case r, ok := <-changes:
			if err := watchError(r, ok, stored.Header.ClusterId); err != nil {
				return err
			}
			select {
			case heard <- struct{}{}:
			default:
			}
			receive(cluster.Update{Values: valuesOf(r.Events), Live: true, Connected: true})
		case r := <-tables:
			if r.ok && r.all != nil {
				r.table.receive(*r.all)
				continue
			}
			if err := watchError(r.response, r.ok, stored.Header.ClusterId); err != nil {
				return err
			}
			r.table.receive(r.table.update(r.response))
		case err := <-lost: // the heartbeats of this node would come, too
			return err
		}
	}
}

// ask returns why etcd does not answer.
func (s *Store) ask(ctx context.Context) error {
	if s.client.ActiveConnection().GetState() == connectivity.TransientFailure {
		return errors.New("no endpoint can be reached")
	}
	_, err := s.client.Get(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	return err
}

// read returns all keys with a prefix.
func (s *Store) read(ctx context.Context, prefix string) (*clientv3.GetResponse, error) {
	ctx, done := context.WithTimeout(ctx, requestTimeout)
	defer done()
	return s.client.Get(ctx, prefix, clientv3.WithPrefix())
}

// watchError returns why a watch cannot go on after a response.
func watchError(r clientv3.WatchResponse, ok bool, of uint64) error {
	switch {
	case !ok:
		return errors.New("the watch ended")
	case r.Err() != nil:
		return r.Err()
	case r.Header.ClusterId != of:
		return errors.New("the watch continues on another etcd cluster")
	}
	return nil
}

// inOrder returns the stored values, the blocks and records before the heartbeats that complete them.
func (s *Store) inOrder(stored *clientv3.GetResponse) (values [][]byte) {
	for _, prefix := range []string{observation.BlockKeys, observation.NodeKeys, observation.HeartbeatKeys} {
		for _, kv := range stored.Kvs {
			if strings.HasPrefix(string(kv.Key), s.prefix+prefix) {
				values = append(values, kv.Value)
			}
		}
	}
	return values
}

func valuesOf(events []*clientv3.Event) [][]byte {
	values := make([][]byte, 0, len(events))
	for _, e := range events {
		values = append(values, e.Kv.Value)
	}
	return values
}
