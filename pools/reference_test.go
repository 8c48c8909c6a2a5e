package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// reference is a slow and simple decision: it uses names and maps, and follows
// every possible draw to its end. It shares nothing with Tree but the
// configuration.
type reference struct {
	cfg   *config.Config
	where *geo.Locator
	down  map[netip.Addr]bool
	took  map[netip.Addr]time.Duration // response times of addresses
	one   bool                         // as if every pool had answers: 1

	time     int64  // of the request, and
	ttl      uint32 // its TTL
	overTime bool   // the choices of sticky: ttl over all times

	parts     map[netip.Addr]int // of those in slow start, in 256ths
	overrides []Override

	loads map[string]Load            // by source
	free  map[*config.Member]float64 // of least-load pools, while it is known: the free part of its capacity
	rooms map[*config.Member]float64 // of the same pools
}

// newReference returns a reference in which nothing is down.
func newReference(cfg *config.Config, where *geo.Locator) *reference {
	r := &reference{cfg: cfg, where: where, down: map[netip.Addr]bool{}, parts: map[netip.Addr]int{}, took: map[netip.Addr]time.Duration{}}
	r.loads, r.free, r.rooms = map[string]Load{}, map[*config.Member]float64{}, map[*config.Member]float64{}
	r.settleRooms()
	return r
}

// kind returns the override of a member.
func (r reference) kind(of *config.Member) Kind {
	best, kind := -1, Kind(0)
	for _, o := range r.overrides {
		rank := -1
		for i := range r.cfg.Pools {
			p := &r.cfg.Pools[i]
			for j := range p.Members {
				m := &p.Members[j]
				switch {
				case m != of:
				case o.Pool == p.Name && o.Member == m.Name:
					rank = 2
				case o.Pool == p.Name && o.Member == "":
					rank = 1
				case o.Pool == "" && o.Region != "" && o.Region == m.Region:
					rank = 0
				}
			}
		}
		if rank >= 0 && rank >= best {
			best, kind = rank, o.Kind
		}
	}
	return kind
}

func (r reference) regionDown(name string) bool {
	for _, region := range r.cfg.Regions {
		if region.Name == name && region.Check != "" {
			return !slices.ContainsFunc(region.Addresses, func(a netip.Addr) bool { return !r.down[a] })
		}
	}
	return false
}

// outcomes are the possible answers, each a sorted list of addresses, and the
// probability of each. Round-robin counts as if its turns were random.
type outcomes map[string]float64

// drawing is one partial answer of a pool.
type drawing struct {
	pool     *config.Pool
	family   Family
	plane    basis
	all      bool
	left     int              // answers that may still be added
	eligible []*config.Member // not yet drawn
	giving   []*config.Member // that have the family and have not given it
	last     *config.Member   // drawn before, nil at first
	part     func(*config.Member) int
	round    []*config.Member // spread: the members of regions without a member in the answer
	client   netip.Addr
	pace     func(*config.Member) time.Duration // the response time of a member; 0: unknown
	rooms    map[*config.Member]float64

	time      int64
	ttl       uint32
	overTime  bool
	byNetwork bool // geolocation: the members are of several regions
}

// takesTurns reports whether each member of a pool has its turn.
func takesTurns(p *config.Pool) bool { return p.Policy == config.RoundRobin && !p.Sticky }

// weightOf returns the weight of a member in its pool.
func weightOf(p *config.Pool, m *config.Member) int {
	if p.Policy == config.RoundRobin && p.Sticky {
		return min(m.Weight, 1)
	}
	return m.Weight
}

func (r reference) pool(name string) *config.Pool {
	i := slices.IndexFunc(r.cfg.Pools, func(p config.Pool) bool { return p.Name == name })
	return &r.cfg.Pools[i]
}

// ask returns how a pool that a name is bound to answers a client, and with what.
func (r reference) ask(name string, f Family, answers int, client netip.Addr) (Mode, outcomes) {
	p := r.pool(name)
	switch mode, by, pl := r.mode(p, f, &client); mode {
	case Dead:
		return Dead, outcomes{"": 1}
	default:
		return mode, r.walk(by, f, pl, answers, client, "")
	}
}

