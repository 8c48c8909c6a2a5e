package plan

import (
	"net/netip"

	"meridian/geo"
)

// class is clients whom both sides treat alike and who stand in one place.
type class struct {
	kind int
	at   *geo.Location
	asn  uint32
}

// weighed is a class and the weight of its clients.
type weighed struct {
	class
	weight float64
}

// classes are all clients, summed up.
type classes struct {
	all      []weighed // in the order met, so that sums come out the same each time
	index    map[class]int
	weight   float64 // of all
	networks int

	kinds  map[string]int // by what both sides know of a client
	kindOf []netip.Addr   // by kind: one of its clients

	// Where the very address decides there are no classes: these clients stand for all.
	spots []spot
	ahead float64 // weight that has gone by since the last spot
}

// spot is a client that stands for some weight.
type spot struct {
	weighed
	addr netip.Addr
}

// gather sums up clients. A network of which a side knows several things is taken
// apart, each part with its share of the weight.
func (c *classes) gather(clients Clients, sides [2]*side) error {
	c.index, c.kinds = make(map[class]int), make(map[string]int)
	var key []byte
	var take func(Client)
	take = func(client Client) {
		addr, longest := client.Network.Addr(), 0
		key = key[:0]
		for _, s := range sides {
			var bits int
			key, bits = s.Pools.Standing(addr, key)
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
		c.spot(client, clients.stride)
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

// halves are the two halves of a network.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits()
	octets := p.Addr().AsSlice()
	octets[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)
}

func (c *classes) kind(key []byte, addr netip.Addr) int {
	kind, known := c.kinds[string(key)]
	if !known {
		kind = len(c.kindOf)
		c.kinds[string(key)] = kind
		c.kindOf = append(c.kindOf, addr)
	}
	return kind
}

func (c *classes) add(client Client, kind int) {
	of := class{kind, client.At, client.ASN}
	i, known := c.index[of]
	if !known {
		i = len(c.all)
		c.index[of] = i
		c.all = append(c.all, weighed{class: of})
	}
	c.all[i].weight += client.Weight
}

// spot keeps a client for each stride of weight: wherever in it the next one
// falls, a client of IPv4 stands for the stride. Without a stride each stands for itself.
func (c *classes) spot(client Client, stride float64) {
	of := class{at: client.At, asn: client.ASN}
	if stride == 0 {
		c.spots = append(c.spots, spot{weighed{of, client.Weight}, client.Network.Addr()})
		return
	}
	for c.ahead += client.Weight; c.ahead >= stride; c.ahead -= stride {
		into := client.Weight - (c.ahead - stride) // of the weight of the network, one for each address
		c.spots = append(c.spots, spot{weighed{of, stride}, nth(client.Network.Addr(), uint32(into)-1)})
	}
}

// nth is the address of IPv4 that comes n after a.
func nth(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	n += uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
