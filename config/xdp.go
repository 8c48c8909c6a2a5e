package config

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// XDP says on which interfaces UDP queries are answered past the kernel's network stack.
type XDP struct {
	Interfaces []string // their names; empty: none
	Mode       string   // auto, native or generic
	Queues     int      // the first so many receive queues of each interface; 0: all
}

// Equal reports whether both say the same.
func (x XDP) Equal(y XDP) bool {
	return x.Mode == y.Mode && x.Queues == y.Queues && slices.Equal(x.Interfaces, y.Interfaces)
}

// xdpModes are the ways to attach the program of AF_XDP.
func xdpModes() []string { return []string{"auto", "native", "generic"} }

const (
	maxXDPQueues     = 256
	maxInterfaceName = 15 // IFNAMSIZ without the zero at the end
)

func (d *decoder) xdp(x *XDP) setter {
	return func(n *yaml.Node) {
		x.Mode = xdpModes()[0]
		d.mapping(n, []field{
			{name: "interfaces", set: d.interfaces(&x.Interfaces)},
			{name: "mode", set: setValue(&x.Mode, func(n *yaml.Node) (string, bool) { return d.oneOf(n, "mode", xdpModes()) })},
			{name: "queues", set: setValue(&x.Queues, d.xdpQueues)},
		})
		if n.Kind == yaml.MappingNode {
			d.required(n, "interfaces", "write the interfaces that queries come by: interfaces: [eth0]")
		}
	}
}

// interfaces reads the names of network interfaces.
func (d *decoder) interfaces(to *[]string) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			name, ok := d.word(item)
			switch {
			case !ok:
			case len(name) > maxInterfaceName:
				d.errorf(item, quote(name)+" is too long for the name of an interface", "at most 15 octets; ip link lists the names")
			case slices.Contains(*to, name):
				d.errorf(item, quote(name)+" is listed twice", "leave one out")
			default:
				*to = append(*to, name)
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one interface, or leave xdp out")
		}
	}
}

// xdpQueues reads all, or a number of queues.
func (d *decoder) xdpQueues(n *yaml.Node) (queues int, ok bool) {
	if ok = n.Kind == yaml.ScalarNode && n.Value == "all"; !ok {
		queues, ok = d.integer(n, 1, maxXDPQueues)
	}
	if d.shapes != nil {
		d.shapes.scalarIs(n, map[string]any{"anyOf": []map[string]any{
			{"const": "all"}, {"type": "integer", "minimum": 1, "maximum": maxXDPQueues},
		}})
	}
	return queues, ok
}