// mode returns how a pool that a name is bound to answers a client; nil: any client
// that no fence holds, if there is one.
func (r reference) mode(p *config.Pool, f Family, client *netip.Addr) (Mode, *config.Pool, basis) {
	held := p.Policy == config.Geolocation && p.OnDown != config.Widen && p.OnDown != "" && hasDefault(p)
	if client != nil {
		held = r.holds(p, *client)
	}
	switch {
	case r.poolLive(p, f, byVerdict):
		return Normal, p, byVerdict
	case p.Fallback != "" && !held && r.poolLive(r.pool(p.Fallback), f, byVerdict):
		return FallenBack, r.pool(p.Fallback), byVerdict
	case p.FailOpen == config.NeverOpen:
		return Dead, nil, byVerdict
	case p.FailOpen != config.AsIfUp && r.poolLive(p, f, remaining):
		return FailedOpen, p, remaining
	case r.poolLive(p, f, failOpen):
		return FailedOpen, p, failOpen
	}
	return Dead, nil, byVerdict
}

func (r reference) poolLive(p *config.Pool, f Family, pl basis) bool {
	able, live := 0, 0
	for i := range p.Members {
		if m := &p.Members[i]; m.Enabled && m.Weight > 0 && r.kind(m) != Drained {
			able++
		}
		if r.live(&p.Members[i], f, pl) {
			live++
		}
	}
	need := p.MinUp.N
	if p.MinUp.Percent {
		for need = 0; need*100 < able*p.MinUp.N; need++ {
		}
	}
	if pl != byVerdict {
		need = 1
	}
	return live >= max(1, need)
}

func (r reference) live(m *config.Member, f Family, pl basis) bool {
	kind := r.kind(m)
	switch {
	case !m.Enabled, m.Weight == 0, kind == Drained, kind == ForcedDown, kind == AssumedDown && pl != failOpen:
		return false
	case kind == ForcedUp && m.Pool == "":
		return true
	case kind == ForcedUp:
		p := r.pool(m.Pool)
		return slices.ContainsFunc(p.Members, func(m config.Member) bool { return r.live(r.member(p, m.Name), f, pl) })
	case kind == 0 && pl != failOpen && r.regionDown(m.Region):
		return false
	case pl != failOpen && r.around(m).DualStack == config.Together && !r.wholly(m, pl):
		return false
	case m.Pool != "":
		return r.poolLive(r.pool(m.Pool), f, pl)
	}
	addrs := of(m, f)
	if len(addrs) == 0 {
		addrs = of(m, 1-f)
	}
	return len(addrs) > 0 && (pl == failOpen || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !r.down[a] }))
}

// around returns the pool that a member is in.
func (r reference) around(m *config.Member) *config.Pool {
	for i := range r.cfg.Pools {
		for j := range r.cfg.Pools[i].Members {
			if &r.cfg.Pools[i].Members[j] == m {
				return &r.cfg.Pools[i]
			}
		}
	}
	panic("no such member")
}

// wholly reports whether a member gives each family that it would give if all were up.
func (r reference) wholly(m *config.Member, pl basis) bool {
	for _, f := range []Family{IPv4, IPv6} {
		up := func(a netip.Addr) bool { return !r.down[a] }
		if m.Pool == "" && len(of(m, f)) > 0 && !slices.ContainsFunc(of(m, f), up) {
			return false
		}
		if m.Pool != "" && r.has(m, f, failOpen) && !(r.poolLive(r.pool(m.Pool), f, pl) && r.has(m, f, pl)) {
			return false
		}
	}
	return true
}

func (r reference) member(p *config.Pool, name string) *config.Member {
	return &p.Members[slices.IndexFunc(p.Members, func(m config.Member) bool { return m.Name == name })]
}

// part returns the part of its clients that a member gets, in 256ths.
func (r reference) part(m *config.Member) int {
	most, parts, weights := 0, 0, 0
	switch {
	case r.kind(m) == ForcedUp:
		return 256
	case m.Pool != "":
		p := r.pool(m.Pool)
		for i := range p.Members {
			if in := &p.Members[i]; r.live(in, IPv4, byVerdict) || r.live(in, IPv6, byVerdict) {
				most = max(most, r.part(in))
				parts, weights = parts+r.part(in)*weightOf(p, in), weights+weightOf(p, in)
			}
		}
		if most == 256 || weights == 0 {
			return 256
		}
		return parts / weights
	}
	for _, a := range m.Addresses {
		if !r.down[a] {
			most = max(most, r.partOf(a))
		}
	}
	if most == 0 {
		return 256
	}
	return most
}

