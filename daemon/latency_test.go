package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/discovery"
	"meridian/health"
	"meridian/pools"
	"meridian/snapshot"
)

// latencyTest is an instance that serves with a latency table, without its loop.
type latencyTest struct {
	*instance
	*generation
	t    *testing.T
	file string
	log  bytes.Buffer
}

// startMeasuring begins with a table of the given age.
func startMeasuring(t *testing.T, options, table string, age time.Duration) *latencyTest {
	m := &latencyTest{t: t, file: filepath.Join(t.TempDir(), "latency.csv")}
	m.write(table, age)
	log := slog.New(slog.NewTextHandler(&m.log, nil))
	m.instance = newInstance(&Daemon{Logger: log})
	m.tracker, m.prober = discovery.New(discovery.Options{}), health.NewProber(health.Options{})
	probing, stop := context.WithCancel(context.Background())
	probed := make(chan struct{})
	go func() { defer close(probed); m.prober.Run(probing) }()
	loaded := m.load(options)
	m.server.Begin(loaded)
	m.control.Use(m.prober, nil)
	m.prepared(loaded)
	t.Cleanup(func() {
		m.Release()
		stop()
		<-probed
		m.tracker.Close()
		m.poller.Close()
	})
	return m
}

// prepared serves a loaded configuration.
func (m *latencyTest) prepared(loaded *snapshot.Snapshot) {
	k, err := m.prepare(context.Background(), loaded)
	if err != nil {
		m.t.Fatal(err)
	}
	m.generation = k
	before, err := m.use(k, true)
	if err != nil {
		m.t.Fatal(err)
	}
	if before != nil {
		before.Release()
	}
}

func (m *latencyTest) load(options string) *snapshot.Snapshot {
	build := snapshot.Build // as at start
	if m.generation != nil {
		build = m.builder()
	}
	snapshot, _, err := build(m.config(options))
	if err != nil {
		m.t.Fatal(err)
	}
	return snapshot
}

func (m *latencyTest) config(options string) *config.Config {
	cfg, _, err := config.Parse("meridian.yaml", fmt.Appendf(nil, `
server: {listen: ["127.0.0.1:0"]}
geo: {networks: {192.0.2.0/24: {region: near}}}
latency: {file: %q%s}
regions:
  near: {location: [0, 0]}
  far: {location: [0, 90]}
pools:
  web:
    policy: latency
    members:
      - {name: near, region: near, addresses: [127.0.0.1]}
      - {name: far, region: far, addresses: [127.0.0.2]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`, m.file, options))
	if err != nil {
		m.t.Fatal(err)
	}
	return cfg
}

// reload reloads a valid configuration.
func (m *latencyTest) reload(options string) {
	m.t.Helper()
	m.prepared(m.load(options))
}

