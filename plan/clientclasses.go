package plan

import (
	"net/netip"

	"meridian/geo"
)

// clientClass represents clients that both sides treat equally, in one location.
type clientClass struct {
	kind int
	at   *geo.Location
	asn  uint32
}

// weighed is a class and the weight of its clients.
type weighed struct {
	clientClass
	weight float64
}

// clientClasses holds all clients, grouped into classes.
type clientClasses struct {
	all      []weighed // in input order, so that floating-point sums are reproducible
	index    map[clientClass]int
	weight   float64 // of all
	networks int

	kinds  map[string]int // by the client keys of both sides
	kindOf []netip.Addr   // by kind: one of its clients

	// If the address itself decides there are no classes: these samples represent all clients.
	samples []sample
	ahead   float64 // weight since the last sample
}

// sample is a client that represents some weight.
type sample struct {
	weighed
	addr netip.Addr
}

// gather groups clients into classes. It splits a network for which a side has several client
// keys, and each part gets its share of the weight.
func (c *clientClasses) gather(clients Clients, sides [2]*side) error {
	c.index, c.kinds = make(map[clientClass]int), make(map[string]int)
	var key []byte
	var take func(Client)
	take = func(client Client) {
		addr, longest := client.Network.Addr(), 0
		key = key[:0]
		for _, s := range sides {
			var bits int
			key, bits = s.Pools.ClientKey(addr, key)
			longest = max(longest, bits)
			key, bits = s.Zones.AppendViewKey(key, addr)
			longest = max(longest, bits)
		}
		if longest > client.Network.Bits() {
			low, high := halves(client.Network)
			take(clients.part(client, low))
			take(clients.part(client, high))
			return
		}
		if addr.Is4() {
			key = append(key, 4)
		}
		c.add(client, c.kind(key, addr))
		c.sampleOf(client, clients.stride)
	}
	return clients.each(func(client Client) bool {
		if client.Weight > 0 {
			take(client)
			c.weight += client.Weight
			c.networks++
		}
		return true
	})
}

// halves returns the two halves of a network.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits()
	octets := p.Addr().AsSlice()
	octets[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)
}

func (c *clientClasses) kind(key []byte, addr netip.Addr) int {
	kind, known := c.kinds[string(key)]
	if !known {
		kind = len(c.kindOf)
		c.kinds[string(key)] = kind
		c.kindOf = append(c.kindOf, addr)
	}
	return kind
}

func (c *clientClasses) add(client Client, kind int) {
	of := clientClass{kind, client.At, client.ASN}
	i, known := c.index[of]
	if !known {
		i = len(c.all)
		c.index[of] = i
		c.all = append(c.all, weighed{clientClass: of})
	}
	c.all[i].weight += client.Weight
}

// sampleOf keeps one IPv4 client for each stride of weight. Without a stride each client
// represents itself.
func (c *clientClasses) sampleOf(client Client, stride float64) {
	of := clientClass{at: client.At, asn: client.ASN}
	if stride == 0 {
		c.samples = append(c.samples, sample{weighed{of, client.Weight}, client.Network.Addr()})
		return
	}
	for c.ahead += client.Weight; c.ahead >= stride; c.ahead -= stride {
		into := client.Weight - (c.ahead - stride) // position in the network: each address has weight 1
		c.samples = append(c.samples, sample{weighed{of, stride}, nth(client.Network.Addr(), uint32(into)-1)})
	}
}

// nth returns the IPv4 address a+n.
func nth(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	n += uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
