package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/pools"
	"meridian/snapshot"
)

// TestMain runs four parallel tests at a time, on any number of processors: they wait more than they compute.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // before the command line is parsed, which takes precedence
		panic(err)
	}
	os.Exit(m.Run())
}

// steered has two pools without listeners: a check finds every address down immediately.
const steered = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
regions:
  east: {location: [0, 0]}
  west: {location: [0, 90]}
checks:
  none-there: {type: tcp, port: 1, interval: 1h}
pools:
  web:
    policy: failover
    members:
      - {name: a, region: east, addresses: [127.0.0.81]}
      - {name: b, region: west, addresses: [127.0.0.82]}
      - {name: c, region: west, addresses: [127.0.0.83], check: none-there}
      - {name: off, addresses: [127.0.0.84], enabled: false}
  spare:
    policy: failover
    members: [{name: all, pool: web}, {name: own, region: east, addresses: [127.0.0.85]}]
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}, spare: {pool: spare}}
`

// runningDaemon is a running Daemon.
type runningDaemon struct {
	*control.Control
	text   atomic.Value // string: the configuration; see reload
	onLoad atomic.Value // func(): called before each load; may be unset
	hangUp chan os.Signal
	log    *lines
	stop   func() error
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines with a message.
func (l *lines) with(msg string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, "msg="+msg+" ") || strings.Contains(line, fmt.Sprintf("msg=%q ", msg)) {
			found = append(found, line)
		}
	}
	return found
}

func start(t testing.TB, text string) *runningDaemon {
	t.Helper()
	return startWith(t, text, func(*Daemon) {})
}

// startWith is start with other settings of the daemon.
func startWith(t testing.TB, text string, set func(*Daemon)) *runningDaemon {
	t.Helper()
	r := &runningDaemon{hangUp: make(chan os.Signal), log: new(lines)}
	r.text.Store(text)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	l := Daemon{
		Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) {
			if f, ok := r.onLoad.Load().(func()); ok {
				f()
			}
			cfg, _, err := config.Parse("meridian.yaml", []byte(r.text.Load().(string)))
			if err != nil {
				return nil, err
			}
			snapshot, _, err := b(cfg)
			return snapshot, err
		},
		Reload: r.hangUp,
		Admin: func(c *control.Control, _ config.Admin) (http.Handler, error) {
			if r.Control == nil { // at start; a reload has the same one
				r.Control = c
			}
			return http.NotFoundHandler(), nil
		},
		Ready:  func([]netip.AddrPort) { close(ready) },
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	set(&l)
	go func() { ended <- l.Run(ctx) }()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return r
}

// reload loads another configuration; the old one stays if it is refused.
func (r *runningDaemon) reload(text string) {
	r.text.Store(text)
	r.hangUp <- syscall.SIGHUP
	r.hangUp <- syscall.SIGHUP // received after the first reload
}

func (r *runningDaemon) mustOverride(t *testing.T, target string, kind pools.Kind, lasts time.Duration) {
	t.Helper()
	at, err := control.ParseSelector(target)
	if err == nil {
		_, err = r.Override(at, kind, control.OverrideOptions{Reason: "planned", For: lasts, ChangeOptions: control.ChangeOptions{Force: true}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// states returns the states of all members: pool/member=state.
func (r *runningDaemon) states(t *testing.T) string {
	t.Helper()
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range status.Pools {
		for _, m := range p.Members {
			all = append(all, fmt.Sprintf("%s/%s=%s", p.Pool, m.Member, m.State))
		}
	}
	return strings.Join(all, " ")
}

func (r *runningDaemon) expect(t *testing.T, when, want string) {
	t.Helper()
	if got := r.states(t); got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", when, got, want)
	}
}

const untouched = "web/a=up web/b=up web/c=down web/off=disabled spare/all=live spare/own=up"

func TestOverridesChangeAnswers(t *testing.T) {
	r := start(t, steered)
	r.expect(t, "at first", untouched)
	r.mustOverride(t, "web/a", pools.Drained, 0)
	r.mustOverride(t, "region:west", pools.ForcedUp, 0)
	r.expect(t, "with a member drained and a region forced up",
		"web/a=drained web/b=forced up web/c=forced up web/off=disabled spare/all=live spare/own=up")
	r.mustOverride(t, "web/a", pools.ForcedDown, 0)
	r.expect(t, "with another word on the member",
		"web/a=forced down web/b=forced up web/c=forced up web/off=disabled spare/all=live spare/own=up")
	if got := r.Overrides(); len(got) != 2 || got[1].Target.String() != "web/a" {
		t.Errorf("overrides: %+v", got)
	}
	for _, target := range []control.Selector{{Pool: "web", Member: "a"}, {Region: "west"}} {
		if _, err := r.Undo(target, control.ChangeOptions{}); err != nil {
			t.Error(err)
		}
	}
	r.expect(t, "at the end", untouched)
}

func TestOverridesExpire(t *testing.T) {
	r := start(t, steered)
	r.mustOverride(t, "web/a", pools.Drained, time.Hour)
	r.mustOverride(t, "web/b", pools.Drained, 2*time.Hour)
	until := r.Overrides()[0].Until
	r.Tick(until.Add(-time.Millisecond))
	if n := len(r.Overrides()); n != 2 {
		t.Errorf("%d overrides before the end of any", n)
	}
	r.Tick(until)
	if got := r.Overrides(); len(got) != 1 || got[0].Target.Member != "b" {
		t.Errorf("then: %+v", got)
	}
	r.expect(t, "then", "web/a=up web/b=drained web/c=down web/off=disabled spare/all=live spare/own=up")
}

// TestOverrideReportsReplacedOne covers overrides of the same target, active and expired.
func TestOverrideReportsReplacedOne(t *testing.T) {
	r := start(t, steered)
	web := control.Selector{Pool: "web", Member: "a"}
	replaced := func(target control.Selector, kind pools.Kind, reason string, lasts time.Duration) *control.Replaced {
		t.Helper()
		said, err := r.Override(target, kind, control.OverrideOptions{Reason: reason, For: lasts, ChangeOptions: control.ChangeOptions{Force: true}})
		if err != nil {
			t.Fatal(err)
		}
		return said.Replaced
	}
	if got := replaced(control.Selector{Pool: "web"}, pools.Drained, "all of it", 0); got != nil {
		t.Errorf("the first: %+v", got)
	}
	if got := replaced(web, pools.Drained, "kernel upgrade", 0); got != nil {
		t.Errorf("of another target: %+v", got)
	}
	got := replaced(web, pools.ForcedUp, "", time.Nanosecond)
	if got == nil || got.Kind != "drained" || got.Reason != "kernel upgrade" || got.Since.IsZero() {
		t.Errorf("the second: %+v", got)
	}
	if lines := r.log.with("override set"); !strings.Contains(lines[len(lines)-1], `replaced=drained replaced_reason="kernel upgrade"`) {
		t.Errorf("logged %s", lines)
	}
	if got := replaced(web, pools.ForcedDown, "", 0); got != nil {
		t.Errorf("of one that is over: %+v", got)
	}
	replaced(web, pools.ForcedUp, "", 0)
	if undone, err := r.Undo(web, control.ChangeOptions{Force: true}); err != nil || undone.Replaced == nil || undone.Replaced.Kind != "forced down" {
		t.Errorf("undone: %+v, %v", undone, err)
	}
}

func TestOverridesSurviveReload(t *testing.T) {
	t.Parallel()
	r := start(t, steered)
	r.mustOverride(t, "web/b", pools.Drained, 0)
	r.mustOverride(t, "web", pools.ForcedUp, 0)
	r.reload(strings.Replace(steered, "name: b", "name: renamed", 1))
	r.expect(t, "after a reload without the drained member",
		"web/a=forced up web/renamed=forced up web/c=forced up web/off=disabled spare/all=live spare/own=up")
	if got := r.Overrides(); !got[0].Unknown || got[1].Unknown {
		t.Errorf("which are unknown: %+v", got)
	}
	r.reload("pools: [")
	r.reload(steered)
	r.expect(t, "after one with it", "web/a=forced up web/b=drained web/c=forced up web/off=disabled spare/all=live spare/own=up")
	if got := r.Overrides(); got[0].Unknown {
		t.Errorf("still unknown: %+v", got)
	}
}

func TestInvalidRequestsAreRefusedWithHint(t *testing.T) {
	r := start(t, steered)
	r.mustOverride(t, "web/a", pools.ForcedUp, 0)
	undo := func(target control.Selector, kinds ...pools.Kind) error {
		_, err := r.Undo(target, control.ChangeOptions{}, kinds...)
		return err
	}
	override := func(target control.Selector) error {
		_, err := r.Override(target, pools.Drained, control.OverrideOptions{})
		return err
	}
	for _, c := range []struct {
		name       string
		err        error
		what, hint string
		unknown    bool
	}{
		{"a pool", override(control.Selector{Pool: "wbe"}), `no pool "wbe"`, "known: web, spare", true},
		{"a member", override(control.Selector{Pool: "web", Member: "x"}), `pool "web" has no member "x"`, "known: web/a, web/b, web/c, web/off", true},
		{"a region", override(control.Selector{Region: "north"}), `no region "north"`, "known: region:east, region:west", true},
		{"undoing nothing", undo(control.Selector{Pool: "web"}), "web has no override", "known: web/a is forced up", true},
		{"undoing what is not", undo(control.Selector{Pool: "web", Member: "a"}, pools.Drained), "web/a is forced up", "undrain ends a drain, force off ends a force", false},
	} {
		var refused *control.RequestError
		if !errors.As(c.err, &refused) || refused.What != c.what || refused.Hint != c.hint || refused.NotFound != c.unknown {
			t.Errorf("%s: %+v", c.name, c.err)
		}
	}
	for name, reason := range map[string]string{"long": strings.Repeat("x", 501), "two lines": "a\nb"} {
		if _, err := r.Override(control.Selector{Pool: "web"}, pools.Drained, control.OverrideOptions{Reason: reason, ChangeOptions: control.ChangeOptions{Force: true}}); err == nil {
			t.Errorf("a reason that is %s passes", name)
		}
	}
	if _, err := r.Override(control.Selector{Pool: "web"}, pools.Drained, control.OverrideOptions{For: -time.Second, ChangeOptions: control.ChangeOptions{Force: true}}); err == nil {
		t.Error("an override that is over passes")
	}
	if n := len(r.Overrides()); n != 1 {
		t.Errorf("%d overrides", n)
	}
}

func TestStatusReportsReasonAndNext(t *testing.T) {
	r := start(t, steered)
	r.mustOverride(t, "region:east", pools.Drained, 0)
	status, err := r.Status(control.Selector{Pool: "web"})
	if err != nil || len(status.Pools) != 1 {
		t.Fatalf("%+v, %v", status, err)
	}
	var got []string
	for _, m := range status.Pools[0].Members {
		got = append(got, fmt.Sprintf("%s: %s: %s", m.Member, m.Why, m.Next))
	}
	want := []string{
		`a: by an operator: region:east, "planned": until removed`,
		"b: no check: always up: -",
		"c: connect: connection refused: up after 2 successes in a row",
		"off: enabled: false in the configuration: -",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c := status.Pools[0].Members[2].Addresses[0]
	if c.Check != "none-there" || c.Verdict != "down" || len(c.Results) != 1 || len(c.Transitions) != 1 || c.Since.IsZero() || c.Due.IsZero() {
		t.Errorf("the address that is down: %+v", c)
	}
	if status, err := r.Status(control.Selector{Region: "west"}); err != nil || len(status.Pools) != 1 || len(status.Pools[0].Members) != 2 {
		t.Errorf("of a region: %+v, %v", status, err)
	}
}

// TestReloadMovesAPIAndState changes the address of the API and the state directory at
// each reload.
func TestReloadMovesAPIAndState(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	in := func(folder string) string { return steered + "\nstate: " + folder + "\n" }
	r := start(t, in(first))
	r.mustOverride(t, "web/a", pools.Drained, 0)
	if s := r.StateStatus(); s.Dir != first || !s.Persisted {
		t.Errorf("kept in %+v", s)
	}
	other := start(t, steered)
	other.reload(in(first)) // refused: the directory is in use
	if s := other.StateStatus(); s.Dir != "" {
		t.Errorf("two servers in one folder: %+v", s)
	}
	r.reload(in(second))
	r.Writer().Flush()
	if s := r.StateStatus(); s.Dir != second || !s.Persisted {
		t.Errorf("then in %+v", s)
	}
	other.reload(in(first))
	if s := other.StateStatus(); s.Dir != first {
		t.Errorf("the folder that was let go: %+v", s)
	}
	if err := errors.Join(r.stop(), other.stop()); err != nil {
		t.Error(err)
	}
	again := start(t, in(second))
	again.expect(t, "after a restart", "web/a=drained web/b=up web/c=down web/off=disabled spare/all=live spare/own=up")
}

func TestStateDirInUseRefusesStart(t *testing.T) {
	folder := t.TempDir()
	start(t, steered+"\nstate: "+folder+"\n")
	cfg, _, err := config.Parse("meridian.yaml", []byte(steered+"\nstate: "+folder+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := Daemon{Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) { s, _, err := b(cfg); return s, err }, Logger: slog.New(slog.DiscardHandler)}
	err = l.Run(t.Context())
	if want := "is in use: another server stores its state there; give each server a folder of its own"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// TestStatusExplainsMemberStates checks the reasons for a member that is not answered
// although its probes pass, and for an answered member without probes.
func TestStatusExplainsMemberStates(t *testing.T) {
	r := start(t, `