// write replaces the table with one of some age, by renaming.
func (m *latencyTest) write(table string, age time.Duration) {
	next := m.file + ".next"
	at := time.Now().Add(-age)
	for _, err := range []error{os.WriteFile(next, []byte(table), 0o600), os.Chtimes(next, at, at), os.Rename(next, m.file)} {
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// poll polls the file as if its time had come, and expects the region of the client's answer and
// a line in the log; empty: no line.
func (m *latencyTest) poll(want, logged string) {
	m.t.Helper()
	m.pollLatency(context.Background(), m.generation, time.Now())
	m.expect(want, logged)
}

func (m *latencyTest) expect(want, logged string) {
	m.t.Helper()
	snapshot := m.server.Snapshot()
	s := snapshot.Pools.Scratch()
	snapshot.Pools.Decide(pools.Request{Answers: 1, Client: netip.MustParseAddr("192.0.2.1")}, s)
	if got := map[string]string{"127.0.0.1": "near", "127.0.0.2": "far"}[s.Addrs[0].String()]; got != want {
		m.t.Errorf("the client gets %s, want %s", got, want)
	}
	if text := m.log.String(); !strings.Contains(text, logged) || logged == "" && text != "" {
		m.t.Errorf("logged %q, want %q", text, logged)
	}
	m.log.Reset()
}

func (m *latencyTest) status() *control.LatencyStatus {
	m.t.Helper()
	s, err := m.control.Status(control.Selector{})
	if err != nil {
		m.t.Fatal(err)
	}
	return s.Latency
}

const (
	farIsQuick = "192.0.2.0/24,far,2\n"
	farIsSlow  = "192.0.2.0/24,far,500\n192.0.2.0/24,near,20\n"
)

func TestChangedLatencyTableIsReloaded(t *testing.T) {
	t.Parallel()
	m := startMeasuring(t, "", farIsQuick, time.Hour)
	m.expect("far", "")
	m.poll("far", "")
	m.write(farIsSlow, 0)
	m.poll("near", "latency table reloaded")
	if s := m.status(); s.Rows != 2 || s.Stale || s.Error != "" || s.File != m.file {
		t.Errorf("status %+v", s)
	}
}

func TestBrokenLatencyTableKeepsOldOne(t *testing.T) {
	t.Parallel()
	m := startMeasuring(t, "", farIsQuick, time.Hour)
	m.write("192.0.2.0/24,far,-5\n", 0)
	m.poll("far", "latency.csv:1:18: a round trip of -5 ms")
	m.poll("far", "") // logged once
	if s := m.status(); s.Refused != 1 || !strings.Contains(s.Error, "a round trip of -5 ms") {
		t.Errorf("status %+v", s)
	}
	if err := os.Remove(m.file); err != nil {
		t.Fatal(err)
	}
	m.poll("far", "no such file")
	m.poll("far", "")
	m.write(farIsSlow, 0)
	m.poll("near", "latency table reloaded")
	if s := m.status(); s.Refused != 2 || s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

func TestStaleLatencyTableIsIgnored(t *testing.T) {
	t.Parallel()
	m := startMeasuring(t, ", max_age: 1h", farIsQuick, 2*time.Hour)
	m.expect("near", "older than max_age")
	m.poll("near", "")
	if s := m.status(); !s.Stale || s.Rows != 0 {
		t.Errorf("status %+v", s)
	}
	m.write(farIsQuick, time.Minute)
	m.poll("far", "latency table reloaded")
	m.pollLatency(context.Background(), m.generation, time.Now().Add(time.Hour))
	m.expect("near", "older than max_age")
}

// A quarter of 60 ms plus the rest of 5 ms is less than the 20 ms of near; after a second update
// it is more. Only new content of the file counts, however often it is read.
func TestLatencyIsSmoothedByAlpha(t *testing.T) {
	t.Parallel()
	const options = ", alpha: 25%, tolerance: 0s"
	m := startMeasuring(t, options, "192.0.2.0/24,far,5\n192.0.2.0/24,near,20\n", time.Hour)
	m.expect("far", "")
	const worse = "192.0.2.0/24,far,60\n192.0.2.0/24,near,20\n"
	m.write(worse, time.Minute) // 18.75
	m.poll("far", "latency table reloaded")
	m.reload(options)
	m.expect("far", "")
	m.write(worse, 0) // as a copy does
	m.poll("far", "latency table reloaded")
	m.reload(options)
	m.expect("far", "")
	m.reload(", alpha: 100%, tolerance: 0s") // the file's own
	m.expect("near", "")
}

func TestReloadAppliesNewLatencyTableOnce(t *testing.T) {
	const options = ", alpha: 25%, tolerance: 0s"
	m := startMeasuring(t, options, "192.0.2.0/24,far,5\n192.0.2.0/24,near,20\n", time.Hour)
	m.write("192.0.2.0/24,far,60\n192.0.2.0/24,near,20\n", 0) // 18.75
	m.reload(options)
	m.poll("far", "")
	m.write("192.0.2.0/24,far,60.0\n192.0.2.0/24,near,20\n", 0) // 29.1
	m.reload(options)
	m.poll("near", "")
}

func TestReloadWithBrokenLatencyTableKeepsOldOne(t *testing.T) {
	m := startMeasuring(t, "", farIsQuick, time.Hour)
	m.write("192.0.2.0/24,far,-5\n", 0)
	m.reload(", tolerance: 1ms")
	m.expect("far", "latency table rejected; the old one stays in use")
	m.poll("far", "") // logged before
	if s := m.status(); s.Rows != 1 || s.Refused != 1 || !strings.Contains(s.Error, "latency.csv:1:18: a round trip of -5 ms") {
		t.Errorf("status %+v", s)
	}
	if err := os.Remove(m.file); err != nil {
		t.Fatal(err)
	}
	m.reload("")
	m.expect("far", "no such file")
	m.poll("far", "")
	m.write(farIsSlow, 0)
	m.reload("")
	m.expect("near", "")
	if s := m.status(); s.Rows != 2 || s.Refused != 0 || s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

// An earlier table of another file does not replace a broken table at a reload.
func TestReloadToBrokenLatencyTableIsRefused(t *testing.T) {
	m := startMeasuring(t, "", farIsQuick, time.Hour)
	m.file = filepath.Join(t.TempDir(), "other.csv")
	m.write("192.0.2.0/24,far,-5\n", 0)
	for name, build := range map[string]snapshot.Builder{"at the start": snapshot.Build, "at a reload": m.builder()} {
		snapshot, _, err := build(m.config(""))
		if err == nil || !strings.Contains(err.Error(), "other.csv:1:18: a round trip of -5 ms") {
			t.Errorf("%s: %v", name, err)
		}
		if snapshot != nil {
			_ = snapshot.Close()
		}
	}
}

// SIGHUP applies other changes of the configuration while the table is broken.
func TestBrokenLatencyTableDoesNotRefuseReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "latency.csv")
	write := func(table string) {
		if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("192.0.2.0/24,east,2\n")
	text := fmt.Sprintf("latency: {file: %q}", file) + steered
	r := start(t, text)
	write("192.0.2.0/24,east\n")
	r.reload(strings.Replace(text, "name: b", "name: renamed", 1))
	if states := r.states(t); !strings.Contains(states, "web/renamed=") {
		t.Errorf("the new configuration does not serve: %s", states)
	}
	if s, err := r.Status(control.Selector{}); err != nil || s.Latency.Rows != 1 || !strings.Contains(s.Latency.Error, "latency.csv:1:1: 2 columns") {
		t.Errorf("%v: status %+v", err, s.Latency)
	}
}
