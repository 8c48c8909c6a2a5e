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

	kinds   map[string]int // by what both sides know of a client
	samples [][]netip.Addr // by kind: some of its clients
	seen    []int          // by kind: how many networks it had
}

// samplesPerKind is how many clients of a kind stand for all of it where the very
// address decides: enough for two digits of a share.
const samplesPerKind = 128

// gather sums up clients.
func (c *classes) gather(clients Clients, sides [2]*side) error {
	c.index, c.kinds = make(map[class]int), make(map[string]int)
	var key []byte
	return clients(func(client Client) bool {
		if client.Weight <= 0 {
			return true
		}
		addr := client.Network.Addr()
		key = key[:0]
		for _, s := range sides {
			key = s.Pools.Standing(addr, key)
		}
		if addr.Is4() {
			key = append(key, 4)
		}
		kind, known := c.kinds[string(key)]
		if !known {
			kind = len(c.samples)
			c.kinds[string(key)] = kind
			c.samples, c.seen = append(c.samples, nil), append(c.seen, 0)
		}
		c.sample(kind, client.Network)
		c.add(class{kind, client.At, client.ASN}, client.Weight)
		c.weight += client.Weight
		c.networks++
		return true
	})
}

func (c *classes) add(of class, weight float64) {
	i, known := c.index[of]
	if !known {
		i = len(c.all)
		c.index[of] = i
		c.all = append(c.all, weighed{class: of})
	}
	c.all[i].weight += weight
}

// sample keeps the first clients of a kind, and later ones in place of those at
// ever longer strides, so that the same clients give the same forecast.
func (c *classes) sample(kind int, network netip.Prefix) {
	c.seen[kind]++
	kept := c.samples[kind]
	if len(kept) < samplesPerKind {
		c.samples[kind] = append(kept, network.Addr())
		return
	}
	if n := c.seen[kind]; n%(n/samplesPerKind) == 0 {
		kept[mix(uint64(n))%samplesPerKind] = network.Addr()
	}
}

// mix scatters numbers (the finalizer of SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
