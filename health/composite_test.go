package health

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// named returns a tcp check with its own port, so that it is distinct.
func named(name string, port int) *config.Check {
	c := tcpCheck()
	c.Name, c.Port = name, port
	return c
}

func composite(kind config.CheckType, n int, parts ...config.CheckPart) *config.Check {
	return &config.Check{Name: string(kind), Type: kind, N: n, Parts: parts}
}

func of(c *config.Check) config.CheckPart       { return config.CheckPart{Check: c} }
func critical(c *config.Check) config.CheckPart { return config.CheckPart{Check: c, Critical: true} }

func observed(c *config.Check) config.CheckPart { return config.CheckPart{Check: c, ObserveOnly: true} }

// words maps letters to verdicts in these tests' scripts: unknown, up, down, and uncertain with effective state up or down.
var words = map[rune]verdictState{
	'u': {}, '+': {verdict: Up}, '-': {verdict: Down},
	'p': {verdict: Up, staleSince: start}, 'n': {verdict: Down, staleSince: start},
}

func letterOf(v, held Verdict) string {
	if v == Uncertain {
		return map[Verdict]string{Up: "p", Down: "n"}[held]
	}
	return map[Verdict]string{Unknown: "u", Up: "+", Down: "-"}[v]
}

// made returns a composite entry with parts of these verdicts; a star makes the next part critical, a dot observed.
func made(kind config.CheckType, n int, script string) *targetState {
	check := &config.Check{Name: "made", Type: kind, N: n}
	e := &targetState{prepared: &preparedCheck{check: check}}
	var p part
	for _, r := range script {
		switch r {
		case '*':
			p.critical = true
		case '.':
			p.observeOnly = true
		default:
			e.prepared.parts = append(e.prepared.parts, p)
			e.parts = append(e.parts, &targetState{prepared: &preparedCheck{check: check}, verdict: words[r]})
			p = part{}
		}
	}
	return e
}

func TestCompositesFollowTheTruthTable(t *testing.T) {
	for _, c := range []struct {
		kind  config.CheckType
		n     int
		cases string // parts=verdict
	}{
		{config.All, 0, "+=+ -=- u=u p=p n=n ++=+ +-=- u-=- n-=- +u=u +p=p pn=n un=n up=u p-=- +.-=+ *+.u=+"},
		{config.Any, 0, "+=+ -=- u=u p=p n=n +-=+ --=- u+=+ n+=+ -u=u -p=p pn=p un=u up=p *-+=- *u+=u *n+=n -.+=- *+-=+"},
		{config.AtLeast, 2, "++-=+ +--=- +u-=u +p-=p +n-=n uu-=u ++u=+ --u=- *-++=- *+-+=+ *u++=u +.+-u=u pn+=p un-=n"},
		{config.Invert, 0, "+=- -=+ u=u p=n n=p"},
	} {
		for one := range strings.FieldsSeq(c.cases) {
			parts, want, _ := strings.Cut(one, "=")
			if got := letterOf(made(c.kind, c.n, parts).recomputeVerdict()); got != want {
				t.Errorf("%s of %s: %s, want %s", c.kind, parts, got, want)
			}
		}
	}
}

// slowRecompute is an obvious recomputeVerdict: it tries all possible verdicts of the parts.
func slowRecompute(kind config.CheckType, n int, parts []part, verdicts []verdictState) (v, held Verdict) {
	outcomes := func(guess func(v, held Verdict) []bool) map[bool]bool {
		found := make(map[bool]bool)
		var try func(i int, so []bool)
		try = func(i int, so []bool) {
			if i == len(parts) {
				found[obviouslyUp(kind, n, parts, so)] = true
				return
			}
			for _, up := range guess(verdicts[i].effective()) {
				try(i+1, append(slices.Clone(so), up))
			}
		}
		try(0, nil)
		return found
	}
	either := []bool{true, false}
	all := outcomes(func(v, _ Verdict) []bool {
		if v == Unknown || v == Uncertain {
			return either
		}
		return []bool{v == Up}
	})
	answers := outcomes(func(v, held Verdict) []bool {
		if v == Unknown {
			return either
		}
		return []bool{v == Up || held == Up}
	})
	switch {
	case len(all) == 1:
		return verdictOf(all[true]), Unknown
	case len(answers) == 1:
		return Uncertain, verdictOf(answers[true])
	}
	return Unknown, Unknown
}

