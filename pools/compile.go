package pools

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// Compile compiles cfg's pools; every target counts as up until Apply says
// otherwise. where ranks the regions of proximity pools; it may be nil where
// there is no such pool. The error, if any, is a *multierror.Error of
// config.Faults.
func Compile(cfg *config.Config, where *geo.Locator) (*Tree, error) {
	c := newCompiler(cfg, where)
	for i := range cfg.Pools {
		c.pool(&cfg.Pools[i])
	}
	c.connect()
	if err := c.order(); err != nil {
		c.fail(*err)
	}
	if c.faults != nil {
		return nil, c.faults
	}
	c.tree.start()
	return c.tree, nil
}

// compiler holds what is needed only until the tree stands.
type compiler struct {
	tree   *Tree
	cfg    *config.Config
	faults *multierror.Error

	pools   map[string]uint32
	regions map[string]uint32
	checks  map[string]*config.Check
	tables  map[string]uint32 // Tree.tables by the regions' numbers

	v4      map[[4]byte]uint32 // numbers of addresses
	v6      map[[16]byte]uint32
	ofV4    []uint32 // by address: its first target, or none
	ofV6    []uint32
	nextOf  []uint32 // by target: the next one of the same address, or none
	groupOf []uint32 // by region, then no region: its group in the pool being compiled, or none
	mine    []uint32 // the regions of the pool being compiled, in the order of the configuration
}

