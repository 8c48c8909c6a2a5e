package zones

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
)

// compiler builds a snapshot. It first adds nodes and collects records, in file order, and then computes the rest.
type compiler struct {
	*Report
	source
	s *Data

	changed time.Time // when the configuration last changed

	parents   []NodeID // by NodeID: the node directly above, in any zone; 0: none
	records   []record
	rdata     []byte      // of all records
	setAt     []place     // by index of Data.sets: the position of its first record
	changedAt []time.Time // by ZoneID: when the zone last changed
	hasErrors []bool      // by ZoneID: its file has errors, so missing records may be in the unparsed part
	pools     map[string]pools.ID
	cnames    []CName    // by pool
	families  []families // by pool
	bindings  map[Binding]uint32
	services  map[string]Service // by their data
	viewIDs   map[string]ViewID
	rows      map[string]ViewsID // rows of Data.viewed
	buf       []byte             // to pack one record

	memberTypes []uint8 // by pool, see Binding.Types

	hashed      map[string]NodeID // the owners of NSEC3 records
	presignedAt []place           // by ZoneID: the RRSIG record of a presigned zone that expires first
}

// compile compiles the zones of cfg. It reads master files from fsys, rooted at /. It returns nil if there are
// errors.
func compile(cfg *config.Config, fsys fs.FS, now time.Time) (*Data, *Report) {
	return compileFrom(cfg, source{fsys: fsys}, now)
}

// source is what the compiler reads besides the configuration.
type source struct {
	fsys   fs.FS  // rooted at /
	copies Copies // of zones that have primaries
	before *Masters
	frozen bool // the master files are as in before, even if they have changed
}

// compileFrom is compile with another source.
func compileFrom(cfg *config.Config, from source, now time.Time) (*Data, *Report) {
	c := newCompiler(cfg, from, now)
	c.addZones()
	c.cnames = c.aliasing()
	c.families, c.memberTypes = c.givenFamilies(), c.givenTypes()
	for i := range cfg.Zones {
		switch z := ZoneID(i); {
		case c.s.zones[z].apex == 0:
		case len(cfg.Zones[i].Primaries) > 0:
			c.addBalancedNames(z) // first: they replace what the copy has at them
			c.addCopy(z, c.copies[cfg.Zones[i].Name], now)
		default:
			c.changedAt[z] = later(c.changed, c.readMaster(z))
			c.addApexRecords(z)
			c.addBalancedNames(z)
			c.addWhoamiNames(z)
			c.addReportAgent(z)
			c.addCatalog(z)
		}
	}
	c.link()
	c.addSets()
	c.renderMembers()
	c.check()
	c.checkPresigned(now)
	if len(c.errs) > 0 {
		return nil, c.Report
	}
	c.render()
	if len(c.errs) > 0 {
		return nil, c.Report
	}
	c.s.prepareNegative()
	c.s.number()
	c.s.merged.delegations = len(c.s.cuts) + len(c.s.glue)
	c.s.configured, c.s.origin = c.s.Summary(), new(origin)
	return c.s, c.Report
}

func newCompiler(cfg *config.Config, from source, now time.Time) *compiler {
	names, octets := 1, 0
	for i := range cfg.Zones {
		names += 4 + len(cfg.Zones[i].Names)
		for j := range cfg.Zones[i].Names {
			octets += 1 + len(cfg.Zones[i].Names[j].Name)
		}
	}
	c := &compiler{
		Report: &Report{cfg: cfg},
		s: &Data{
			config: cfg,
			seed:   maphash.MakeSeed(),
			names:  make([]byte, 0, octets),
			nodes:  make([]node, 1, names),
			index:  make([]uint64, 8),
			zones:  make([]zone, len(cfg.Zones)),
			access: newAccess(cfg.Zones),
			views:  newViews(cfg.Views),
		},
		source:    from,
		changed:   from.configChanged(cfg, now),
		parents:   make([]NodeID, 1, names),
		hasErrors: make([]bool, len(cfg.Zones)),
		changedAt: make([]time.Time, len(cfg.Zones)),
		pools:     make(map[string]pools.ID, len(cfg.Pools)),
		bindings:  make(map[Binding]uint32),
		services:  make(map[string]Service),
		viewIDs:   viewIDs(cfg.Views),
		rows:      make(map[string]ViewsID),
		buf:       make([]byte, maxPacked),
	}
	c.s.parsed = &Masters{zones: make(map[masterKey]readMaster, len(cfg.Zones)), changed: c.changed}
	for i := range cfg.Pools {
		c.pools[cfg.Pools[i].Name] = pools.ID(i)
	}
	for len(c.s.index) < 2*names {
		c.s.index = make([]uint64, 2*len(c.s.index))
	}
	return c
}

