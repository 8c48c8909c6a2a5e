package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/cluster/rollout"
	"meridian/control"
	"meridian/control/state"
	"meridian/dnssec/keys"
	"meridian/server/answer"
	"meridian/snapshot"
)

func TestStatusBeginsWithWarnings(t *testing.T) {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kept := control.StateStatus{Dir: "/var/lib/meridian", Persisted: true}
	for name, c := range map[string]struct {
		status control.Status
		want   string
	}{
		"nothing": {control.Status{State: kept}, ""},
		"the cannot write state file, whatever was said": {
			control.Status{State: control.StateStatus{Dir: "/var/lib/meridian"}},
			"WARNING: in memory only: a restart loses overrides and health states (/var/lib/meridian cannot be written, see the log)\n",
		},
		"no state is configured, and nothing was said": {control.Status{}, ""},
		"no state is configured, and something was said": {
			control.Status{Overrides: []control.Override{{Kind: "drained"}}},
			"WARNING: in memory only: a restart loses overrides (the configuration has no state)\n",
		},
		"etcd is away, and the name is taken": {
			control.Status{State: kept, Cluster: &control.ClusterSummary{Node: "ams1", Etcd: "unreachable", NameTaken: true}},
			"WARNING: etcd cannot be reached: health states hold unless this node is a majority of the regions, and only --local overrides can be set; see meridian cluster status\n" +
				"WARNING: another process publishes as \"ams1\" in the cluster: the opinions of this one do not count until that ends; give each node its own name and identity\n",
		},
		"a node has rolled a canary back": {
			control.Status{State: kept, Cluster: &control.ClusterSummary{Etcd: "ok", Canary: &control.CanaryRun{
				Generation: 7, Where: "5% of the clients", Since: since, Until: now, Result: rollout.RolledBack, By: "ams1", Why: `makes pool "web" fail open`,
			}}},
			"WARNING: the canary of generation 7 on 5% of the clients, since " + timeText(since) + ", was rolled back at " + timeText(now) +
				" by ams1: makes pool \"web\" fail open; meridian config history shows it\n",
		},
		"an operator has ended a canary": {
			control.Status{State: kept, Cluster: &control.ClusterSummary{Etcd: "ok", Canary: &control.CanaryRun{Generation: 7, Result: rollout.Canceled}}}, "",
		},
		"prober stalled after a panic": {
			control.Status{State: kept, Prober: control.ProberStatus{At: now.Add(-72 * time.Second), Stalled: true, Panics: 2}},
			"WARNING: PROBER STALLED for 1m12s: health states are frozen until it recovers; see the log, and restart the server if it lasts\n" +
				"WARNING: the prober panicked 2 times since the server started, and recovered; see the log\n",
		},
		"a packet is in quarantine": {
			control.Status{State: kept, Quarantine: []answer.QuarantinedPacket{{Query: "www.example.com. A", Client: "192.0.2.1", Reason: "a defect", Since: now, Until: now.Add(10 * time.Minute), Dropped: 7}}},
			"WARNING: a packet from 192.0.2.1 (www.example.com. A) caused a panic at " + timeText(now) + ": a defect; the same packet is dropped until " +
				timeText(now.Add(10*time.Minute)) + ", 7 so far; see the log, and please report it\n",
		},
		"a build panicked": {
			control.Status{State: kept, BuildPanics: 1},
			"WARNING: building a configuration or its pools panicked once since the server started; the previous one keeps serving; see the log, and please report it\n",
		},
		"a reload was refused": {
			control.Status{State: kept, Reload: control.ReloadStatus{At: now.Add(-time.Minute), Refused: true, Error: "listen on 192.0.2.1:53: no such address"}},
			"WARNING: the last reload, 1m0s ago, was rejected, the previous configuration keeps serving: listen on 192.0.2.1:53: no such address\n",
		},
		"the secrets of cookies cannot be read": {
			control.Status{State: kept, Cookies: &control.CookiesStatus{File: "/etc/secrets", Secrets: 1, Error: "it has no secret"}},
			"WARNING: the secrets of cookies cannot be read again, the previous ones stay: /etc/secrets: it has no secret\n",
		},
		"an interface has no AF_XDP": {
			control.Status{State: kept, XDP: []control.XDPStatus{{Interface: "eth0", Error: "interface eth0: it does not exist"}, {Interface: "eth1", Attached: true}}},
			"WARNING: sockets answer the queries of an interface of server.xdp: interface eth0: it does not exist\n",
		},
		"a maintenance window is refused, another is open": {
			control.Status{State: kept, Maintenance: []control.MaintenanceStatus{
				{Name: "night", State: control.WindowOpen, End: now},
				{Name: "patching", State: control.WindowRefused, End: now, Error: "guardrail freeze: true"},
			}},
			"WARNING: maintenance window patching does not open, and is tried again each minute until " + timeText(now) + ": guardrail freeze: true\n",
		},
		"a scheduled override is refused": {
			control.Status{State: kept, Overrides: []control.Override{
				{Target: control.Selector{Pool: "web"}, Kind: "drained", At: now, Error: "guardrail freeze: true"},
			}},
			"WARNING: web is scheduled to be drained from " + timeText(now) + "; not set yet, and tried again each minute: guardrail freeze: true\n",
		},
		"a rollover waits": {
			control.Status{State: kept, DNSSEC: []snapshot.ZoneKeys{{Report: keys.Report{Zone: "example.com.", Waits: "the DS of key 7", Since: &since, Overdue: true}}}},
			"WARNING: the rollover of example.com. waits for the DS of key 7 since 2026-01-01T00:00:00Z; see meridian keys ds example.com.\n",
		},
		"the state was set aside": {
			control.Status{State: control.StateStatus{Dir: "/s", Persisted: true, Quarantined: &state.Quarantined{File: "/s/state.json.corrupt-1", Error: "its checksum is wrong"}}},
			"WARNING: started without saved state: the state file could not be read and was moved to /s/state.json.corrupt-1: its checksum is wrong\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.status.At = now
			var out strings.Builder
			if err := printStatus(&out, &c.status, false); err != nil {
				t.Fatal(err)
			}
			if got, _, _ := strings.Cut(out.String(), "serving "); got != c.want {
				t.Errorf("got %swant %s", got, c.want)
			}
		})
	}
}