// obviouslyUp reports whether a composite with such parts is up.
func obviouslyUp(kind config.CheckType, n int, parts []part, up []bool) bool {
	ups, counted, lost := 0, 0, false
	for i, p := range parts {
		if p.observeOnly {
			continue
		}
		counted++
		if up[i] {
			ups++
		}
		lost = lost || p.critical && !up[i]
	}
	switch kind {
	case config.All:
		return ups == counted
	case config.Any:
		return ups >= 1 && !lost
	case config.AtLeast:
		return ups >= n && !lost
	}
	return ups == 0
}

func TestCompositesAgreeWithSlowEvaluation(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	kinds := []config.CheckType{config.All, config.Any, config.AtLeast, config.Invert}
	for range 20_000 {
		kind := kinds[r.IntN(len(kinds))]
		script, counted := "", 0
		for i := range 1 + r.IntN(5) {
			if kind == config.Invert && i > 0 {
				break
			}
			switch r.IntN(5) {
			case 0:
				if i > 0 {
					script += "."
					counted--
				}
			case 1:
				if kind != config.Invert {
					script += "*"
				}
			}
			counted++
			script += string([]rune("u+-pn")[r.IntN(5)])
		}
		e := made(kind, 1+r.IntN(counted), script)
		var verdicts []verdictState
		for _, p := range e.parts {
			verdicts = append(verdicts, p.verdict)
		}
		got := letterOf(e.recomputeVerdict())
		if want := letterOf(slowRecompute(kind, e.prepared.check.N, e.prepared.parts, verdicts)); got != want {
			t.Fatalf("seed %d: %s %d of %s: %s, want %s", seed, kind, e.prepared.check.N, script, got, want)
		}
		v, held := e.recomputeVerdict()
		if i := e.decidingPart(v); i < 0 || e.prepared.parts[i].observeOnly {
			t.Fatalf("seed %d: %s %d of %s: %s, decided by part %d", seed, kind, e.prepared.check.N, script, got, i)
		}
		if p := e.slowStartWeight(); (v == Up || held == Up) && (p < 1 || p > fullPortion) {
			t.Fatalf("seed %d: %s %d of %s: %s, with %d of its clients", seed, kind, e.prepared.check.N, script, got, p)
		}
	}
}

func TestCompositeSlowStartFollowsParts(t *testing.T) {
	for _, c := range []struct {
		kind  config.CheckType
		n     int
		parts string
		share []uint8
		want  int
	}{
		{config.All, 0, "+++", []uint8{0, 64, 128}, 64},
		{config.All, 0, "++", []uint8{0, 0}, fullPortion},
		{config.All, 0, "+u", []uint8{100, 0}, 100},
		{config.Any, 0, "++-", []uint8{32, 64, 0}, 64},
		{config.Any, 0, "*++", []uint8{32, 0}, 32},
		{config.Any, 0, "+.+", []uint8{32, 0}, 32},
		{config.AtLeast, 2, "+++", []uint8{16, 64, 128}, 64},
		{config.AtLeast, 1, "++*+", []uint8{16, 64, 32}, 32},
		{config.AtLeast, 2, "++-", []uint8{16, 64, 0}, 16},
		{config.Invert, 0, "-", []uint8{0}, fullPortion},
	} {
		e := made(c.kind, c.n, c.parts)
		for i, s := range c.share {
			e.parts[i].verdict.slowStartWeight = s
		}
		if got := e.slowStartWeight(); got != c.want {
			t.Errorf("%s of %s with shares %v: %d, want %d", c.kind, c.parts, c.share, got, c.want)
		}
	}
}

