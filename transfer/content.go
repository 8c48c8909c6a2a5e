// Package transfer sends zones to other name servers, and notifies them of changes (RFC 5936, RFC 1995, RFC 1996).
package transfer

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
	"meridian/zones"
)

// Defaults holds the records of balanced names as transfers have them: the answer to a client of unknown location with
// all members up. They depend on the configuration and the addresses of targets, not on health states, so that a
// secondary has a usable zone, and its serial changes only if these do. It is safe for concurrent use.
type Defaults struct {
	data *zones.Data
	tree *pools.Tree
	live *Live

	mu    sync.Mutex // guards the fields below
	fresh *pools.Tree
	known map[binding][]zones.RRset
}

// binding is a binding of a zone: the same one may have another answer in a zone with another family.
type binding struct {
	id    uint32
	zone  zones.ZoneID
	widen bool
}

// NewDefaults returns the records for a snapshot. It makes none before a transfer needs them. The zones in live have those.
func NewDefaults(data *zones.Data, tree *pools.Tree, live *Live) *Defaults {
	return &Defaults{data: data, tree: tree, live: live, known: map[binding][]zones.RRset{}}
}

// Content is a zone as a transfer sends it. It stays valid after its snapshot is replaced.
type Content struct {
	data  *zones.Data
	zone  zones.ZoneID
	pools map[uint32][]zones.RRset // by zones.Data.BindingID; read only

	toSign bool           // transfers have signatures
	signed *signedContent // with signatures, in place of all of the above; nil: without
}

// Content returns a zone. The snapshot is in use: the pools may read its files.
func (d *Defaults) Content(cfg *config.Config, zone zones.ZoneID) (*Content, error) {
	c := &Content{data: d.data, zone: zone, toSign: cfg.Zones[zone].Transfer.Sign}
	if c.pools = d.live.of(zone); c.pools != nil || !d.data.HasPools(zone) {
		return c, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.prepareLocked(); err != nil {
		return nil, err
	}
	c.pools = map[uint32][]zones.RRset{}
	widen := cfg.Zones[zone].Family == config.WidenFamily
	for node := range d.data.Walk(zone) {
		id, balanced := d.data.BindingID(node)
		if _, done := c.pools[id]; done || !balanced {
			continue
		}
		c.pools[id] = d.setsLocked(node, binding{id, zone, widen})
	}
	return c, nil
}

// prepareLocked makes a tree without health states and overrides: what is not known counts as up.
func (d *Defaults) prepareLocked() (err error) {
	if d.fresh == nil {
		d.fresh, err = d.tree.ResolveAs(d.tree)
	}
	return err
}

func (d *Defaults) setsLocked(node zones.NodeID, b binding) []zones.RRset {
	sets, ok := d.known[b]
	if !ok {
		sets = d.decide(node, b)
		d.known[b] = sets
	}
	return sets
}

// decide returns the records of a balanced name: a CNAME, or addresses, the records of members and a configured HTTPS
// record.
func (d *Defaults) decide(node zones.NodeID, b binding) (sets []zones.RRset) {
	bound := d.data.Balanced(node)
	var hints []byte
	for _, family := range [...]pools.Family{pools.IPv4, pools.IPv6} {
		of := bound
		if family == pools.IPv6 {
			of = d.data.ForType(bound, dns.TypeAAAA)
		}
		scratch := d.decideAll(of, family, 0, b.widen)
		if scratch.CName != nil {
			return []zones.RRset{oneRecord(dns.TypeCNAME, bound.TTL, scratch.CName)}
		}
		if len(scratch.Addrs) > 0 {
			set := addressSet(family, bound.TTL, scratch.Addrs)
			hints = appendHint(hints, set)
			sets = append(sets, set)
		}
	}
	if bound.HTTPS.Hintless {
		hints = nil
	}
	if bound.HTTPS.Exists() {
		sets = append(sets, oneRecord(dns.TypeHTTPS, bound.TTL, append(append([]byte(nil), d.data.Service(bound.HTTPS)...), hints...)))
	}
	for typ := range bound.MemberTypes {
		scratch := d.decideAll(bound, pools.IPv4, typ, b.widen)
		if set := d.data.AppendMemberRecords(nil, b.zone, scratch.Given, typ); set.Count > 0 {
			set.TTL = bound.TTL
			sets = append(sets, set)
		}
	}
	return sets
}

// decideAll decides for a client that nothing locates, with a draw that is the same on all nodes: for addresses of a
// family, or for records of a type of the members; 0: for addresses. In a zone with family: widen it decides again if the first members
// have nothing to answer.
func (d *Defaults) decideAll(bound *zones.Binding, family pools.Family, rrtype uint16, widen bool) *pools.Scratch {
	client := netip.IPv4Unspecified()
	if family == pools.IPv6 {
		client = netip.IPv6Unspecified()
	}
	asked := pools.Request{Pool: bound.Pool, Family: family, Answers: bound.Answers, Client: client}
	scratch := d.fresh.Scratch()
	scratch.TTL = bound.TTL
	decide := func() (answered bool) {
		if rrtype != 0 {
			d.fresh.DecideRecords(asked, rrtype, scratch)
			return len(scratch.Given) > 0 || scratch.CName != nil
		}
		d.fresh.Decide(asked, scratch)
		return len(scratch.Addrs) > 0 || scratch.CName != nil
	}
	if !decide() && widen {
		scratch.Widen = true
		decide()
	}
	return scratch
}

func addressSet(family pools.Family, ttl uint32, addrs []netip.Addr) zones.RRset {
	set := zones.RRset{Type: dns.TypeA, TTL: ttl, Count: len(addrs)}
	if family == pools.IPv6 {
		set.Type = dns.TypeAAAA
	}
	for _, addr := range addrs {
		set.Data = appendData(set.Data, addr.AsSlice())
	}
	return set
}

// maxHints is the largest number of address hints for a family, as in answers.
const maxHints = 16

// appendHint appends the parameter of an HTTPS record with the addresses of a set (RFC 9460 7.3).
func appendHint(dst []byte, set zones.RRset) []byte {
	key := uint16(dns.SVCB_IPV4HINT)
	if set.Type == dns.TypeAAAA {
		key = uint16(dns.SVCB_IPV6HINT)
	}
	var octets []byte
	n := 0
	for rdata := range set.RDATA() {
		if n++; n <= maxHints {
			octets = append(octets, rdata...)
		}
	}
	return appendData(binary.BigEndian.AppendUint16(dst, key), octets)
}

func oneRecord(typ uint16, ttl uint32, rdata []byte) zones.RRset {
	return zones.RRset{Type: typ, TTL: ttl, Count: 1, Data: appendData(nil, rdata)}
}

// appendData appends data after its length.
func appendData(dst, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(data))), data...)
}