// addZones creates the apexes before any other name. The first node above a name then determines its zone.
func (c *compiler) addZones() {
	for i := range c.cfg.Zones {
		z := &c.cfg.Zones[i]
		wire := z.Name.Wire()
		switch {
		case z.Name.Wildcard():
			c.zoneErrorf(z, "a zone is a name of its own", "%q is a wildcard", z.Name)
		case c.s.find(wire) != 0:
			c.zoneErrorf(z, "write each zone once", "zone %q is written twice", z.Name)
		default:
			apex := c.newNode(wire, ZoneID(i), 0)
			c.s.nodes[apex].flags |= isApex
			c.s.zones[i].apex = apex
		}
	}
	for i := range c.s.zones {
		if c.s.zones[i].apex != 0 {
			c.attachToParent(ZoneID(i))
		}
	}
}

// attachToParent attaches a zone to the closest enclosing zone of ours. The names between the two exist in that zone,
// because a name below them exists (RFC 8020).
func (c *compiler) attachToParent(z ZoneID) {
	apex := c.s.zones[z].apex
	name := slices.Clone(c.s.NodeName(apex))
	encloser := c.s.encloser(name)
	if encloser == 0 {
		return
	}
	outer := c.s.nodes[encloser].zone
	up, _ := c.node(name.Parent(), outer)
	c.parents[apex] = up
	above := c.bareNode(c.s.nodes[apex].name, len(name), outer, up)
	c.s.nodes[above].flags |= isAbove
	c.s.zones[z].above = above
}

// configChanged returns when the configuration last changed.
func (s *source) configChanged(cfg *config.Config, now time.Time) time.Time {
	if s.frozen {
		return s.before.changed
	}
	return modified(s.fsys, cfg.Files(), now)
}

