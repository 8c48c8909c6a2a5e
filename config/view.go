package config

import (
	"fmt"
	"iter"
	"net/netip"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// View is a set of clients, for which names may be bound to other pools: those that sign with the key, and those in
// the networks.
type View struct {
	Name     string
	Networks []netip.Prefix
	Key      dnsname.Name // a TSIG key; empty: none
	Pos      Pos
}

// ViewBinding is the binding of a balanced name for the clients of a view.
type ViewBinding struct {
	View string
	BalancedName
}

// Bindings returns the bindings of the names of z, for all clients and for those of views, each followed by that for AAAA
// if it has one. The name of the view is "" for all clients.
func (z *Zone) Bindings() iter.Seq2[*BalancedName, string] {
	return func(yield func(*BalancedName, string) bool) {
		for i := range z.Names {
			if !z.Names[i].each("", yield) {
				return
			}
		}
		for i := range z.Views {
			if !z.Views[i].each(z.Views[i].View, yield) {
				return
			}
		}
	}
}

// each yields b and its binding for AAAA, and reports whether yield wants more.
func (b *BalancedName) each(view string, yield func(*BalancedName, string) bool) bool {
	return yield(b, view) && (b.AAAA == nil || yield(b.AAAA, view))
}

// maxViews is the largest number of views.
const maxViews = 255

// viewReader reads the views. A network or a key belongs to one of them.
type viewReader struct {
	*decoder
	networks listedNetworks[string]
	keys     map[dnsname.Name]string // the view of a key
}

func (d *decoder) views(to *[]View) setter {
	r := viewReader{d, listedNetworks[string]{}, map[dnsname.Name]string{}}
	define := d.define(kindView, func(name string, key, value *yaml.Node) {
		v := View{Name: name, Pos: posOf(key)}
		if d.mapping(value, []field{{name: "match", set: func(n *yaml.Node) { r.match(n, &v) }}}) {
			d.required(value, "match", "write match: {network: [10.0.0.0/8]}")
		}
		*to = append(*to, v)
	})
	return func(n *yaml.Node) {
		define(n)
		if len(*to) > maxViews {
			d.errorf(n, fmt.Sprintf("%d views", len(*to)), fmt.Sprintf("at most %d", maxViews))
		}
		for p, l := range r.networks {
			if wider, outer, ok := r.networks.around(p); ok && outer.value == l.value {
				d.warn(l.node, quote(p.String())+" has no effect: "+quote(wider.String())+" contains it", "leave it out")
			}
		}
	}
}

// match reads the clients of a view.
func (r *viewReader) match(n *yaml.Node, v *View) {
	const instead = "write at least one network"
	add := func(p netip.Prefix, item *yaml.Node) {
		if before, known := r.networks[p]; known {
			r.errorf(item, quote(item.Value)+" is in view "+quote(before.value)+" too", "a network is in one view: leave it out of the other")
			return
		}
		v.Networks, r.networks[p] = append(v.Networks, p), listedNetwork[string]{v.Name, item}
	}
	ok := r.mapping(n, []field{
		{name: "network", set: func(n *yaml.Node) { r.eachNetwork(n, instead, add) }},
		{name: "key", set: r.tsigKey(&v.Key)},
	})
	key := yamldoc.Child(n, "key")
	switch {
	case !ok:
	case key == nil:
		if yamldoc.Child(n, "network") == nil {
			r.errorAtKey(n, "no client matches", "write at least one network, or the name of a key of tsig")
		}
	case v.Key == "":
	case r.keys[v.Key] != "":
		r.errorf(key, quote(key.Value)+" is the key of view "+quote(r.keys[v.Key])+" too", "a key is in one view: leave it out of the other")
	default:
		r.keys[v.Key] = v.Name
	}
}

// nameViews reads the bindings of a name for the clients of views. They have the other settings of b, the binding for
// all clients.
func (d *decoder) nameViews(n *yaml.Node, z *Zone, b BalancedName) {
	if b.HTTPS != nil && b.HTTPS.Target != "." {
		d.errorf(n, "the HTTPS record of the name has target "+quote(string(b.HTTPS.Target)), `a name with views has target ".": its hints are addresses of one pool for each view`)
	}
	parse := func(key *yaml.Node) (name string, ok bool) {
		d.refer(kindView, &name)(key)
		return name, name != ""
	}
	userMapping(d, n, parse, func(view string, key, value *yaml.Node) {
		v := ViewBinding{view, b}
		v.Pool, v.AAAA, v.Answers, v.Pos = "", nil, poolsAnswers, posOf(key)
		if d.mapping(value, d.bindingKeys(&v.BalancedName)) {
			d.required(value, "pool", "write {pool: NAME}")
		}
		d.bindAAAA(value, &v.BalancedName)
		z.Views = append(z.Views, v)
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.errorAtKey(n, "no view", "write at least one, or leave the key out")
	}
}

// bindingKeys returns the keys that a name has for all clients, and for the clients of each view.
func (d *decoder) bindingKeys(b *BalancedName) []field {
	return []field{
		{name: "pool", set: d.boundPools(b)},
		{name: "ttl", set: d.answerTTL(&b.TTL, &b.DegradedTTL)},
		{name: "answers", set: d.integerInRange(&b.Answers, 0, maxAnswers)},
	}
}

// warnUnreachableViews warns of bindings for views of which the zone answers no client.
func (d *decoder) warnUnreachableViews(cfg *Config) {
	views := make(map[string]*View, len(cfg.Views))
	for i := range cfg.Views {
		views[cfg.Views[i].Name] = &cfg.Views[i]
	}
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		if !z.Access.Restricts() {
			continue
		}
		answered := make(map[string]bool, len(views))
		for name, v := range views {
			answered[name] = v.Key != "" || z.Access.admitsSome(v.Networks)
		}
		for j := range z.Views {
			if b := &z.Views[j]; !answered[b.View] {
				d.warnAt(keyAt(b.Pos), "no client of view "+quote(b.View)+" is answered", "see allow and deny of the zone")
			}
		}
	}
}

// admitsSome reports whether the clients of any of the networks are answered: those of the whole network, or of a
// network under allow inside. It may be wrong if longer networks under deny cover all of one.
func (a *Access) admitsSome(networks []netip.Prefix) bool {
	lists := listedNetworks[bool]{}
	for _, p := range a.Deny {
		lists[p] = listedNetwork[bool]{value: false}
	}
	for _, p := range a.Allow {
		lists[p] = listedNetwork[bool]{value: true}
		for _, network := range networks {
			if network.Overlaps(p) && network.Bits() <= p.Bits() {
				return true
			}
		}
	}
	for _, network := range networks {
		of, ok := lists[network]
		if !ok {
			_, of, ok = lists.around(network)
		}
		if ok && of.value || !ok && len(a.Allow) == 0 {
			return true
		}
	}
	return false
}