// sets yields the record sets of the zone, without the SOA.
func (c *Content) sets(yield func(zones.OwnedSet) bool) {
	if c.signed != nil {
		slices.Values(c.signed.sets)(yield)
		return
	}
	var all []zones.OwnedSet // of one node
	for node := range c.data.Walk(c.zone) {
		all = c.setsOf(all[:0], node)
		for i := range all {
			if !yield(all[i]) {
				return
			}
		}
	}
}

// setsOf appends the record sets of a node, without the SOA.
func (c *Content) setsOf(dst []zones.OwnedSet, node zones.NodeID) []zones.OwnedSet {
	dst = c.data.AppendStaticSets(dst, node)
	if id, balanced := c.data.BindingID(node); balanced {
		for _, set := range c.pools[id] {
			dst = append(dst, zones.OwnedSet{Owner: c.data.NodeName(node), RRset: set})
		}
	}
	return dst
}

// soa returns the SOA of the zone.
func (c *Content) soa() zones.OwnedSet {
	if c.signed != nil {
		return c.signed.soa
	}
	apex := c.data.ApexNode(c.zone)
	set, _ := c.data.RRset(apex, dns.TypeSOA) // a zone has one
	return zones.OwnedSet{Owner: c.data.NodeName(apex), RRset: set}
}

// apex returns the name of the zone.
func (c *Content) apex() dnsname.Wire {
	if c.signed != nil {
		return c.signed.apex
	}
	return c.data.Apex(c.zone)
}

// Serial returns the serial of the zone.
func (c *Content) Serial() uint32 {
	if c.signed != nil {
		return c.signed.serial
	}
	return c.data.Serial(c.zone)
}
