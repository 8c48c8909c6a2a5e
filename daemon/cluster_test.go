package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/cluster/observation"
	"meridian/config"
	"meridian/snapshot"
)

// clusteredAs returns a configuration of a node of a cluster.
func clusteredAs(identity, key string) string {
	return fmt.Sprintf(`%s
node: a
cluster:
  name: prod
  region: east
  etcd: {endpoints: ["http://127.0.0.1:1"]}
  identity: %s
  trust: {a: %q}
`, steered, identity, key)
}

// A node that cannot join its cluster would decide alone, and fail over where the others do not.
func TestNodeThatCannotJoinDoesNotStart(t *testing.T) {
	const foreign = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	identity := filepath.Join(t.TempDir(), "node.ed25519")
	if _, err := observation.CreateIdentity(identity); err != nil {
		t.Fatal(err)
	}
	readable := filepath.Join(t.TempDir(), "node.ed25519")
	if _, err := observation.CreateIdentity(readable); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	folder, broken := t.TempDir(), filepath.Join(t.TempDir(), "broken.ed25519")
	if err := os.WriteFile(broken, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ identity, want string }{
		{folder, "cluster.identity: " + folder + " is not a regular file; make one with meridian cluster identity -o FILE"},
		{broken, "cluster.identity: " + broken + " is not an Ed25519 private key in PEM; make one with meridian cluster identity -o FILE"},
		{readable, "cluster.identity: other users can read it: chmod 600 " + readable},
		{"missing.ed25519", "cluster.identity: open missing.ed25519: no such file or directory; make it with"},
		{identity, "cluster.trust: the key of a is not that of " + identity + "; write ed25519:"},
	} {
		l := Daemon{
			Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) {
				cfg, _, err := config.Parse("meridian.yaml", []byte(clusteredAs(c.identity, foreign)))
				if err != nil {
					return nil, err
				}
				built, _, err := b(cfg)
				return built, err
			},
			Ready:  func([]netip.AddrPort) { t.Error("it serves") },
			Logger: slog.New(slog.DiscardHandler),
		}
		if err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestReloadWarnsOfClusterChange reloads other settings of the cluster, the same ones at another place, and none.
func TestReloadWarnsOfClusterChange(t *testing.T) {
	identity := filepath.Join(t.TempDir(), "node.ed25519")
	key, err := observation.CreateIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	clustered := clusteredAs(identity, observation.FormatPublicKey(key))
	r := start(t, clustered)
	for i, step := range []struct {
		text   string
		warned int
	}{
		{"# a comment\n" + clustered, 0},
		{steered, 1},
		{strings.Replace(clustered, "region: east\n  etcd", "region: west\n  etcd", 1), 2},
		{clustered, 2},
	} {
		r.reload(step.text)
		logged := strings.Join(r.log.with("cluster"), "")
		if got := strings.Count(logged, "the settings of the cluster have changed; they take effect at a restart or an upgrade"); got != step.warned {
			t.Errorf("step %d: %d warnings, want %d\n%s", i, got, step.warned, logged)
		}
	}
}