func (r reference) partOf(a netip.Addr) int {
	if part, slow := r.parts[a]; slow {
		return part
	}
	return 256
}

// admits reports whether a client is in the part of a member or region of a pool, by names.
func (r reference) admits(pool, name string, part int, client netip.Addr) bool {
	return (&Scratch{client: client}).admits(shareKey(pool, name), uint64(part))
}

// of returns the member's addresses of a family.
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
func (r reference) has(m *config.Member, f Family, pl basis) bool {
	if m.Pool == "" {
		return len(of(m, f)) > 0
	}
	p := r.pool(m.Pool)
	for i := range p.Members {
		if r.live(&p.Members[i], f, pl) && r.has(&p.Members[i], f, pl) {
			return true
		}
	}
	return false
}

// walk returns what a live pool adds to the answer so far.
func (r reference) walk(p *config.Pool, f Family, pl basis, answers int, client netip.Addr, sofar string) outcomes {
	d := drawing{pool: p, family: f, all: answers == 0, left: answers, client: client, rooms: r.rooms, time: r.time, ttl: max(1, r.ttl), overTime: r.overTime}
	if d.all {
		d.left = 1000
	}
	d.eligible, pl = r.answering(p, f, pl, client)
	d.plane = pl
	d.pace = func(m *config.Member) time.Duration { return r.pace(m, pl == failOpen) }
	d.part = func(m *config.Member) int { return r.part(m) }
	if pl != byVerdict {
		d.part = func(*config.Member) int { return 256 }
	}
	ways := map[int]float64{} // sets of indexes in d.eligible, by the members that may be drawn
	everybody := 1<<len(d.eligible) - 1
	switch p.Policy {
	case config.Proximity, config.LatencyPolicy: // nothing is measured here; see latency_test.go
		d.eligible = r.nearest(d, client)
		everybody = 1<<len(d.eligible) - 1
		ways[everybody] = 1
	case config.Failover:
		ways[r.inOrder(d, client)] = 1
	case config.Geolocation:
		d.byNetwork = len(d.eligible) > 0 && len(inRegion(d.eligible, d.eligible[0].Region)) < len(d.eligible)
		ways[everybody] = 1
	case config.RoundRobin, config.AllMembers:
		if ways[everybody] = 1; !p.Sticky {
			ways = d.byDraw()
		}
	default:
		ways[everybody] = 1
	}
	result := outcomes{}
	for way, chance := range ways {
		if way == 0 {
			way = everybody
		}
		narrowed := d
		narrowed.eligible = nil
		for i, m := range d.eligible {
			if way>>i&1 != 0 {
				narrowed.eligible = append(narrowed.eligible, m)
			}
		}
		for _, m := range narrowed.eligible {
			if r.has(m, f, pl) {
				narrowed.giving = append(narrowed.giving, m)
			}
		}
		result.add(r.draw(narrowed, client, sofar), chance)
	}
	return result
}

// inOrder returns the members that failover may choose from: those before the first one without
// slow start, as far as they take the client.
func (r reference) inOrder(d drawing, client netip.Addr) int {
	way, slow := 0, true
	for i, m := range d.eligible {
		slow = slow && d.part(m) < 256
		if !slow || r.admits(d.pool.Name, m.Name, d.part(m), client) {
			way |= 1 << i
		}
	}
	return way
}

// byDraw returns the members that round-robin may choose from, with their probabilities.
func (d drawing) byDraw() map[int]float64 {
	ways := map[int]float64{0: 1}
	for i, m := range d.eligible {
		next := map[int]float64{}
		part := float64(d.part(m)) / 256
		for way, chance := range ways {
			next[way|1<<i] += chance * part
			if part < 1 {
				next[way] += chance * (1 - part)
			}
		}
		ways = next
	}
	return ways
}

// nearest implements proximity among the regions that take the client; if none does, among all.
func (r reference) nearest(d drawing, client netip.Addr) []*config.Member {
	at := r.where.Locate(client)
	best, found := -1.0, ""
	bestOfAll, foundOfAll := -1.0, ""
	for _, region := range r.cfg.Regions {
		members := inRegion(d.eligible, region.Name)
		if len(members) == 0 {
			continue
		}
		km := geo.Biased(geo.Distance(config.Location{Lat: at.Lat, Lon: at.Lon}, region.Location), region.Bias)
		if bestOfAll < 0 || km < bestOfAll {
			bestOfAll, foundOfAll = km, region.Name
		}
		if (best < 0 || km < best) && r.takes(d, members, client) {
			best, found = km, region.Name
		}
	}
	if best < 0 {
		found = foundOfAll
	}
	return inRegion(d.eligible, found)
}