func TestCompositeNamesDecidingPart(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		addr, shared := addrs(2)[0], addrs(2)[1]
		web, db := named("web", 80), named("db", 5432)
		site := composite(config.All, 0, of(web), critical(db))
		two := composite(config.AtLeast, 2, of(web), of(site), config.CheckPart{Check: db, Address: shared})
		open := composite(config.Invert, 0, of(site))
		watching, l := watch(t, p, []Target{{site, addr}, {two, addr}, {open, addr}})
		if unknown := watching.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("%d unknown", unknown)
		}
		synctest.Wait()
		l.take()
		if n := len(w.dialledPort(addr, 80)); n != 1 {
			t.Errorf("web was probed %d times, want once for all", n)
		}
		w.become(addr, refuses)
		time.Sleep(time.Minute)
		got := l.take()
		slices.SortStableFunc(got, func(a, b Transition) int { return a.Index - b.Index })
		for i, want := range []string{`check "`, `1 of 3 up, want 2; check "`, `check "all" is down: check "`} {
			if len(got) != 3 || !strings.HasPrefix(got[i].Reason, want) || !strings.HasSuffix(got[i].Reason, `": connection refused`) {
				t.Fatalf("transitions %+v, want %q", got, want)
			}
		}
		w.become(shared, refuses)
		w.become(addr, accepts)
		time.Sleep(time.Minute)
		got = only(l.take(), 1) // through web or site, the last one up
		if want := ` of 3 up, want 2; check "`; len(got) != 1 || got[0].To != Up || !strings.Contains(got[0].Reason, want) {
			t.Errorf("transitions %+v, want %q", got, want)
		}
	})
}

// only returns the transitions of one target.
func only(transitions []Transition, index int) []Transition {
	return slices.DeleteFunc(transitions, func(t Transition) bool { return t.Index != index })
}

func TestReasonNamesAddressOfPart(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		w.become(all[1], refuses)
		db := named("db", 5432)
		_, l := watch(t, p, []Target{{composite(config.All, 0, config.CheckPart{Check: db, Address: all[1]}), all[0]}})
		synctest.Wait()
		wantTransitions(t, l.take(), `0 unknown->down: check "db" at 10.0.0.1: connection refused`)
		if n := len(w.dialledPort(all[0], 5432)); n != 0 {
			t.Errorf("the composite's own address was probed %d times", n)
		}
	})
}

func TestFirstVerdictSkipsIrrelevantParts(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		quick, slow := named("quick", 80), named("slow", 81)
		w.become(all[1], hangs)
		slowOne := config.CheckPart{Check: slow, Address: all[1]}
		watchedOnly := slowOne
		watchedOnly.ObserveOnly = true
		_, l := watch(t, p, []Target{
			{composite(config.Any, 0, slowOne, of(quick)), all[0]},
			{composite(config.All, 0, watchedOnly, of(quick)), all[0]},
			{composite(config.All, 0, slowOne, of(composite(config.Invert, 0, of(quick)))), all[0]},
			{composite(config.All, 0, slowOne, of(quick)), all[0]},
		})
		synctest.Wait()
		wantTransitions(t, byIndex(l.take()),
			`0 unknown->up: check "quick": connected`,
			`1 unknown->up: check "quick": connected`,
			`2 unknown->down: check "invert": check "quick" is up: connected`)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantTransitions(t, l.take(), `3 unknown->down: check "slow" at 10.0.0.1: timeout after 2s while connecting`)
	})
}

func byIndex(transitions []Transition) []Transition {
	slices.SortStableFunc(transitions, func(a, b Transition) int { return a.Index - b.Index })
	return transitions
}

func TestCriticalPartDecidesAndObservedPartDoesNot(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(3)
		web, db, age := named("web", 80), named("db", 81), named("age", 82)
		at := func(p config.CheckPart, a netip.Addr) config.CheckPart { p.Address = a; return p }
		site := composite(config.Any, 0, of(web), at(critical(db), all[1]), at(observed(age), all[2]))
		w.become(all[1], after(time.Second, accepts))
		_, l := watch(t, p, targetsOf(site, all[:1]))
		synctest.Wait()
		wantTransitions(t, l.take()) // web alone does not suffice
		time.Sleep(time.Second)
		synctest.Wait()
		wantTransitions(t, l.take(), `0 unknown->up: check "db" at 10.0.0.1: connected`)
		w.become(all[2], refuses)
		time.Sleep(time.Minute)
		wantTransitions(t, l.take())
		w.become(all[1], refuses)
		time.Sleep(time.Minute)
		wantTransitions(t, l.take(), `0 up->down: critical check "db" at 10.0.0.1: connection refused`)
	})
}