// TestStatusShowsRejectedReload checks the warning, and that an accepted reload ends it.
func TestStatusShowsRejectedReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig+more, ""), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	api := "--server=http://" + stderr.await(t, `msg=serving .* admin=(\S+)`)[1]
	expectMatch(t, said(t, exitOK, "status", api), `^serving `)
	write("stat: /nowhere\nstat2: /nowhere\n")
	stderr.await(t, `msg="reload refused`)
	expectMatch(t, said(t, exitOK, "status", api),
		`^WARNING: the last reload, \d+s ago, was rejected, the previous configuration keeps serving: 2 errors in the configuration: \S+meridian.yaml:\d+:1: .*"stat"`)
	expectMatch(t, said(t, exitOK, "status", api, "-o", "json"), `(?s)"reload": \{\s+"at": "[^"]+",\s+"refused": true,\s+"error": "2 errors in the configuration",\s+"detail": "`)
	write("")
	stderr.await(t, `msg=reloaded`)
	expectMatch(t, said(t, exitOK, "status", api), `^serving `)
}

func TestStatusShowsQuarantinedState(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "meridian.yaml"), filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "state.json"), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig+"state: state\n", ""), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	api := "--server=http://" + stderr.await(t, `msg=serving .* admin=(\S+)`)[1]
	expectMatch(t, said(t, exitOK, "status", api), `^WARNING: started without saved state: .*/state.json.corrupt-\S+: it does not begin as a state file does\n`)
}

// TestStatusShowsRefusedChangeOnce checks that the reason is among the warnings only.
func TestStatusShowsRefusedChangeOnce(t *testing.T) {
	const reason = "guardrail freeze: true"
	s := control.Status{
		Overrides:   []control.Override{{Target: control.Selector{Pool: "web"}, Kind: "drained", At: time.Now(), Error: reason}},
		Maintenance: []control.MaintenanceStatus{{Name: "patching", State: control.WindowRefused, Error: reason}},
	}
	var out strings.Builder
	if err := printStatus(&out, &s, false); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, reason) != 2 || strings.Count(text, "; refused, see the warning above\n") != 2 || s.Overrides[0].Error != reason {
		t.Error(text)
	}
}
