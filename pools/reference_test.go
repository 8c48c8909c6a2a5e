package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// reference decides as DESIGN 5 says it, slowly: by names, with maps, and with
// every possible draw followed to its end. It shares nothing with Tree but the
// configuration.
type reference struct {
	cfg   *config.Config
	where *geo.Locator
	down  map[netip.Addr]bool
}

// outcomes are the possible answers, each a sorted list of addresses, and the
// probability of each. Round-robin counts as if its turns were random.
type outcomes map[string]float64

// drawing is one way that an answer may be coming about in a pool.
type drawing struct {
	pool     *config.Pool
	family   Family
	open     bool
	all      bool
	left     int              // answers that may still be added
	eligible []*config.Member // not yet drawn
	giving   []*config.Member // that have the family and have not given it
	last     *config.Member   // drawn before, nil at first
}

func (r reference) pool(name string) *config.Pool {
	i := slices.IndexFunc(r.cfg.Pools, func(p config.Pool) bool { return p.Name == name })
	return &r.cfg.Pools[i]
}

// ask is DESIGN 5.2.
func (r reference) ask(name string, f Family, answers int, client netip.Addr) (Mode, outcomes) {
	p := r.pool(name)
	switch {
	case r.poolLive(p, f, false):
		return Normal, r.walk(p, f, false, answers, client, "")
	case p.Fallback != "" && r.poolLive(r.pool(p.Fallback), f, false):
		return FallenBack, r.walk(r.pool(p.Fallback), f, false, answers, client, "")
	case p.FailOpen && r.poolLive(p, f, true):
		return FailedOpen, r.walk(p, f, true, answers, client, "")
	}
	return Dead, outcomes{"": 1}
}

func (r reference) poolLive(p *config.Pool, f Family, open bool) bool {
	enabled, live := 0, 0
	for i := range p.Members {
		if p.Members[i].Enabled {
			enabled++
		}
		if r.live(&p.Members[i], f, open) {
			live++
		}
	}
	need := p.MinUp.N
	if p.MinUp.Percent {
		for need = 0; need*100 < enabled*p.MinUp.N; need++ {
		}
	}
	if open {
		need = 1
	}
	return live >= max(1, need)
}

func (r reference) live(m *config.Member, f Family, open bool) bool {
	if !m.Enabled || m.Weight == 0 {
		return false
	}
	if m.Pool != "" {
		return r.poolLive(r.pool(m.Pool), f, open)
	}
	addrs := of(m, f)
	if len(addrs) == 0 {
		addrs = of(m, 1-f)
	}
	return len(addrs) > 0 && (open || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !r.down[a] }))
}