func TestCompositeIsUncertainIfUncertainPartDecides(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		web, db := named("web", 80), named("db", 81)
		dbThere := config.CheckPart{Check: db, Address: all[1]}
		_, l := watch(t, p, []Target{
			{composite(config.All, 0, of(web), dbThere), all[0]},
			{composite(config.Any, 0, of(web), dbThere), all[0]},
			{composite(config.Invert, 0, dbThere), all[0]},
		})
		synctest.Wait()
		l.take()
		w.become(all[1], lacksFiles)
		time.Sleep(time.Minute)
		got := byIndex(l.take())
		if len(got) != 2 || got[0].To != Uncertain || got[0].Effective != Up || got[1].To != Uncertain || got[1].Effective != Down {
			t.Fatalf("%+v", got)
		}
		if want := `check "db" at 10.0.0.1 is uncertain: no conclusive result for `; !strings.HasPrefix(got[0].Reason, want) {
			t.Errorf("reason %q, want %q", got[0].Reason, want)
		}
	})
}

func TestCompositeStatusListsParts(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		web, db := named("web", 80), named("db", 81)
		pair := composite(config.Any, 0, of(web), critical(db))
		site := composite(config.All, 0, of(pair), config.CheckPart{Check: web, Address: all[1], ObserveOnly: true}, of(pair))
		site.Parts[2].Address = all[1]
		watching, _ := watch(t, p, targetsOf(site, all[:1]))
		synctest.Wait()
		s, ok := watching.Status(0)
		var lines []string
		var list func(depth string, parts []PartStatus)
		list = func(depth string, parts []PartStatus) {
			for _, p := range parts {
				lines = append(lines, fmt.Sprintf("%s%s %v %v critical=%t observe_only=%t", depth, p.Check, p.Addr, p.Verdict, p.Critical, p.ObserveOnly))
				list(depth+" ", p.Parts)
			}
		}
		list("", s.Parts)
		want := []string{
			`any 10.0.0.0 up critical=false observe_only=false`,
			` web 10.0.0.0 up critical=false observe_only=false`,
			` db 10.0.0.0 up critical=true observe_only=false`,
			`web 10.0.0.1 up critical=false observe_only=true`,
			`any 10.0.0.1 up critical=false observe_only=false`,
			` web 10.0.0.1 up critical=false observe_only=false`,
			` db 10.0.0.1 up critical=true observe_only=false`,
		}
		if !ok || !slices.Equal(lines, want) || s.Outlook != "follows its checks" || !s.Next.IsZero() {
			t.Errorf("%+v\n%s\nwant\n%s", s, strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestReloadKeepsCompositeVerdicts loads equal definitions under other names: known verdicts are delivered at once, and the
// log uses the new names.
func TestReloadKeepsCompositeVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, book := newWorld(), &logBook{}
		p := NewProber(Options{Dial: w.dial, Logger: book.logger()})
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); <-p.stopped }()
		go p.Run(ctx)
		load := func(prefix string) *config.Check {
			c := composite(config.All, 0, of(named(prefix+"web", 80)), of(named(prefix+"db", 81)))
			c.Name = prefix + "site"
			return c
		}
		old, _ := watch(t, p, targetsOf(load("old-"), addrs(1)))
		synctest.Wait()
		dialled := len(w.dialled(addrs(1)[0]))
		w.become(addrs(1)[0], after(time.Second, refuses))
		_, l := watch(t, p, targetsOf(load("new-"), addrs(1)))
		wantTransitions(t, l.take(), `0 unknown->up: check "old-web": connected`)
		old.Close()
		synctest.Wait()
		if n := len(w.dialled(addrs(1)[0])); n != dialled {
			t.Errorf("%d more probes for an equal definition", n-dialled)
		}
		time.Sleep(time.Minute)
		if got := l.take(); len(got) != 1 || !strings.HasPrefix(got[0].Reason, `check "new-`) {
			t.Errorf("%+v", got)
		}
		if lines := strings.Join(book.lines()[3:], "\n"); strings.Contains(lines, "old-") {
			t.Errorf("logged by an old name:\n%s", lines)
		}
	})
}