// takes reports whether a region with these eligible members takes the client.
func (r reference) takes(d drawing, members []*config.Member, client netip.Addr) bool {
	parts, weights := 0, 0
	for _, m := range members {
		if d.part(m) == 256 {
			return true
		}
		parts, weights = parts+d.part(m)*m.Weight, weights+m.Weight
	}
	return r.admits(d.pool.Name, members[0].Region, parts/weights, client)
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
	if len(d.round) == 0 || !d.pool.SpreadRegion {
		d.round = d.eligible
	}
	for m, chance := range d.choices(d.round, d.last) {
		next := d
		next.eligible, next.last = without(d.eligible, m), m
		next.round = slices.DeleteFunc(slices.Clone(d.round), func(o *config.Member) bool { return o.Region == m.Region })
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

// choices returns the members that the policy may choose, with their probabilities.
func (d drawing) choices(from []*config.Member, last *config.Member) map[*config.Member]float64 {
	choices := map[*config.Member]float64{}
	if len(from) == 0 {
		return choices
	}
	switch {
	case d.pool.Policy == config.Failover && d.pool.Trickle > 0 && len(from) > 1:
		choices[from[0]] = 1 - float64(d.pool.Trickle)/100
		choices[from[1]] = float64(d.pool.Trickle) / 100
	case d.pool.Policy == config.Failover:
		choices[from[0]] = 1
	case last != nil && (d.all && d.pool.Policy != config.AllMembers || takesTurns(d.pool)):
		choices[following(d.pool, from, last)] = 1
	case d.pool.StickyTTL && d.overTime:
		sum := 0
		for _, m := range from {
			sum += weightOf(d.pool, m) * max(1, d.part(m)*4096)
		}
		for _, m := range from {
			choices[m] = float64(weightOf(d.pool, m)*max(1, d.part(m)*4096)) / float64(sum)
		}
	case d.pool.Policy == config.Hash || d.pool.Sticky || d.byNetwork:
		choices[d.rendezvous(from)] = 1
	case d.pool.Policy == config.RoundRobin, d.pool.Policy == config.AllMembers:
		for _, m := range from {
			choices[m] = 1 / float64(len(from))
		}
	case d.pool.Policy == config.LeastLoad && d.roomOf(from) > 0:
		sum := d.roomOf(from)
		for _, m := range from {
			choices[m] = d.roomOf([]*config.Member{m}) / sum
		}
	default:
		if d.pool.Policy == config.Fastest {
			from = d.soonest(from)
		}
		sum := 0
		for _, m := range from {
			sum += m.Weight * d.part(m)
		}
		for _, m := range from {
			choices[m] = float64(m.Weight*d.part(m)) / float64(sum)
		}
	}
	return choices
}

// following returns the member of from that is written next after last, in a circle.
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

// give adds the addresses of a member and continues.
func (r reference) give(d drawing, m *config.Member, client netip.Addr, sofar string) outcomes {
	d.giving = without(d.giving, m)
	result := outcomes{}
	if m.Pool != "" {
		d.left--
		p := r.pool(m.Pool)
		answers := p.Answers
		if r.one {
			answers = 1
		}
		for answer, chance := range r.walk(p, d.family, d.plane, answers, client, sofar) {
			result.add(r.draw(d, client, answer), chance)
		}
		return result
	}
	for set, chance := range r.joining(d, m) {
		var fresh []string
		for _, a := range strings.Fields(set) {
			if !slices.Contains(strings.Fields(sofar), a) {
				fresh = append(fresh, a)
			}
		}
		ways := subsets(fresh, min(d.left, len(fresh)))
		next := d
		next.left -= max(1, min(d.left, len(fresh)))
		for _, way := range ways {
			answer := append(strings.Fields(sofar), way...)
			slices.Sort(answer)
			result.add(r.draw(next, client, strings.Join(answer, " ")), chance/float64(len(ways)))
		}
	}
	return result
}

// joining returns which addresses of an endpoint may be answered: the up ones;
// those in slow start join by chance, unless none does.
func (r reference) joining(d drawing, m *config.Member) outcomes {
	counted := d.plane == failOpen || r.kind(m) == ForcedUp
	addrs := slices.DeleteFunc(of(m, d.family), func(a netip.Addr) bool { return !counted && r.down[a] })
	all := ""
	sets := outcomes{"": 1}
	for _, a := range addrs {
		all += " " + a.String()
		part := float64(r.partOf(a)) / 256
		if counted || len(of(m, d.family)) == 1 {
			part = 1
		}
		next := outcomes{}
		for set, chance := range sets {
			next[set+" "+a.String()] += chance * part
			if part < 1 {
				next[set] += chance * (1 - part)
			}
		}
		sets = next
	}
	if none := sets[""]; none > 0 {
		delete(sets, "")
		sets[all] += none
	}
	return sets
}

// subsets returns all sets of n of some.
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

// randomWorld makes random pools, later ones nested in earlier ones, over a
// few regions. Addresses are often shared, families often missing.
func randomWorld(rnd *rand.Rand) string {
	var b strings.Builder
	b.WriteString(regionsOfTheWorld)
	pools := 1 + rnd.IntN(5)
	policies := []string{
		"proximity", "weighted", "round-robin", "failover", "geolocation", "hash", "fastest", "latency", "all",
		"least-load", "least-load", "weighted sticky", "weighted sticky=ttl", "round-robin sticky", "round-robin sticky=ttl", "failover trickle=30", "weighted spread", "failover spread", "round-robin spread", "geolocation fence", "geolocation open", "geolocation open", "hash hash=20/33 spread", "least-load spread",
	}
	pick := func(odds int, text string) string {
		if rnd.IntN(odds) == 0 {
			return text
		}
		return ""
	}
	for p := range pools {
		policy := policies[rnd.IntN(len(policies))]
		matches := randomMatches(rnd)
		fmt.Fprintf(&b, "pool p%d %s answers=%d %s %s %s %s\n", p, policy, []int{1, 1, 2, 3, 0}[rnd.IntN(5)],
			pick(3, fmt.Sprintf("min_up=%d", 1+rnd.IntN(3))), pick(4, fmt.Sprintf("min_up=%d%%", 1+rnd.IntN(100))),
			pick(3, fmt.Sprintf("fallback=p%d", rnd.IntN(pools))), pick(2, "fail_open="+[]string{"never", "all"}[rnd.IntN(2)])+pick(3, " together"))
		for m := range 1 + rnd.IntN(4) {
			fmt.Fprintf(&b, "  m%d weight=%d %s %s ", m, rnd.IntN(5), pick(8, "disabled"),
				pick(1+rnd.IntN(4), "region="+[]string{"us", "eu", "in", "au"}[rnd.IntN(4)]))
			if strings.HasPrefix(policy, "geolocation") {
				fmt.Fprintf(&b, "match=%s ", matches[rnd.IntN(len(matches))])
			}
			b.WriteString(pick(2, []string{"load=0 ", "load=64 ", "load=200 ", "capacity=100 "}[rnd.IntN(4)]))
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
region eu 53.35 -6.26 10 192.0.2.0 192.0.2.99
region in 19.08 72.88
region au -33.87 151.21 -20
net 198.51.100.0/24 eu
net 203.0.113.0/25 in
net 203.0.113.128/25 au
net 192.88.99.0/24 country:DE
net 192.88.99.0/26 subdivision:DE-BE
net 192.88.99.128/25 continent:AS
group alps DE AT CH
group europe DE AT CH FR NL
`

// clientsOfTheWorld returns clients, one from each network and more.
var clientsOfTheWorld = []string{"192.88.99.1", "192.88.99.100", "192.88.99.200", "198.51.100.7", "203.0.113.1", "203.0.113.200", "8.8.8.8", "192.168.1.1", "1.1.1.1", "2001:4860::1", "2a00::1", "::ffff:198.51.100.7"}

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

// randomTurns changes some targets, in the tree and the reference.
func randomTurns(rnd *rand.Rand, tree *Tree, r *reference) []health.Transition {
	odds := rnd.Float64()
	var turns []health.Transition
	for i, target := range tree.Targets() {
		if rnd.IntN(3) == 0 {
			continue
		}
		to := []health.Verdict{health.Unknown, health.Up}[rnd.IntN(2)]
		if rnd.Float64() < odds {
			to = health.Down
		}
		r.down[target.Addr] = to == health.Down
		share := uint8(0)
		if delete(r.parts, target.Addr); rnd.IntN(2) == 0 {
			share = uint8(rnd.IntN(256))
		}
		if share > 0 && to != health.Down {
			r.parts[target.Addr] = int(share)
		}
		took := time.Duration(rnd.IntN(5)) * 10 * time.Millisecond * time.Duration(rnd.IntN(2))
		if took > 0 {
			r.took[target.Addr] = took
		}
		turns = append(turns, health.Transition{Index: i, Target: target, To: to, SlowStartWeight: share, Response: took})
	}
	return turns
}

// randomOverrides sets some, in the tree and the reference.
func randomOverrides(rnd *rand.Rand, tree *Tree, r *reference) []Change {
	r.overrides = nil
	for range rnd.IntN(4) {
		p := &r.cfg.Pools[rnd.IntN(len(r.cfg.Pools))]
		o := []Override{
			{Pool: p.Name},
			{Pool: p.Name, Member: p.Members[rnd.IntN(len(p.Members))].Name},
			{Pool: p.Name, Member: p.Members[rnd.IntN(len(p.Members))].Name},
			{Region: r.cfg.Regions[rnd.IntN(len(r.cfg.Regions))].Name},
		}[rnd.IntN(4)]
		o.Kind = Kind(1 + rnd.IntN(4))
		r.overrides = append(r.overrides, o)
	}
	changes, _ := tree.SetOverrides(r.overrides)
	return changes
}

func TestDecideMatchesTheReference(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	for range rounds(40) {
		text := randomWorld(rnd) + randomPlain(rnd)
		cfg := world(t, text)
		if rnd.IntN(2) == 0 {
			loaded(t, cfg, "eu=300", "us=90")
		}
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		modes := map[string]Mode{}
		for id, p := range cfg.Pools {
			for _, f := range []Family{IPv4, IPv6} {
				modes[p.Name+f.String()] = tree.modes[id][f]
			}
		}
		for range 6 {
			compareAll(t, rnd, tree, *r, modes)
			changes := tree.Apply(randomTurns(rnd, tree, r))
			if rnd.IntN(2) == 0 {
				changes = append(changes, randomOverrides(rnd, tree, r)...)
			}
			randomLoads(rnd, tree, r)
			for _, c := range changes {
				key := c.Pool + c.Family.String()
				if modes[key] != c.From {
					t.Errorf("%s changed from %s, was %s", key, c.From, modes[key])
				}
				modes[key] = c.To
			}
			if t.Failed() {
				t.Fatalf("seed %d, down %v, parts %v, overrides %+v, loads %v, world:\n%s", seed, r.down, r.parts, r.overrides, r.loads, text)
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
			s.Time, s.TTL = rnd.Int64N(1<<32), rnd.Uint32N(100)
			r.time, r.ttl = s.Time, s.TTL
			mode, possible := r.ask(p.Name, f, q.Answers, q.Client)
			if all, _, _ := r.mode(&p, f, nil); tree.hasFamily(q.Pool, f) && modes[p.Name+f.String()] != all {
				t.Errorf("pool %s %s: the changes told %s, the reference %s", p.Name, f, modes[p.Name+f.String()], all)
			}
			compareOdds(t, tree, r, q, s)
			got := map[string]int{}
			const draws = 1000
			for range draws {
				q.Draw = rnd.Uint64()
				if d := tree.Decide(q, s); d.Mode != mode && !(d.Mode == FailedOpen && hasOpen(r.cfg)) {
					t.Errorf("%+v: mode %s, want %s", q, d.Mode, mode)
				}
				got[answerOf(s)]++
			}
			compareDraws(t, q, draws, got, possible, hasTurns(r.cfg))
		}
	}
}

// answerOf returns the last answer, sorted.
func answerOf(s *Scratch) string {
	var answer []string
	for _, a := range s.Addrs {
		answer = append(answer, a.String())
	}
	slices.Sort(answer)
	return strings.Join(answer, " ")
}

// hasTurns reports whether some pool takes turns, which are random in the reference.
func hasTurns(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool { return takesTurns(&p) })
}

// compareDraws compares the answers of many draws with their probabilities:
// none may be impossible, and none off by more than six standard deviations and ten
// answers, which happens by chance in less than one of 10^8 comparisons.
func compareDraws(t *testing.T, q Request, draws int, got map[string]int, possible outcomes, turns bool) {
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
