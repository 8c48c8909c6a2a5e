package pools

import (
	"fmt"
	"math"
	"slices"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// Compile compiles cfg's pools; every target counts as up until Apply changes it.
// Members with a target have no address until Resolve sets them. where ranks the
// regions of proximity and latency pools, lists the matches of geolocation pools
// and identifies private networks for hash pools; it may be nil if there is no such
// pool. The error, if any, is a *multierror.Error of config.Errors.
func Compile(cfg *config.Config, where *geo.Locator) (*Tree, error) {
	var roundTrips *geo.Latency
	if where != nil {
		roundTrips = where.Latency()
	}
	return compileWith(cfg, where, nil, roundTrips)
}

// compileWith is Compile with round trips. If like is not nil, it is a tree of the same configuration
// and Locator; the geo tables that do not change are taken from it.
func compileWith(cfg *config.Config, where *geo.Locator, like *Tree, roundTrips *geo.Latency) (*Tree, error) {
	c := newCompiler(cfg, where)
	c.tree.roundTrips = roundTrips
	for i := range cfg.Pools {
		c.pool(&cfg.Pools[i])
	}
	c.checkRegions()
	c.rank(like)
	c.linkParents()
	if err := c.order(); err != nil {
		c.fail(*err)
	}
	if c.errs == nil {
		c.compileRecords()
		c.limitDraws()
		c.time()
		c.loads()
	}
	if c.errs != nil {
		return nil, c.errs
	}
	c.tree.v4, c.tree.v6 = c.v4.all, c.v6.all
	c.tree.initState()
	c.tree.unresolved = c.newUnresolved()
	return c.tree, nil
}

// compiler holds what only the compilation needs.
type compiler struct {
	tree *Tree
	cfg  *config.Config
	errs *multierror.Error

	pools    map[string]uint32
	regions  map[string]uint32
	checks   map[string]*config.Check
	tables   map[string]uint32 // Tree.geoTables by the regions' numbers
	rankings []ranking         // Tree.geoTables, before they are made

	numbering
	targeted []memberRef // the members with a target

	groupOf  []uint32 // by region, then no region: its group in the pool being compiled, or none
	regionOf []uint32 // by member of the pool being compiled: its region; one past the last for none
	mine     []uint32 // the regions of the pool being compiled, in the order of the configuration; no region comes last
	key      []byte   // of c.tables, being made
}

func newCompiler(cfg *config.Config, where *geo.Locator) *compiler {
	c := &compiler{
		tree:    &Tree{shape: shape{cfg: cfg, locator: where}},
		cfg:     cfg,
		pools:   make(map[string]uint32, len(cfg.Pools)),
		regions: make(map[string]uint32, len(cfg.Regions)),
		checks:  make(map[string]*config.Check, len(cfg.Checks)),
		tables:  make(map[string]uint32),
		groupOf: make([]uint32, len(cfg.Regions)+1),
	}
	for i := range cfg.Pools {
		c.pools[cfg.Pools[i].Name] = uint32(i)
	}
	for i := range cfg.Regions {
		c.regions[cfg.Regions[i].Name] = uint32(i)
	}
	for i := range cfg.Checks {
		c.checks[cfg.Checks[i].Name] = &cfg.Checks[i]
	}
	for i := range c.groupOf {
		c.groupOf[i] = none
	}
	c.reserve()
	return c
}

// reserve allocates all slices at their final size.
func (c *compiler) reserve() {
	members, v4, v6 := 0, 0, 0
	for i := range c.cfg.Pools {
		p := &c.cfg.Pools[i]
		members += len(p.Members)
		for j := range p.Members {
			if p.Members[j].Target != "" { // room for its later addresses
				v4++
				v6++
			}
			for _, a := range p.Members[j].Addresses {
				if a.Unmap().Is4() {
					v4++
				} else {
					v6++
				}
			}
		}
	}
	c.v4, c.v6 = newInterner(v4, splitV4), newInterner(v6, splitV6)
	c.ofV4, c.ofV6 = make([]uint32, 0, v4), make([]uint32, 0, v6)
	t := c.tree
	t.pools = make([]pool, 0, len(c.cfg.Pools))
	t.members = make([]member, 0, members)
	t.weights = make([]uint32, 0, members)
	t.refs = make([]addrRef, 0, v4+v6)
	t.soleAddresses = make([]soleAddresses, 0, members)
}

// errorf records an error in a pool. config.Load lets none through; a
// configuration made otherwise gets an error instead of a crash.
func (c *compiler) errorf(p *config.Pool, pos config.Pos, key, what, hint string) {
	c.fail(c.cfg.ErrorAt(pos, "pools."+p.Name+key, what, hint))
}

func (c *compiler) fail(f config.Error) { c.errs = multierror.Append(c.errs, f) }

// pool compiles one pool; its state begins at the end of the previous pool's.
func (c *compiler) pool(from *config.Pool) {
	t := c.tree
	p := pool{
		failOpen: from.FailOpen != config.NeverOpen,
		openAll:  from.FailOpen == config.AsIfUp,
		nests:    slices.ContainsFunc(from.Members, func(m config.Member) bool { return m.Pool != "" }),
		first:    uint32(len(t.members)),
		members:  uint32(len(from.Members)),
		words:    uint32(bitset.WordsFor(len(from.Members))),
		groups:   uint32(len(t.groups)),
		table:    none,
		scores:   none,
		percent:  from.MinUp.Percent,
		minUp:    uint32(min(max(1, from.MinUp.N), math.MaxInt32)),
		answers:  uint32(max(0, from.Answers)),
		fallback: none,
	}
	if last := len(t.pools) - 1; last >= 0 {
		p.state = t.pools[last].end()
	}
	var ok bool
	if p.policy, ok = policyOf(from); !ok {
		c.errorf(from, from.Pos, ".policy", fmt.Sprintf("unknown policy %q", from.Policy), "proximity, geolocation, weighted, round-robin, failover, hash, fastest, latency, least-load or all")
	}
	if from.Fallback != "" {
		p.fallback = c.reference(from, from.Pos, ".fallback", from.Fallback)
	}
	if p.policy == roundRobin {
		p.turn = uint32(t.turns)
		t.turns++
	}
	c.group(from, &p)
	c.compilePolicy(from, &p)
	for i := range from.Members {
		c.member(from, i)
	}
	p.even = even(t.weights[p.first:])
	for _, w := range t.weights[p.first:] {
		if w > 0 {
			p.weighing++
		}
	}
	c.setSoleAddresses(&p)
	t.pools = append(t.pools, p)
	t.poolWords = p.end()
	t.feeds = t.feeds || p.policy == leastLoad || from.Shed != (config.Shed{}) || from.Bound != 0
}

// compilePolicy compiles the settings that only some policies have.
func (c *compiler) compilePolicy(from *config.Pool, p *pool) {
	p.spread = from.SpreadRegion
	p.together = from.DualStack == config.Together
	switch p.policy {
	case geolocation:
		c.match(from, p)
	case hash:
		c.hash(from, p)
	case failover:
		p.trickle = math.MaxUint64 / 100 * uint64(min(max(0, from.Trickle), 100))
	}
}

// even reports whether all weights that are not 0 are equal.
func even(weights []uint32) bool {
	most := uint32(0)
	for _, w := range weights {
		if w != 0 && most != 0 && w != most {
			return false
		}
		most = max(most, w)
	}
	return true
}

// reference returns the number of the pool that key names.
func (c *compiler) reference(p *config.Pool, pos config.Pos, key, name string) uint32 {
	id, ok := c.pools[name]
	if !ok {
		c.errorf(p, pos, key, fmt.Sprintf("unknown pool %q", name), "a pool of this file")
		return none
	}
	return id
}

// member compiles the i-th member of a pool.
func (c *compiler) member(from *config.Pool, i int) {
	t, m := c.tree, &from.Members[i]
	compiled := member{child: none, group: c.groupOf[c.regionOf[i]], first: uint32(len(t.refs))}
	key := func(k string) string { return fmt.Sprintf(".members[%d].%s", i, k) }
	switch {
	case m.Pool != "":
		compiled.child = c.reference(from, m.Pos, key("pool"), m.Pool)
	case m.CName != "":
		c.cname(m, &compiled)
	case m.HasOnlyRecords():
		c.onlyRecords(&compiled)
	case m.Target == "" && len(m.Addresses) == 0 || len(m.Addresses) > math.MaxUint16:
		c.errorf(from, m.Pos, key("addresses"), fmt.Sprintf("%d addresses", len(m.Addresses)), "1 to 65535")
	case m.Target != "":
		c.targeted = append(c.targeted, memberRef{uint32(len(t.pools)), uint32(i)})
		c.memberCheck(from, i) // reports an unknown check now
	default:
		c.endpoint(from, i, m.Addresses, &compiled)
	}
	t.feeds = t.feeds || m.Load != nil
	weight := uint32(0)
	if m.Enabled {
		weight = uint32(max(0, m.Weight))
	}
	if from.Policy == config.RoundRobin && from.Sticky {
		weight = min(weight, 1) // equal parts, as turns are
	}
	t.members = append(t.members, compiled)
	t.weights = append(t.weights, weight)
}