func TestUnusedPartsAreDropped(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		web, db := named("web", 80), named("db", 81)
		inner := composite(config.Any, 0, of(web), of(db))
		first, _ := watch(t, p, targetsOf(composite(config.All, 0, of(inner), of(web)), addrs(3)))
		second, _ := watch(t, p, targetsOf(web, addrs(1)))
		left := func() (n int) {
			p.call(func(o *scheduler) { n = len(o.entries) })
			return n
		}
		synctest.Wait()
		if n := left(); n != 12 {
			t.Errorf("%d targets, want 12: two composites and two others for each address", n)
		}
		first.Close()
		if n := left(); n != 1 {
			t.Errorf("%d targets, want the one that is watched by itself", n)
		}
		second.Close()
		if n := left(); n != 0 {
			t.Errorf("%d targets, want none", n)
		}
	})
}

func TestCompositesOfDifferentPartsAreDistinct(t *testing.T) {
	web, db := named("web", 80), named("db", 81)
	whole := composite(config.AtLeast, 1, of(web), of(db))
	all := []*config.Check{
		whole, composite(config.All, 0, of(web), of(db)), composite(config.Any, 0, of(web), of(db)),
		composite(config.AtLeast, 2, of(web), of(db)), composite(config.AtLeast, 1, of(db), of(web)),
		composite(config.AtLeast, 1, of(web), critical(db)), composite(config.AtLeast, 1, of(web), observed(db)),
		composite(config.AtLeast, 1, of(web), config.CheckPart{Check: db, Address: addrs(1)[0]}),
		composite(config.AtLeast, 1, of(web), of(named("db", 82))), composite(config.AtLeast, 1, of(whole)),
	}
	seen := make(map[fingerprint]int)
	for i, c := range all {
		k, err := make(preparedChecks).get(c)
		if err != nil {
			t.Fatal(err)
		}
		if j, twice := seen[k.fingerprint]; twice {
			t.Errorf("composites %d and %d are one", j, i)
		}
		seen[k.fingerprint] = i
	}
	again := composite(config.AtLeast, 1, of(named("site", 80)), of(named("store", 81)))
	again.Name, again.Pos = "other", config.Pos{Line: 3}
	if k, err := make(preparedChecks).get(again); err != nil || seen[k.fingerprint] != 0 || len(seen) != len(all) {
		t.Errorf("an equal composite by other names is another: %v", err)
	}
}

func TestWatchRejectsCompositeWithoutCountingPart(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		web := named("web", 80)
		for want, c := range map[string]*config.Check{
			"checks.all: 0 checks that count":      composite(config.All, 0, observed(web)),
			"checks.any.checks[0]: no check":       composite(config.Any, 0, config.CheckPart{}),
			"checks.at_least: 1 checks that count": composite(config.AtLeast, 2, of(web), observed(web)),
		} {
			if _, err := p.Watch(targetsOf(c, addrs(1)), nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	})
}

