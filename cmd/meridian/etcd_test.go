package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"meridian/cluster/observation"
	"meridian/counterpart"
)

// etcdSettings writes the configuration of a member on loopback, with more lines.
func etcdSettings(t *testing.T, name string, client, peer int, more string) (file, data string) {
	t.Helper()
	folder := t.TempDir()
	file, data = filepath.Join(folder, "etcd.yaml"), filepath.Join(folder, "data")
	writeFile(t, file, fmt.Sprintf(`name: %s
data-dir: %s
listen-client-urls: http://127.0.0.1:%d
advertise-client-urls: http://127.0.0.1:%[3]d
listen-peer-urls: http://127.0.0.1:%d
initial-advertise-peer-urls: http://127.0.0.1:%[4]d
log-outputs: [/dev/null]
unsafe-no-fsync: true
strict-reconfig-check: false # otherwise members must have been connected for five seconds
heartbeat-interval: 10
election-timeout: 100
%s`, name, data, client, peer, more))
	return file, data
}

// nodeOf writes the configuration of a node in a cluster with an etcd on loopback.
func nodeOf(t *testing.T, port int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	public := observation.FormatPublicKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	writeFile(t, file, fmt.Sprintf(`node: a
cluster: {name: prod, region: east, etcd: {endpoints: ["http://127.0.0.1:%d"]}, identity: a.ed25519, trust: {a: %q}}
zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com}}
`, port, public))
	return file
}

// succeed runs a command and returns what it printed.
func succeed(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
		t.Fatalf("%q: exit %d\n%s%s", args, code, &stdout, &stderr)
	}
	return stdout.String()
}

// TestEtcdIsRunAndOperated runs a member, adds a second one with the settings that add-member prints, removes it, and
// restores a snapshot.
func TestEtcdIsRunAndOperated(t *testing.T) {
	t.Parallel()
	ports := counterpart.FreePorts(t, 4)
	first, data := etcdSettings(t, "e1", ports[0], ports[1], fmt.Sprintf("initial-cluster: e1=http://127.0.0.1:%d\n", ports[1]))
	node := nodeOf(t, ports[0])
	stop := startMember(t, first, "e1")
	if got := succeed(t, "etcd", "members", "-c", node); !strings.Contains(got, "e1    leader") {
		t.Errorf("members prints\n%s", got)
	}
	for _, wrong := range []string{"127.0.0.1:2380", "10.3.0.1", "https://10.3.0.1", "ftp://10.3.0.1:2380"} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"etcd", "add-member", "e2", wrong, "-c", node}, &stdout, &stderr); code != exitConfig || !strings.Contains(stderr.String(), "e.g. https://10.3.0.1:2380") {
			t.Errorf("add-member %s: exit %d\n%s", wrong, code, &stderr)
		}
	}
	added := succeed(t, "etcd", "add-member", "e2", fmt.Sprintf("http://127.0.0.1:%d", ports[3]), "-c", node)
	if !strings.HasPrefix(added, "name: e2\n") || !strings.HasSuffix(added, "initial-cluster-state: existing\n") {
		t.Errorf("add-member prints\n%s", added)
	}
	_, cluster, _ := strings.Cut(added, "initial-cluster:")
	second, _ := etcdSettings(t, "e2", ports[2], ports[3], "initial-cluster:"+cluster)
	stopSecond := startMember(t, second, "e2")
	snapshot := filepath.Join(t.TempDir(), "backup.db")
	succeed(t, "etcd", "snapshot", "-o", snapshot, "-c", node)
	if info, err := os.Stat(snapshot); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the snapshot: %v %v, want one that only its owner can read", info, err)
	}
	if _, err := memberCalled("", []*etcdserverpb.Member{{ID: 7}}); err == nil {
		t.Error("a member without a name is found by an empty one")
	}
	succeed(t, "etcd", "remove-member", "e2", "-c", node)
	stopSecond()
	stop()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	succeed(t, "etcd", "restore", snapshot, "--config-file", first)
	startMember(t, first, "e1")
	if got := succeed(t, "etcd", "members", "-c", node, "-o", "json"); !strings.Contains(got, `"state": "leader"`) || strings.Contains(got, `"e2"`) {
		t.Errorf("after restoring, members prints\n%s", got)
	}
}

// startMember runs meridian etcd in a process until it serves.
func startMember(t *testing.T, file, name string) (stop func()) {
	t.Helper()
	stop = counterpart.Start(t, "meridian", "etcd", "--config-file", file)
	node := nodeOfMember(t, file)
	counterpart.Await(t, func() error {
		var stdout, stderr bytes.Buffer
		if run(t.Context(), []string{"etcd", "members", "-c", node}, &stdout, &stderr); !strings.Contains(stdout.String(), name+" ") {
			return fmt.Errorf("%s does not serve: %s%s", name, &stdout, &stderr)
		}
		return nil
	})
	return stop
}

// nodeOfMember writes the configuration of a node that uses the member that a file configures.
func nodeOfMember(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var port int
	_, rest, _ := strings.Cut(string(text), "listen-client-urls: http://127.0.0.1:")
	if _, err := fmt.Sscan(rest, &port); err != nil {
		t.Fatal(err)
	}
	return nodeOf(t, port)
}

func TestEtcdCommandsReportErrors(t *testing.T) {
	node := nodeOf(t, counterpart.FreePorts(t, 1)[0])
	alone := filepath.Join(t.TempDir(), "meridian.yaml")
	writeFile(t, alone, "zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com}}\n")
	missing := filepath.Join(t.TempDir(), "etcd.yaml")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"etcd", "--config-file", missing}, "open " + missing + ": no such file or directory"},
		{[]string{"etcd", "snapshot", "-c", node}, "no file for the snapshot; write meridian etcd snapshot -o backup.db"},
		{[]string{"etcd", "members", "-c", alone}, alone + " has no cluster"},
		{[]string{"etcd", "restore", "x", "--config-file", missing}, "no such file or directory"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &stdout, &stderr); code != exitConfig || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%q: exit %d, %s; want %s", c.args, code, &stderr, c.want)
		}
	}
}
