package config

import (
	"net/netip"

	"gopkg.in/yaml.v3"
)

// Access defines which clients a zone answers: the longest network of either list that contains the source of a query
// decides. Without Allow, all other clients are answered; with it, none is.
type Access struct{ Allow, Deny []netip.Prefix }

// Restricts reports whether some clients may be refused.
func (a *Access) Restricts() bool { return len(a.Allow)+len(a.Deny) > 0 }

// networkList reads a list of at least one network. For an empty list, instead says what to write.
func (d *decoder) networkList(to *[]netip.Prefix, instead string) setter {
	return func(n *yaml.Node) {
		d.eachNetwork(n, instead, func(p netip.Prefix, _ *yaml.Node) { *to = append(*to, p) })
	}
}

// eachNetwork calls f for each different network of a list of at least one.
func (d *decoder) eachNetwork(n *yaml.Node, instead string, f func(netip.Prefix, *yaml.Node)) {
	seen := map[netip.Prefix]bool{}
	ok := d.list(n, func(item *yaml.Node) {
		p, ok := d.prefix(item)
		switch {
		case !ok:
		case seen[p]:
			d.warn(item, quote(item.Value)+" is listed twice", "leave one out")
		default:
			seen[p] = true
			f(p, item)
		}
	})
	if ok && len(n.Content) == 0 {
		d.errorAtKey(n, "an empty list", instead)
	}
}

// access reads the clients of a zone: allow and deny are the values of these keys, or nil.
func (d *decoder) access(allow, deny *yaml.Node, a *Access) {
	const instead = "write at least one network, or leave the key out"
	lists := listedNetworks[bool]{}
	if allow != nil {
		d.eachNetwork(allow, instead, func(p netip.Prefix, item *yaml.Node) {
			a.Allow, lists[p] = append(a.Allow, p), listedNetwork[bool]{true, item}
		})
	}
	if deny != nil {
		d.eachNetwork(deny, instead, func(p netip.Prefix, item *yaml.Node) {
			if _, allowed := lists[p]; allowed {
				d.errorf(item, quote(item.Value)+" is under allow too", "leave it out of one of the two lists")
				return
			}
			a.Deny, lists[p] = append(a.Deny, p), listedNetwork[bool]{false, item}
		})
	}
	for p, l := range lists {
		wider, outer, ok := lists.around(p)
		switch {
		case ok && outer.value == l.value:
			d.warn(l.node, quote(p.String())+" has no effect: "+quote(wider.String())+" contains it", "leave it out")
		case !ok && !l.value && len(a.Allow) > 0:
			d.warn(l.node, quote(p.String())+" has no effect: only networks under allow are answered", "leave it out")
		}
	}
}

// listedNetworks holds the networks of lists with a value each. The longest one that contains an address decides.
type listedNetworks[V any] map[netip.Prefix]listedNetwork[V]

type listedNetwork[V any] struct {
	value V
	node  *yaml.Node
}

// around returns the longest of the networks that contain p and are not p.
func (l listedNetworks[V]) around(p netip.Prefix) (wider netip.Prefix, of listedNetwork[V], ok bool) {
	for bits := p.Bits() - 1; bits >= 0; bits-- {
		wider = netip.PrefixFrom(p.Addr(), bits).Masked()
		if of, ok = l[wider]; ok {
			return wider, of, true
		}
	}
	return netip.Prefix{}, of, false
}
