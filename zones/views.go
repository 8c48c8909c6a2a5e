package zones

import (
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"
	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// ViewID is a view: its index in the configuration's Views, plus 1. 0 is the view of all other clients.
type ViewID uint8

// ViewsID is the bindings of a name in all views; 0: the name has one binding for all clients.
type ViewsID uint32

// views finds the view of a client. It is immutable.
type views struct {
	count    int // with the view of all other clients
	networks bart.Table[ViewID]
	keys     map[string]ViewID // by the name of the key in wire form

	// parts divides all addresses: the clients of each prefix are in one view.
	parts bart.Table[ViewID]
}

// newViews compiles the views; nil: there are none.
func newViews(all []config.View) *views {
	if len(all) == 0 {
		return nil
	}
	v := &views{count: 1 + len(all), keys: map[string]ViewID{}}
	split := map[netip.Prefix]bool{}
	for i := range all {
		id := ViewID(i + 1)
		for _, network := range all[i].Networks {
			v.networks.Insert(network, id)
			for bits := range network.Bits() {
				split[netip.PrefixFrom(network.Addr(), bits).Masked()] = true
			}
		}
		if all[i].Key != "" {
			v.keys[string(all[i].Key.Wire())] = id
		}
	}
	v.divide(netip.PrefixFrom(netip.IPv4Unspecified(), 0), split)
	v.divide(netip.PrefixFrom(netip.IPv6Unspecified(), 0), split)
	return v
}

// divide adds the parts of p: its halves if a network of a view lies inside, else p itself.
func (v *views) divide(p netip.Prefix, split map[netip.Prefix]bool) {
	if !split[p] {
		v.parts.Insert(p, v.within(p))
		return
	}
	octets := p.Addr().AsSlice()
	octets[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(octets)
	v.divide(netip.PrefixFrom(p.Addr(), p.Bits()+1), split)
	v.divide(netip.PrefixFrom(upper, p.Bits()+1), split)
}

// within returns the view of the longest network that contains all of p.
func (v *views) within(p netip.Prefix) ViewID {
	id, _ := v.networks.LookupPrefix(p)
	return id
}

// ViewOf returns the view of the clients in a network, and the length of the prefix of its first address within which all
// clients are in one view. If the network has clients of several views, the longest network of a view that contains it
// decides. It neither allocates nor locks. The configuration has views.
func (s *Data) ViewOf(clients netip.Prefix) (id ViewID, scope int) {
	first := netip.PrefixFrom(clients.Addr(), clients.Addr().BitLen())
	part, id, _ := s.views.parts.LookupPrefixLPM(first)
	if part.Bits() > clients.Bits() {
		id = s.views.within(clients)
	}
	return id, part.Bits()
}

// ViewOfKey returns the view of the queries that a key signs, or false if the key is not that of a view.
func (s *Data) ViewOfKey(key dnsname.Wire) (id ViewID, ok bool) {
	if s.views == nil {
		return 0, false
	}
	id, ok = s.views.keys[string(key)]
	return id, ok
}

// AppendViewKey appends the view of a client to key. All clients within the first bits of the address have the same one.
func (s *Data) AppendViewKey(key []byte, client netip.Addr) (longer []byte, bits int) {
	if s.views == nil {
		return key, 0
	}
	id, bits := s.ViewOf(netip.PrefixFrom(client, client.BitLen()))
	return append(key, byte(id)), bits
}

// ViewNetwork returns the network of a view that contains clients, or an invalid one. The configuration has views.
func (s *Data) ViewNetwork(clients netip.Prefix) netip.Prefix {
	network, _, _ := s.views.networks.LookupPrefixLPM(clients)
	return network
}

// InView returns the binding of a name for the clients of a view. b is that for all clients, and has Views.
func (s *Data) InView(b *Binding, id ViewID) *Binding {
	return &s.bindings[s.viewed[int(b.Views-1)*s.views.count+int(id)]]
}

// ForType returns the binding of a name for a type. b is that for all its types but AAAA.
func (s *Data) ForType(b *Binding, qtype uint16) *Binding {
	if b.AAAA == 0 || qtype != dns.TypeAAAA {
		return b
	}
	return &s.bindings[b.AAAA-1]
}

// bindingsOf yields the bindings of a balanced name: that for all clients, and those of views, each followed by that for
// AAAA if it has one.
func (s *Data) bindingsOf(n *node) iter.Seq[*Binding] {
	return func(yield func(*Binding) bool) {
		all := &s.bindings[n.extra]
		if !s.eachType(all, yield) || all.Views == 0 {
			return
		}
		for i, at := range s.viewed[int(all.Views-1)*s.views.count:][:s.views.count] {
			if b := &s.bindings[at]; i > 0 && at != s.viewed[int(all.Views-1)*s.views.count] && !s.eachType(b, yield) {
				return
			}
		}
	}
}

// eachType yields b and its binding for AAAA, and reports whether yield wants more.
func (s *Data) eachType(b *Binding, yield func(*Binding) bool) bool {
	return yield(b) && (b.AAAA == 0 || yield(s.ForType(b, dns.TypeAAAA)))
}

// addViews binds names to pools for the clients of views. The bindings of a name follow each other.
func (c *compiler) addViews(z ZoneID) {
	for all := c.cfg.Zones[z].Views; len(all) > 0; {
		n := 1
		for n < len(all) && all[n].Name == all[0].Name {
			n++
		}
		c.bindViews(z, all[:n])
		all = all[n:]
	}
}

// bindViews binds a name for the clients of views. Names with equal bindings in all views share them.
func (c *compiler) bindViews(z ZoneID, all []config.ViewBinding) {
	id := c.s.find(all[0].Name.Wire())
	if id == 0 || c.s.nodes[id].zone != z || !c.s.nodes[id].flags.has(isBalanced) {
		return // reported with the binding for all clients, or another zone answers the name
	}
	n := &c.s.nodes[id]
	row := make([]uint32, c.s.views.count)
	for i := range row {
		row[i] = n.extra
	}
	for i := range all {
		row[c.viewIDs[all[i].View]] = c.viewBinding(n.extra, &all[i])
	}
	b := c.s.bindings[n.extra]
	b.Views = c.viewsID(row)
	n.extra = c.binding(b)
}

// viewBinding returns the index of the binding for a view. It has the settings of base except pool, TTL and answers.
func (c *compiler) viewBinding(base uint32, v *config.ViewBinding) uint32 {
	b := c.s.bindings[base]
	b.Pool, b.TTL, b.DegradedTTL, b.Answers = c.pools[v.Pool], v.TTL, v.DegradedTTL, v.Answers
	return c.bound(b, &v.BalancedName)
}

// viewsID returns the number of a row of Data.viewed. Equal rows share one.
func (c *compiler) viewsID(row []uint32) ViewsID {
	key := make([]byte, 0, 4*len(row))
	for _, b := range row {
		key = append(key, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
	}
	id, ok := c.rows[string(key)]
	if !ok {
		c.s.viewed = append(c.s.viewed, row...)
		id = ViewsID(len(c.s.viewed) / len(row))
		c.rows[string(key)] = id
	}
	return id
}

// viewIDs returns the views by name.
func viewIDs(all []config.View) map[string]ViewID {
	ids := make(map[string]ViewID, len(all))
	for i := range all {
		ids[all[i].Name] = ViewID(i + 1)
	}
	return ids
}