// of is the member's addresses of a family.
func of(m *config.Member, f Family) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range m.Addresses {
		if a.Is4() == (f == IPv4) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// has reports whether a live member can give the family.
func (r reference) has(m *config.Member, f Family, open bool) bool {
	if m.Pool == "" {
		return len(of(m, f)) > 0
	}
	p := r.pool(m.Pool)
	for i := range p.Members {
		if r.live(&p.Members[i], f, open) && r.has(&p.Members[i], f, open) {
			return true
		}
	}
	return false
}

// walk is what a live pool adds to the answer so far.
func (r reference) walk(p *config.Pool, f Family, open bool, answers int, client netip.Addr, sofar string) outcomes {
	d := drawing{pool: p, family: f, open: open, all: answers == 0, left: answers}
	if d.all {
		d.left = 1000
	}
	for i := range p.Members {
		if m := &p.Members[i]; r.live(m, f, open) {
			d.eligible = append(d.eligible, m)
		}
	}
	if p.Policy == config.Proximity {
		d.eligible = r.nearest(d.eligible, client)
	}
	for _, m := range d.eligible {
		if r.has(m, f, open) {
			d.giving = append(d.giving, m)
		}
	}
	return r.draw(d, client, sofar)
}

// nearest is DESIGN 5.1.
func (r reference) nearest(members []*config.Member, client netip.Addr) []*config.Member {
	at := r.where.Locate(client)
	best, found := -1.0, ""
	for _, region := range r.cfg.Regions {
		if !slices.ContainsFunc(members, func(m *config.Member) bool { return m.Region == region.Name }) {
			continue
		}
		km := geo.Biased(geo.Distance(config.Location{Lat: at.Lat, Lon: at.Lon}, region.Location), region.Bias)
		if best < 0 || km < best {
			best, found = km, region.Name
		}
	}
	return inRegion(members, found)
}

func inRegion(members []*config.Member, region string) []*config.Member {
	var in []*config.Member
	for _, m := range members {
		if m.Region == region {
			in = append(in, m)
		}
	}
	return in
}

func without(members []*config.Member, m *config.Member) []*config.Member {
	return slices.DeleteFunc(slices.Clone(members), func(o *config.Member) bool { return o == m })
}

// draw follows every draw that may come next.
func (r reference) draw(d drawing, client netip.Addr, sofar string) outcomes {
	if d.left <= 0 || len(d.eligible) == 0 {
		return outcomes{sofar: 1}
	}
	result := outcomes{}
	for m, chance := range d.choices(d.eligible, d.last) {
		next := d
		next.eligible, next.last = without(d.eligible, m), m
		givers := map[*config.Member]float64{m: 1}
		if !slices.Contains(d.giving, m) {
			givers = d.choices(inRegion(d.giving, m.Region), nil)
		}
		if len(givers) == 0 {
			next.left--
			result.add(r.draw(next, client, sofar), chance)
		}
		for giver, among := range givers {
			result.add(r.give(next, giver, client, sofar), chance*among)
		}
	}
	return result
}

func (o outcomes) add(more outcomes, chance float64) {
	for answer, p := range more {
		o[answer] += p * chance
	}
}

// choices is whom the policy may choose, with which probability.
func (d drawing) choices(from []*config.Member, last *config.Member) map[*config.Member]float64 {
	choices := map[*config.Member]float64{}
	if len(from) == 0 {
		return choices
	}
	switch {
	case d.pool.Policy == config.Failover:
		choices[from[0]] = 1
	case last != nil && (d.all || d.pool.Policy == config.RoundRobin):
		choices[following(d.pool, from, last)] = 1
	case d.pool.Policy == config.RoundRobin:
		for _, m := range from {
			choices[m] = 1 / float64(len(from))
		}
	default:
		sum := 0
		for _, m := range from {
			sum += m.Weight
		}
		for _, m := range from {
			choices[m] = float64(m.Weight) / float64(sum)
		}
	}
	return choices
}

// following is the member of from that is written next after last, in a circle.
func following(p *config.Pool, from []*config.Member, last *config.Member) *config.Member {
	at := slices.IndexFunc(p.Members, func(m config.Member) bool { return m.Name == last.Name })
	for i := range p.Members {
		next := &p.Members[(at+1+i)%len(p.Members)]
		if slices.Contains(from, next) {
			return next
		}
	}
	panic("nobody follows")
}

// give adds what a member has and goes on.
func (r reference) give(d drawing, m *config.Member, client netip.Addr, sofar string) outcomes {
	d.giving = without(d.giving, m)
	result := outcomes{}
	if m.Pool != "" {
		d.left--
		p := r.pool(m.Pool)
		for answer, chance := range r.walk(p, d.family, d.open, p.Answers, client, sofar) {
			result.add(r.draw(d, client, answer), chance)
		}
		return result
	}
	var fresh []string
	for _, a := range of(m, d.family) {
		if (d.open || !r.down[a]) && !slices.Contains(strings.Fields(sofar), a.String()) {
			fresh = append(fresh, a.String())
		}
	}
	ways := subsets(fresh, min(d.left, len(fresh)))
	d.left -= max(1, min(d.left, len(fresh)))
	for _, way := range ways {
		answer := append(strings.Fields(sofar), way...)
		slices.Sort(answer)
		result.add(r.draw(d, client, strings.Join(answer, " ")), 1/float64(len(ways)))
	}
	return result
}

// subsets is all ways to take n of some.
func subsets(of []string, n int) [][]string {
	if n == 0 {
		return [][]string{nil}
	}
	var ways [][]string
	for i := range of {
		for _, rest := range subsets(of[i+1:], n-1) {
			ways = append(ways, append([]string{of[i]}, rest...))
		}
	}
	return ways
}

// randomWorld makes pools at random, later ones nested in earlier ones, over a
// few regions. Addresses are often shared, families often missing.
func randomWorld(rnd *rand.Rand) string {
	var b strings.Builder
	b.WriteString(regionsOfTheWorld)
	pools := 1 + rnd.IntN(5)
	policies := []string{"proximity", "weighted", "round-robin", "failover"}
	pick := func(odds int, text string) string {
		if rnd.IntN(odds) == 0 {
			return text
		}
		return ""
	}
	for p := range pools {
		fmt.Fprintf(&b, "pool p%d %s answers=%d %s %s %s %s\n", p, policies[rnd.IntN(4)], []int{1, 1, 2, 3, 0}[rnd.IntN(5)],
			pick(3, fmt.Sprintf("min_up=%d", 1+rnd.IntN(3))), pick(4, fmt.Sprintf("min_up=%d%%", 1+rnd.IntN(100))),
			pick(3, fmt.Sprintf("fallback=p%d", rnd.IntN(pools))), pick(4, "fail_open=false"))
		for m := range 1 + rnd.IntN(4) {
			fmt.Fprintf(&b, "  m%d weight=%d %s %s ", m, rnd.IntN(5), pick(8, "disabled"),
				pick(1+rnd.IntN(4), "region="+[]string{"us", "eu", "in", "au"}[rnd.IntN(4)]))
			if p+1 < pools && rnd.IntN(3) == 0 {
				fmt.Fprintf(&b, "pool=p%d\n", p+1+rnd.IntN(pools-p-1))
				continue
			}
			b.WriteString(randomAddresses(rnd) + "\n")
		}
		fmt.Fprintf(&b, "bind p%d\n", p)
	}
	return b.String()
}

const regionsOfTheWorld = `
region us 39.04 -77.49
region eu 53.35 -6.26 10
region in 19.08 72.88
region au -33.87 151.21 -20
net 198.51.100.0/24 eu
net 203.0.113.0/25 in
net 203.0.113.128/25 au
`

// clientsOfTheWorld are places to ask from, one to each line of networks and more.
var clientsOfTheWorld = []string{"198.51.100.7", "203.0.113.1", "203.0.113.200", "8.8.8.8", "192.168.1.1", "1.1.1.1", "2001:4860::1", "2a00::1", "::ffff:198.51.100.7"}

func randomAddresses(rnd *rand.Rand) string {
	var addrs []string
	for len(addrs) == 0 {
		for range rnd.IntN(3) {
			addrs = append(addrs, fmt.Sprintf("192.0.2.%d", rnd.IntN(12)))
		}
		for range rnd.IntN(3) {
			addrs = append(addrs, fmt.Sprintf("2001:db8::%x", rnd.IntN(12)))
		}
	}
	slices.Sort(addrs)
	return strings.Join(slices.Compact(addrs), " ")
}

// randomTurns turns some targets, and the reference with them.
func randomTurns(rnd *rand.Rand, tree *Tree, r reference) []health.Turn {
	odds := rnd.Float64()
	var turns []health.Turn
	for i, target := range tree.Targets() {
		if rnd.IntN(3) == 0 {
			continue
		}
		to := []health.Verdict{health.Unknown, health.Up}[rnd.IntN(2)]
		if rnd.Float64() < odds {
			to = health.Down
		}
		r.down[target.Addr] = to == health.Down
		turns = append(turns, health.Turn{Index: i, Target: target, To: to})
	}
	return turns
}

func TestDecideMatchesTheReference(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where, err := geo.Open(world(t, regionsOfTheWorld))
	if err != nil {
		t.Fatal(err)
	}
	defer where.Close()
	for range 60 {
		text := randomWorld(rnd)
		cfg := world(t, text)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := reference{cfg, where, map[netip.Addr]bool{}}
		modes := map[string]Mode{}
		for id, p := range cfg.Pools {
			for _, f := range []Family{IPv4, IPv6} {
				modes[p.Name+f.String()] = tree.modes[id][f]
			}
		}
		for range 6 {
			compareAll(t, rnd, tree, r, modes)
			for _, c := range tree.Apply(randomTurns(rnd, tree, r)) {
				key := c.Pool + c.Family.String()
				if modes[key] != c.From {
					t.Errorf("%s changed from %s, was %s", key, c.From, modes[key])
				}
				modes[key] = c.To
			}
			if t.Failed() {
				t.Fatalf("seed %d, down %v, world:\n%s", seed, r.down, text)
			}
		}
	}
}

// compareAll asks each pool in both families from one client.
func compareAll(t *testing.T, rnd *rand.Rand, tree *Tree, r reference, modes map[string]Mode) {
	t.Helper()
	client := clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))]
	s := tree.Scratch()
	for _, p := range r.cfg.Pools {
		for _, f := range []Family{IPv4, IPv6} {
			q := ask(t, tree, p.Name, f, client)
			if rnd.IntN(3) == 0 {
				q.Answers = rnd.IntN(4)
			}
			mode, possible := r.ask(p.Name, f, q.Answers, q.Client)
			if tree.tellsOf(q.Pool, f) && modes[p.Name+f.String()] != mode {
				t.Errorf("pool %s %s: the changes told %s, the reference %s", p.Name, f, modes[p.Name+f.String()], mode)
			}
			got := map[string]int{}
			const draws = 1000
			for range draws {
				q.Draw = rnd.Uint64()
				if d := tree.Decide(q, s); d.Mode != mode {
					t.Errorf("%+v: mode %s, want %s", q, d.Mode, mode)
				}
				got[answerOf(s)]++
			}
			compareDraws(t, q, draws, got, possible, hasTurns(r.cfg))
		}
	}
}

// answerOf is the last answer, sorted.
func answerOf(s *Scratch) string {
	var answer []string
	for _, a := range s.Addrs {
		answer = append(answer, a.String())
	}
	slices.Sort(answer)
	return strings.Join(answer, " ")
}

// hasTurns reports whether some pool takes turns, which the reference takes for random.
func hasTurns(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool { return p.Policy == config.RoundRobin })
}

// compareDraws holds the answers of many draws against their probabilities:
// none that cannot be; none off by more than six standard deviations and ten
// answers, which chance does in less than one of 10^8 comparisons.
func compareDraws(t *testing.T, q Question, draws int, got map[string]int, possible outcomes, turns bool) {
	t.Helper()
	for answer, n := range got {
		if possible[answer] == 0 {
			t.Errorf("%+v: got %q (%d times), possible are %v", q, answer, n, possible)
		}
	}
	if turns {
		return
	}
	for answer, p := range possible {
		mean := p * float64(draws)
		off := math.Abs(float64(got[answer]) - mean)
		if off > 10+6*math.Sqrt(mean*(1-p)) {
			t.Errorf("%+v: got %q %d times of %d, want about %.1f", q, answer, got[answer], draws, mean)
		}
	}
}