func newCompiler(cfg *config.Config, where *geo.Locator) *compiler {
	c := &compiler{
		tree:    &Tree{cfg: cfg, where: where},
		cfg:     cfg,
		pools:   make(map[string]uint32, len(cfg.Pools)),
		regions: make(map[string]uint32, len(cfg.Regions)),
		checks:  make(map[string]*config.Check, len(cfg.Checks)),
		tables:  make(map[string]uint32),
		v4:      make(map[[4]byte]uint32),
		v6:      make(map[[16]byte]uint32),
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

// reserve makes room for everything at once.
func (c *compiler) reserve() {
	members, words := 0, 0
	for i := range c.cfg.Pools {
		n := len(c.cfg.Pools[i].Members)
		members += n
		words += wordsFor(n)
	}
	t := c.tree
	t.pools = make([]pool, 0, len(c.cfg.Pools))
	t.members = make([]member, 0, members)
	t.weights = make([]uint32, 0, members)
	t.refs = make([]ref, 0, members)
	t.state = make([]atomic.Uint64, words*statePerWord)
}

// fault is one thing wrong with a pool. config.Load lets none through; a
// configuration made otherwise gets an error and not a crash.
func (c *compiler) fault(p *config.Pool, pos config.Pos, key, what, hint string) {
	c.fail(c.cfg.Fault(pos, "pools."+p.Name+key, what, hint))
}

func (c *compiler) fail(f config.Fault) { c.faults = multierror.Append(c.faults, f) }

// pool compiles one pool; its state is where those before it left off.
func (c *compiler) pool(from *config.Pool) {
	t := c.tree
	p := pool{
		failOpen: from.FailOpen,
		first:    uint32(len(t.members)),
		members:  uint32(len(from.Members)),
		words:    uint32(wordsFor(len(from.Members))),
		groups:   uint32(len(t.groups)),
		table:    none,
		need:     need(from),
		answers:  uint32(max(0, from.Answers)),
		fallback: none,
	}
	if last := len(t.pools) - 1; last >= 0 {
		p.state = t.pools[last].state + t.pools[last].words*statePerWord
	}
	var ok bool
	if p.policy, ok = policyOf(from.Policy); !ok {
		c.fault(from, from.Pos, ".policy", fmt.Sprintf("unknown policy %q", from.Policy), "proximity, weighted, round-robin or failover")
	}
	if from.Fallback != "" {
		p.fallback = c.reference(from, from.Pos, ".fallback", from.Fallback)
	}
	if p.policy == roundRobin {
		p.turn = uint32(t.turns)
		t.turns++
	}
	c.group(from, &p)
	for i := range from.Members {
		c.member(from, i)
	}
	p.even = even(t.weights[p.first:])
	t.pools = append(t.pools, p)
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

// need is how many members must be live for the pool to be: never none.
func need(p *config.Pool) uint32 {
	n := p.MinUp.N
	if p.MinUp.Percent {
		n = (enabled(p)*n + 99) / 100
	}
	return uint32(min(max(1, n), math.MaxInt32))
}

// enabled counts the enabled members, those of weight 0 too.
func enabled(p *config.Pool) int {
	n := 0
	for i := range p.Members {
		if p.Members[i].Enabled {
			n++
		}
	}
	return n
}

// reference is the number of the pool that key names.
func (c *compiler) reference(p *config.Pool, pos config.Pos, key, name string) uint32 {
	id, ok := c.pools[name]
	if !ok {
		c.fault(p, pos, key, fmt.Sprintf("unknown pool %q", name), "a pool of this file")
		return none
	}
	return id
}

// group forms the pool's groups, one for each region among its members in the
// order of the configuration, then one of those without a region. Leaves in
// c.groupOf, until the next pool, which group a region is.
func (c *compiler) group(from *config.Pool, p *pool) {
	c.numberGroups(from)
	p.ngroups = uint32(len(c.mine))
	if p.policy == proximity && len(c.mine) > 1 {
		p.table = c.table(from)
	}
	t := c.tree
	t.groups = append(t.groups, make(set, p.ngroups*p.words)...)
	for i := range from.Members {
		t.group(p, c.groupOf[c.regionOf(&from.Members[i])]).add(i)
	}
}

// numberGroups collects the regions of a pool's members in c.mine and
// numbers them in c.groupOf.
func (c *compiler) numberGroups(from *config.Pool) {
	for _, region := range c.mine { // of the pool before
		c.groupOf[region] = none
	}
	c.mine = c.mine[:0]
	for i := range from.Members {
		m := &from.Members[i]
		if _, ok := c.regions[m.Region]; !ok && m.Region != "" {
			c.fault(from, m.Pos, fmt.Sprintf(".members[%d].region", i), fmt.Sprintf("unknown region %q", m.Region), "a region of this file")
		}
		if region := c.regionOf(m); c.groupOf[region] == none {
			c.groupOf[region] = 0
			c.mine = append(c.mine, region)
		}
	}
	slices.Sort(c.mine)
	for g, region := range c.mine {
		c.groupOf[region] = uint32(g)
	}
}

// regionOf is the number of a member's region; one past the last for none.
func (c *compiler) regionOf(m *config.Member) uint32 {
	if region, ok := c.regions[m.Region]; ok {
		return region
	}
	return uint32(len(c.cfg.Regions))
}

// table is the geo table that ranks the regions of the pool being compiled.
// Pools with the same regions have the same one.
func (c *compiler) table(from *config.Pool) uint32 {
	var key []byte
	for _, region := range c.mine {
		key = binary.LittleEndian.AppendUint32(key, region)
	}
	if table, ok := c.tables[string(key)]; ok {
		return table
	}
	regions := make([]config.Region, 0, len(c.mine))
	for _, region := range c.mine {
		if int(region) < len(c.cfg.Regions) {
			regions = append(regions, c.cfg.Regions[region])
		}
	}
	table, err := c.tree.where.Table(regions)
	if err != nil {
		c.fault(from, from.Pos, "", "cannot rank its regions: "+err.Error(), "")
		return none
	}
	number := uint32(len(c.tree.tables))
	c.tree.tables = append(c.tree.tables, table)
	c.tables[string(key)] = number
	return number
}

// member compiles the i-th member of a pool.
func (c *compiler) member(from *config.Pool, i int) {
	t, m := c.tree, &from.Members[i]
	compiled := member{child: none, group: c.groupOf[c.regionOf(m)], first: uint32(len(t.refs))}
	key := func(k string) string { return fmt.Sprintf(".members[%d].%s", i, k) }
	switch {
	case m.Pool != "":
		compiled.child = c.reference(from, m.Pos, key("pool"), m.Pool)
	case len(m.Addresses) == 0 || len(m.Addresses) > math.MaxUint16:
		c.fault(from, m.Pos, key("addresses"), fmt.Sprintf("%d addresses", len(m.Addresses)), "1 to 65535")
	default:
		c.endpoint(from, i, &compiled)
	}
	weight := uint32(0)
	if m.Enabled {
		weight = uint32(max(0, m.Weight))
	}
	t.members = append(t.members, compiled)
	t.weights = append(t.weights, weight)
}

// endpoint takes in the addresses of the i-th member.
func (c *compiler) endpoint(from *config.Pool, i int, to *member) {
	m := &from.Members[i]
	check := c.checks[m.Check]
	if check == nil && m.Check != "" {
		c.fault(from, m.Pos, fmt.Sprintf(".members[%d].check", i), fmt.Sprintf("unknown check %q", m.Check), "a check of this file")
	}
	for _, a := range m.Addresses {
		if a.Unmap().Is4() {
			c.tree.refs = append(c.tree.refs, c.ref(a.Unmap(), check))
			to.n4++
		}
	}
	for _, a := range m.Addresses {
		if !a.Unmap().Is4() {
			c.tree.refs = append(c.tree.refs, c.ref(a.WithZone(""), check))
			to.n6++
		}
	}
}

// ref numbers an address and, where there is a check, its target.
func (c *compiler) ref(a netip.Addr, check *config.Check) ref {
	number, first := c.number(a)
	if check == nil {
		return ref{number, none}
	}
	t := c.tree
	for target := *first; target != none; target = c.nextOf[target] {
		if t.targets[target].Check == check {
			return ref{number, target}
		}
	}
	target := uint32(len(t.targets))
	t.targets = append(t.targets, health.Target{Check: check, Addr: a})
	c.nextOf = append(c.nextOf, *first)
	*first = target
	return ref{number, target}
}

// number numbers an address within its family, and finds where its first target stands.
func (c *compiler) number(a netip.Addr) (number uint32, first *uint32) {
	if a.Is4() {
		return numberIn(c.v4, &c.tree.v4, &c.ofV4, a.As4())
	}
	return numberIn(c.v6, &c.tree.v6, &c.ofV6, a.As16())
}

// numberIn is number within a family.
func numberIn[A comparable](known map[A]uint32, addrs *[]A, targets *[]uint32, a A) (number uint32, first *uint32) {
	number, ok := known[a]
	if !ok {
		number = uint32(len(*addrs))
		known[a] = number
		*addrs = append(*addrs, a)
		*targets = append(*targets, none)
	}
	return number, &(*targets)[number]
}

// connect lists who must hear of what: the members of a target, the parents of
// a pool, the pools that a pool stands in for.
func (c *compiler) connect() {
	t := c.tree
	t.bound = make([]bool, len(t.pools))
	for i := range c.cfg.Zones {
		for _, name := range c.cfg.Zones[i].Names {
			if id, ok := c.pools[name.Pool]; ok {
				t.bound[id] = true
			}
		}
	}
	t.users = newIndex(len(t.targets), func(yield func(uint32, use)) {
		t.eachMember(func(u use, m *member) {
			for _, r := range t.refs[m.first:][:int(m.n4)+int(m.n6)] {
				if r.target != none {
					yield(r.target, u)
				}
			}
		})
	})
	t.parents = newIndex(len(t.pools), func(yield func(uint32, use)) {
		t.eachMember(func(u use, m *member) {
			if m.child != none {
				yield(m.child, u)
			}
		})
	})
	t.backed = newIndex(len(t.pools), func(yield func(uint32, ID)) {
		for id := range t.pools {
			if p := &t.pools[id]; p.fallback != none && t.bound[id] {
				yield(p.fallback, ID(id))
			}
		}
	})
}

func (t *Tree) eachMember(visit func(use, *member)) {
	for id := range t.pools {
		p := &t.pools[id]
		for i := range p.members {
			visit(use{uint32(id), i}, &t.members[p.first+i])
		}
	}
}

// order gives each pool its height, children before parents, and finds how much
// of the stack the deepest walk needs. A pool inside itself is a fault.
func (c *compiler) order() *config.Fault {
	t := c.tree
	open := make([]uint32, len(t.pools)) // nested pools without a height
	deepest := make([]uint32, len(t.pools))
	t.eachMember(func(u use, m *member) {
		if m.child != none {
			open[u.pool]++
		}
	})
	var ready []uint32
	for id, n := range open {
		if n == 0 {
			ready = append(ready, uint32(id))
		}
	}
	for done := 0; done < len(ready); done++ {
		id := ready[done]
		p := &t.pools[id]
		deepest[id] += setsPerVisit * p.words
		t.deepest = max(t.deepest, int(deepest[id]))
		t.heights = max(t.heights, int(p.height)+1)
		for _, parent := range t.parents.of(id) {
			above := &t.pools[parent.pool]
			above.height = max(above.height, p.height+1)
			deepest[parent.pool] = max(deepest[parent.pool], deepest[id])
			if open[parent.pool]--; open[parent.pool] == 0 {
				ready = append(ready, parent.pool)
			}
		}
	}
	for id, n := range open {
		if n > 0 {
			p := &c.cfg.Pools[id]
			f := c.cfg.Fault(p.Pos, "pools."+p.Name, "the pool is, through its members, inside itself", "pools nest without a circle")
			return &f
		}
	}
	return nil
}