// modified returns the time of a file's last change, or now if it is unknown.
func modified(fsys fs.FS, files []string, now time.Time) (last time.Time) {
	for _, file := range files {
		path, err := rooted(file)
		if err != nil {
			return now
		}
		info, err := fs.Stat(fsys, path)
		if err != nil {
			return now
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// addBalancedNames binds names to pools.
func (c *compiler) addBalancedNames(z ZoneID) {
	zone := &c.cfg.Zones[z]
	for i := range zone.Names {
		c.bind(z, &zone.Names[i])
	}
	c.addViews(z)
}

func (c *compiler) bind(z ZoneID, b *config.BalancedName) {
	wire := b.Name.Wire()
	if !c.within(wire, z) {
		c.nameErrorf(z, b, "put it in the zone that holds it", "%q is not within zone %q", b.Name, c.cfg.Zones[z].Name)
		return
	}
	pool, known := c.pools[b.Pool]
	if !known {
		c.nameErrorf(z, b, "name a pool of pools", "no pool %q", b.Pool)
		return
	}
	id, ours := c.node(wire, z)
	n := &c.s.nodes[id]
	switch {
	case !ours:
		return // another zone answers the name, and config warns of it
	case n.flags.has(isBalanced):
		c.nameErrorf(z, b, "bind each name once", "%q is bound to a pool twice", b.Name)
		return
	}
	n.flags |= isBalanced
	n.extra = c.bound(Binding{Pool: pool, TTL: b.TTL, DegradedTTL: b.DegradedTTL, Answers: b.Answers, HTTPS: c.service(b), ECS: c.usesECS(b)}, b)
}

// bound completes b with what its pool gives, and with the binding of name for AAAA. It returns its index.
func (c *compiler) bound(b Binding, name *config.BalancedName) uint32 {
	b.CName, b.Types = c.cnames[b.Pool], c.memberTypes[b.Pool]|c.families[b.Pool].types()
	if name.AAAA == nil {
		b.AAAA = 0
		return c.binding(b)
	}
	aaaa := b
	aaaa.Pool, aaaa.Answers = c.pools[name.AAAA.Pool], name.AAAA.Answers
	aaaa.CName, aaaa.Types = c.cnames[aaaa.Pool], c.families[aaaa.Pool].types()&givesV6
	b.Types &^= givesV6
	b.AAAA = 1 + c.binding(aaaa)
	return c.binding(b)
}

// usesECS reports whether the client subnet of a query decides at a name.
func (c *compiler) usesECS(b *config.BalancedName) bool {
	ecs := c.cfg.UsesECS(b, &c.cfg.Pools[c.pools[b.Pool]])
	c.s.boundECS = c.s.boundECS || ecs
	return ecs
}

// binding returns the index of b. Names with equal bindings share one.
func (c *compiler) binding(b Binding) uint32 {
	i, ok := c.bindings[b]
	if !ok {
		i = uint32(len(c.s.bindings))
		c.s.bindings = append(c.s.bindings, b)
		c.bindings[b] = i
	}
	return i
}

// link finds the cover and the wildcard of each node. A node has a higher ID than the one above it, except an apex,
// which needs neither.
func (c *compiler) link() {
	nodes := c.s.nodes
	for i := 1; i < len(nodes); i++ {
		n, up := &nodes[i], c.parents[i]
		if up == 0 {
			continue
		}
		nodes[up].below++
		if n.flags.has(isApex) {
			continue
		}
		switch above := &nodes[up]; {
		case above.cover != 0:
			n.cover = above.cover
		case above.flags.has(isDName):
			n.cover = up
		case n.flags.has(isCut):
			n.cover = NodeID(i)
		}
		if bytes.HasPrefix(c.s.NodeName(NodeID(i)), []byte("\x01*")) {
			nodes[up].wild = NodeID(i)
		}
	}
	c.linkNested()
}

// linkNested removes the parent side of an apex if a cut or a DNAME lies between the two zones. The parent zone is
// then not ours.
func (c *compiler) linkNested() {
	for i := range c.s.zones {
		z := &c.s.zones[i]
		if c.s.nodes[z.above].cover != 0 {
			c.s.nodes[z.above].cover = 0
			z.above = 0
		}
	}
}

// full reports whether 32-bit offsets are almost exhausted.
func (c *compiler) full() bool {
	const margin = 1 << 17 // a name and a record
	return len(c.s.names) > math.MaxUint32-margin || len(c.rdata)+2*len(c.records) > math.MaxUint32-margin
}

func (c *compiler) zoneErrorf(z *config.Zone, hint, what string, args ...any) {
	c.errs = append(c.errs, c.cfg.ErrorAt(z.Pos, z.Path(), fmt.Sprintf(what, args...), hint))
}

func (c *compiler) nameErrorf(z ZoneID, b *config.BalancedName, hint, what string, args ...any) {
	c.errs = append(c.errs, c.ofName(z, b, hint, fmt.Sprintf(what, args...)))
}

// ofName returns an error or a warning of a balanced name.
func (c *compiler) ofName(z ZoneID, b *config.BalancedName, hint, what string) config.Error {
	zone := &c.cfg.Zones[z]
	return c.cfg.ErrorAt(b.Pos, zone.Path()+".names."+relative(b.Name, zone.Name), what, hint)
}

// relative returns the key of a name in its zone, as an operator writes it.
func relative(name, zone dnsname.Name) string {
	switch {
	case name == zone:
		return "@"
	case zone == ".":
		return strings.TrimSuffix(string(name), ".")
	}
	return strings.TrimSuffix(string(name), "."+string(zone))
}
