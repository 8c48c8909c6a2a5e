package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"meridian/cluster"
	"meridian/cluster/observation"
	"meridian/counterpart"
)

// readWrite gives a role the right to keys with a prefix.
func readWrite(t *testing.T, root *clientv3.Client, role, prefix string) {
	t.Helper()
	if _, err := root.RoleGrantPermission(t.Context(), role, prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
		t.Fatal(err)
	}
}

// login returns a client of a user.
func login(t *testing.T, endpoint, user string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Username: user, Password: "secret", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A node that may not read one table receives what is in the others, and the table as soon as it may.
func TestForbiddenTableDoesNotStopTheOthers(t *testing.T) {
	counterpart.Find(t, "etcd")
	ports := counterpart.FreePorts(t, 2)
	counterpart.StartEtcd(t, t.TempDir(), ports)
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	s := open(t, ports[0], "prod")
	s.accessRetry = 20 * time.Millisecond
	for _, user := range []string{"root", "ams1"} {
		_, err := s.client.UserAdd(t.Context(), user, "secret")
		_, failed := s.client.RoleAdd(t.Context(), user)
		_, refused := s.client.UserGrantRole(t.Context(), user, user)
		if err := errors.Join(err, failed, refused); err != nil {
			t.Fatal(err)
		}
	}
	readWrite(t, s.client, "ams1", "/meridian/prod/v1/")
	readWrite(t, s.client, "ams1", "/meridian/prod/other/")
	if _, err := s.client.AuthEnable(t.Context()); err != nil {
		t.Fatal(err)
	}
	root := login(t, endpoint, "root")
	s.client.Close()
	s.client = login(t, endpoint, "ams1")
	var log strings.Builder
	s.Logger = slog.New(slog.NewTextHandler(&log, nil)) // read when the watch has ended

	other, overrides := make(chan TableUpdate, 1000), make(chan TableUpdate, 1000)
	s.Table("other", func(u TableUpdate) { other <- u })
	table := s.Table("overrides", func(u TableUpdate) { overrides <- u })
	updates := make(chan cluster.Update, 1000)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Watch(ctx, func(u cluster.Update) { updates <- u }) }()
	if u := <-overrides; u.Connected || !errors.Is(u.Err, rpctypes.ErrPermissionDenied) {
		t.Errorf("the forbidden table: %+v", u)
	}
	if u := <-other; !u.Complete || !u.Connected || u.Err != nil {
		t.Errorf("the other table: %+v", u)
	}
	next(t, updates, "the connection", func(u cluster.Update) bool { return u.Connected })
	publish(t, s, observation.Record{Key: "beat/ams1", Value: []byte("heartbeat")})
	next(t, updates, "a heartbeat", has("heartbeat", true))
	if err := table.Put(t.Context(), Entry{Key: "x", Value: []byte("1")}); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a write to the forbidden table: %v", err)
	}

	readWrite(t, root, "ams1", "/meridian/prod/overrides/")
	if u := <-overrides; !u.Complete || u.Err != nil {
		t.Errorf("after the right was given: %+v", u)
	}
	if err := table.Put(t.Context(), Entry{Key: "x", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if u := <-overrides; len(u.Entries) != 1 || string(u.Entries[0].Value) != "1" {
		t.Errorf("written: %+v", u)
	}
	stop()
	<-ended
	if got := strings.Count(log.String(), "a part of etcd may not be read"); got != 1 {
		t.Errorf("reported %d times:\n%s", got, &log)
	}
}
