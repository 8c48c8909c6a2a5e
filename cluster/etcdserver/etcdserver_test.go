package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"meridian/counterpart"
)

// settings returns the configuration file of a single member on loopback.
func settings(t *testing.T, dir string, ports []int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "etcd.yaml")
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	text := fmt.Sprintf(`name: e1
data-dir: %s
listen-client-urls: %s
advertise-client-urls: %s
listen-peer-urls: %s
initial-advertise-peer-urls: %s
initial-cluster: e1=%s
log-outputs: [/dev/null]
unsafe-no-fsync: true
`, dir, client, client, peer, peer, peer)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// start runs a member until the test ends, and returns a client of it.
func start(t *testing.T, c *Config) *clientv3.Client {
	t.Helper()
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: c.ClientURLs(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func read(t *testing.T, file string) *Config {
	t.Helper()
	c, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSnapshotIsRestored restores into another directory what a member had, with later revisions.
func TestSnapshotIsRestored(t *testing.T) {
	c := read(t, settings(t, filepath.Join(t.TempDir(), "data"), counterpart.FreePorts(t, 2)))
	client := start(t, c)
	put, err := client.Put(t.Context(), "/meridian/prod/x", "kept")
	if err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(t.TempDir(), "snapshot.db")
	if err := Save(t.Context(), client, snapshot); err != nil {
		t.Fatal(err)
	}
	if err := Restore(c, snapshot); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("restored over the data of a member: %v", err)
	}

	again := read(t, settings(t, filepath.Join(t.TempDir(), "restored"), counterpart.FreePorts(t, 2)))
	if err := Restore(again, snapshot); err != nil {
		t.Fatal(err)
	}
	got, err := start(t, again).Get(t.Context(), "/meridian/prod/x")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "kept" || got.Header.Revision <= put.Header.Revision+1000 {
		t.Errorf("%v, %v; want the record, at a far later revision", got, err)
	}
}

// TestDefaultsBoundTheSizeOfAMember reads files with and without the settings that bound the size.
func TestDefaultsBoundTheSizeOfAMember(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etcd.yaml")
	for _, c := range []struct {
		text            string
		quota           int64
		mode, retention string
	}{
		{"name: e1", defaultQuota, "revision", "10000"},
		{"name: e1\nquota-backend-bytes: 4096\nauto-compaction-retention: 2h", 4096, "periodic", "2h"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := read(t, file)
		if got.QuotaBackendBytes != c.quota || got.AutoCompactionMode != c.mode || got.AutoCompactionRetention != c.retention || got.Dir != defaultDir {
			t.Errorf("%q: quota %d, compaction %s %s, %s", c.text, got.QuotaBackendBytes, got.AutoCompactionMode, got.AutoCompactionRetention, got.Dir)
		}
	}
}

func TestInvalidSettingsAreErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etcd.yaml")
	for text, want := range map[string]string{
		"":                                      "it is empty; write at least name",
		"name: e1\ndata_dir: /x":                `line 2: unknown key "data_dir"`,
		"name: e1\nlisten-client-urls: 1.2.3.4": `line 2: listen-client-urls: "1.2.3.4" is not a URL with an address and a port`,
		"name: e1\nlisten-peer-urls: [a]":       "line 2: listen-peer-urls: write the URLs in one text",
		"name: [":                               "did not find expected node content",
		"name: e1\nheartbeat-interval: 900":     "election",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), file) {
			t.Errorf("%q: %v, want %s: %s", text, err, file, want)
		}
	}
}

func TestAddressInUseIsABindError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = Start(read(t, settings(t, filepath.Join(t.TempDir(), "data"), []int{port, counterpart.FreePorts(t, 1)[0]})))
	if bind := (*BindError)(nil); !errors.As(err, &bind) {
		t.Errorf("%v, want a BindError", err)
	}
}

func TestUnprotectedAddressesAreFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etcd.yaml")
	text := "name: e1\nlisten-client-urls: http://127.0.0.1:1,http://10.0.0.1:2,https://10.0.0.1:3\nadvertise-client-urls: https://10.0.0.1:3\nlisten-peer-urls: http://0.0.0.0:4\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(read(t, file).Unprotected()); got != "[http://10.0.0.1:2 http://0.0.0.0:4]" {
		t.Error(got)
	}
}