server: {listen: ["127.0.0.1:0"], workers: 1, resolvers: ["127.0.0.1:1"]}
admin: {listen: "127.0.0.1:0"}
regions:
  east: {location: [0, 0], check: none-there, addresses: [127.0.0.81, 127.0.0.82]}
  west: {location: [0, 90]}
checks:
  none-there: {type: tcp, port: 1, interval: 1h}
pools:
  web:
    policy: failover
    members:
      - {name: a, region: east, addresses: [127.0.0.83]}
      - {name: deep, region: east, pool: other}
      - {name: drained, region: east, addresses: [127.0.0.84]}
      - {name: lb, region: west, target: lb.example.net}
      - {name: two, region: west, addresses: [127.0.0.85, 127.0.0.86], check: none-there}
  other:
    policy: failover
    members: [{name: alias, cname: www.example.net}]
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`)
	r.mustOverride(t, "web/drained", pools.Drained, 0)
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, region := range status.Regions {
		got = append(got, fmt.Sprintf("%s: down %v: %s: %s", region.Region, region.Down, region.Why[len("127.0.0.81"):], region.Next))
	}
	for _, p := range status.Pools {
		for _, m := range p.Members {
			why := strings.NewReplacer("127.0.0.81", "ADDRESS", "127.0.0.82", "ADDRESS", "127.0.0.85", "ADDRESS", "127.0.0.86", "ADDRESS").Replace(m.Why)
			next := regexp.MustCompile(`at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (Z|[+-]\d\d:\d\d)$`).ReplaceAllString(m.Next, "at TIME")
			got = append(got, fmt.Sprintf("%s, %s: %s: %s", m.Member, m.State, why, next))
		}
	}
	want := []string{
		"east: down true: : connect: connection refused: up after 2 successes in a row",
		"a, up: region east is down: ADDRESS: connect: connection refused: with its region: up after 2 successes in a row",
		"deep, live: region east is down: ADDRESS: connect: connection refused: with its region: up after 2 successes in a row",
		`drained, drained: by an operator: "planned": until removed`,
		"lb, unresolved: target lb.example.net. has no address yet: A: 127.0.0.1:1: read: connection refused; AAAA: 127.0.0.1:1: read: connection refused: when it resolves; next lookup at TIME",
		"two, down: ADDRESS: connect: connection refused: up after 2 successes in a row",
		"alias, up: cname www.example.net. is not probed: always up: -",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestOverridesAtTheSameTimeLeaveAnAnswer sends two overrides that each leave one member, at the same time.
func TestOverridesAtTheSameTimeLeaveAnAnswer(t *testing.T) {
	r := start(t, `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}, {name: b, addresses: [192.0.2.2]}]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}}
`)
	for round := range 100 {
		var sent sync.WaitGroup
		var refused atomic.Int32
		for _, member := range []string{"a", "b"} {
			sent.Go(func() {
				if _, err := r.Override(control.Selector{Pool: "web", Member: member}, pools.Drained, control.OverrideOptions{}); err != nil {
					refused.Add(1)
				}
			})
		}
		sent.Wait()
		if n := refused.Load(); n != 1 {
			t.Fatalf("round %d: %d of 2 overrides are refused, want 1", round, n)
		}
		if _, err := r.Undo(r.Overrides()[0].Target, control.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