// TestWatchSeesConsistentComposites runs random composites, nested and with shared parts, over unstable endpoints. After
// each callback, the delivered verdict of every composite follows from those of its parts.
func TestWatchSeesConsistentComposites(t *testing.T) {
	seed := rand.Uint64()
	probing(t, func(t *testing.T, w *world, p *Prober) {
		r := rand.New(rand.NewPCG(seed, 2))
		addr := addrs(8)
		checks := randomChecks(r, addr)
		var targets []Target
		index := make(map[*config.Check]int)
		for i, c := range checks {
			targets, index[c] = append(targets, Target{c, addr[0]}), i
		}
		notified := make([]verdictState, len(checks))
		calls := 0
		_, err := p.Watch(targets, func(transitions []Transition) {
			calls++
			for _, transition := range transitions {
				notified[transition.Index] = verdictState{verdict: transition.To}
				if transition.To == Uncertain {
					notified[transition.Index] = verdictState{verdict: transition.Effective, staleSince: transition.At}
				}
			}
			for i, c := range checks {
				if want := expected(c, index, notified); c.Type.Composite() && letterOf(notified[i].effective()) != want {
					t.Errorf("seed %d: %s %s was delivered as %s, want %s", seed, c.Type, c.Name, letterOf(notified[i].effective()), want)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		behaviours := []behaviour{accepts, refuses, hangs, lacksFiles}
		for range 200 {
			w.become(addr[r.IntN(len(addr))], behaviours[r.IntN(len(behaviours))])
			time.Sleep(time.Duration(r.IntN(20)) * time.Second)
		}
		synctest.Wait()
		if calls < 50 {
			t.Errorf("seed %d: only %d calls", seed, calls)
		}
	})
}

// randomChecks returns a probe of each address, as invert of invert so that a target of the first address can use it, and
// composites of the earlier checks.
func randomChecks(r *rand.Rand, addr []netip.Addr) []*config.Check {
	var checks []*config.Check
	for i, a := range addr {
		c := composite(config.Any, 0, config.CheckPart{Check: named(fmt.Sprint("probe", i), 80), Address: a})
		c.Name = fmt.Sprint("leaf", i)
		checks = append(checks, c)
	}
	kinds := []config.CheckType{config.All, config.Any, config.AtLeast, config.Invert}
	for i := range 20 {
		c := composite(kinds[r.IntN(len(kinds))], 1)
		c.Name = fmt.Sprint("composite", i)
		parts := 1
		if c.Type != config.Invert {
			parts += r.IntN(4)
		}
		for _, j := range r.Perm(len(checks))[:parts] {
			p := of(checks[j])
			p.Critical = c.Type != config.Invert && r.IntN(4) == 0
			c.Parts = append(c.Parts, p)
		}
		if c.Type == config.AtLeast {
			c.N = 1 + r.IntN(parts)
		}
		checks = append(checks, c)
	}
	return checks
}

// expected returns the verdict of a composite by the delivered ones; a leaf has its delivered verdict.
func expected(c *config.Check, index map[*config.Check]int, notified []verdictState) string {
	var parts []part
	var verdicts []verdictState
	for _, p := range c.Parts {
		i, watched := index[p.Check]
		if !watched {
			return letterOf(notified[index[c]].effective())
		}
		parts, verdicts = append(parts, part{critical: p.Critical}), append(verdicts, notified[i])
	}
	return letterOf(slowRecompute(c.Type, c.N, parts, verdicts))
}

func TestPanicKeepsComposites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := NewProber(Options{Dial: w.dial, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); <-p.stopped }()
		go p.Run(ctx)
		_, l := watch(t, p, targetsOf(composite(config.All, 0, of(named("web", 80))), addrs(1)))
		synctest.Wait()
		l.take()
		p.call(func(*scheduler) { panic("wires crossed") })
		w.become(addrs(1)[0], refuses)
		time.Sleep(time.Minute)
		got := l.take()
		if end := got[len(got)-1]; end.To != Down || end.Reason != `check "web": connection refused` {
			t.Errorf("%+v", got)
		}
	})
}

// TestPartNamedTwiceIsDroppedWithComposite names the composite's own address as a part's address.
func TestPartNamedTwiceIsDroppedWithComposite(t *testing.T) {
	probing(t, func(t *testing.T, _ *world, p *Prober) {
		addr, db := addrs(1)[0], named("db", 81)
		twice := composite(config.AtLeast, 2, of(db), of(named("web", 80)), config.CheckPart{Check: db, Address: addr})
		watching, l := watch(t, p, targetsOf(twice, addrs(1)))
		other, _ := watch(t, p, targetsOf(composite(config.All, 0, of(db)), addrs(1)))
		synctest.Wait()
		if got := l.take(); len(got) != 1 || got[0].To != Up {
			t.Errorf("%+v", got)
		}
		watching.Close()
		other.Close()
		left := -1
		p.call(func(o *scheduler) { left = len(o.entries) + len(o.waiting.heap) })
		if left != 0 {
			t.Errorf("%d targets left", left)
		}
	})
}
