package daemon

import (
	"strings"
	"testing"
)

// TestReloadWarnsOfClusterChange reloads other settings of the cluster, the same ones at another place, and none.
func TestReloadWarnsOfClusterChange(t *testing.T) {
	clustered := steered + `
node: a
cluster:
  name: prod
  region: east
  etcd: {endpoints: ["http://127.0.0.1:1"]}
  identity: missing.ed25519
  trust: {a: "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}
`
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
