package config

import (
	"fmt"
	"net/netip"
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// Transfer holds which servers may have a copy of a zone, and what is in it.
type Transfer struct {
	Pools  TransferPools
	Sign   bool           // with the signatures of the zone, and an NSEC chain
	Out    []TransferRule // a transfer is allowed if any of them matches
	Notify []Notified     // servers that are notified of changes
}

// Notified is a server that is notified of changes.
type Notified struct {
	Address netip.AddrPort
	Source  netip.Addr // of the notifications; invalid: the choice of the system
}

// TransferPools says which records a transfer has at balanced names.
type TransferPools string

// The values of TransferPools.
const (
	DefaultPools TransferPools = "default" // the answer to a client of unknown location with all members up
	LivePools    TransferPools = "live"    // the same with the present health states: a change of them is another serial, once a minute at most
	RefusePools  TransferPools = "refuse"  // a zone with balanced names is not transferred
)

// TransferRule allows transfers to servers that match all of its keys.
type TransferRule struct {
	Addresses []netip.Prefix // empty: any address
	Key       dnsname.Name   // empty: any request, signed or not
	TLS       *ClientTLS     // nil: any transport
	Pos       Pos
}

// maxNotified is more secondaries than any zone has.
const maxNotified = 64

func (d *decoder) transfer(z *Zone) setter {
	return func(n *yaml.Node) {
		t := &z.Transfer
		d.mapping(n, []field{
			{name: "pools", set: choose(d, &t.Pools, "contents of balanced names", DefaultPools, LivePools, RefusePools)},
			{name: "sign", set: d.flag(&t.Sign)},
			{name: "out", set: d.transferRules(&t.Out)},
			{name: "notify", set: d.notified(&t.Notify)},
		})
		if n.Kind != yaml.MappingNode {
			return
		}
		if t.Sign && !z.Signs() {
			d.errorf(yamldoc.Child(n, "sign"), "sign: true in a zone that no policy signs", "write dnssec: default, or leave sign out: a zone with signatures in its file is transferred with them")
		}
		if z.Signs() && !t.Sign && len(t.Out) > 0 {
			d.warn(yamldoc.Child(n, "out"), "the zone is signed here, and a transfer has no signatures: resolvers that validate refuse the answers of the other server",
				"write sign: true, or give it only to a server that signs the zone itself with the same keys")
		}
	}
}

// Signs reports whether a policy signs the zone.
func (z *Zone) Signs() bool { return z.DNSSEC != "" && z.DNSSEC != Unsigned }

// OwnSerials reports whether the server raises the serial of the zone by itself: for health states or signatures.
func (z *Zone) OwnSerials() bool { return z.Transfer.Pools == LivePools || z.Transfer.Sign }

// checkOwnSerials rejects transfers with the present health states or with signatures of a zone that has no serial of its own.
func (d *decoder) checkOwnSerials(transfer *yaml.Node, z *Zone) {
	key, what, cause, other := "pools", "pools: live", "health state", "write pools: default or refuse"
	if z.Transfer.Sign && z.Transfer.Pools != LivePools {
		key, what, cause, other = "sign", "sign: true", "signature", "leave sign out"
	}
	at := yamldoc.Child(transfer, key)
	switch {
	case !z.OwnSerials():
		return
	case len(z.Primaries) > 0:
		d.errorf(at, what+" in a zone from primaries: it has their serial, which no "+cause+" changes", other)
	case z.Serial == KeepSerial:
		d.errorf(at, what+" with serial: keep, and a change of "+cause+"s has to raise the serial", "write serial: unixtime, increment or date, or leave serial out")
	case z.Serial == "":
		z.Serial = UnixtimeSerial
	}
	if (z.Serial == IncrementSerial || z.Serial == DateSerial) && d.firstLive == (nodeKey{}) {
		d.firstLive = nodeKeyOf(at)
	}
	if t := &z.Transfer; len(t.Out)+len(t.Notify) == 0 {
		d.warn(at, "no effect: no server may transfer the zone", "write out with the secondaries, or leave "+key+" out")
	}
}

// warnOfLive warns of serials that are lower after a restart than those that secondaries have.
func (d *decoder) warnOfLive(cfg *Config) {
	if d.firstLive != (nodeKey{}) && cfg.State == "" {
		d.warnAt(d.firstLive, "the serial falls at a restart, and secondaries keep what they have: state is not set", "write state: /var/lib/meridian, or serial: unixtime")
	}
}

func (d *decoder) transferRules(to *[]TransferRule) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			rule := TransferRule{Pos: posOf(item)}
			ok := d.mapping(item, []field{
				{name: "addresses", set: d.hosts(&rule.Addresses)},
				{name: "key", set: d.tsigKey(&rule.Key)},
				{name: "tls", set: d.clientTLS(&rule)},
			})
			if ok && yamldoc.Child(item, "addresses") == nil && yamldoc.Child(item, "key") == nil && (rule.TLS == nil || rule.TLS.CA == "") {
				d.errorAtKey(item, "a rule that allows every server", `write addresses, key, or tls with ca; addresses: [0.0.0.0/0, "::/0"] if all may have the zone`)
			}
			*to = append(*to, rule)
		})
	}
}

// hosts reads a list of networks and single addresses.
func (d *decoder) hosts(to *[]netip.Prefix) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			if a, err := netip.ParseAddr(item.Value); err == nil && a.Zone() == "" && !a.Is4In6() {
				*to = append(*to, netip.PrefixFrom(a, a.BitLen()))
			} else if prefix, ok := d.prefix(item); ok {
				*to = append(*to, prefix)
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one address or network")
		}
	}
}

// dnsPort is that of a server written without a port.
const dnsPort = 53

// notified reads the secondaries that are notified: addresses with or without a port, or mappings with a source address.
func (d *decoder) notified(to *[]Notified) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			one, at := Notified{}, item
			ok := false
			if item.Kind == yaml.MappingNode {
				one, ok = d.notifiedFrom(item)
				at = yamldoc.Child(item, "address")
			} else {
				one.Address, ok = d.serverAddress(item)
			}
			switch {
			case !ok:
			case slices.ContainsFunc(*to, func(other Notified) bool { return other.Address == one.Address }):
				d.errorf(at, quote(at.Value)+" is listed twice", "leave one out")
			default:
				*to = append(*to, one)
			}
		})
		if len(*to) > maxNotified {
			d.errorAtKey(n, fmt.Sprintf("%d servers", len(*to)), fmt.Sprintf("at most %d", maxNotified))
		}
	}
}

// notifiedFrom reads a secondary with the source address of its notifications.
func (d *decoder) notifiedFrom(n *yaml.Node) (to Notified, ok bool) {
	ok = d.mapping(n, []field{
		{name: "address", set: func(n *yaml.Node) { to.Address, _ = d.serverAddress(n) }},
		{name: "source", set: func(n *yaml.Node) { to.Source, _ = d.unicast(n) }},
	})
	switch source := yamldoc.Child(n, "source"); {
	case !ok:
		return to, false
	case yamldoc.Child(n, "address") == nil:
		d.errorAtKey(n, "no address", "write address: 192.0.2.54")
		return to, false
	case to.Address.Addr().IsValid() && to.Source.IsValid() && to.Source.Is4() != to.Address.Addr().Is4():
		d.errorf(source, quote(source.Value)+" is not of the family of address", "write an address of this server in the family of the secondary, or leave source out")
	}
	return to, to.Address.IsValid()
}

// serverAddress reads the address of a name server, with port 53 unless another one is written.
func (d *decoder) serverAddress(n *yaml.Node) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(n.Value); err == nil && n.Kind == yaml.ScalarNode {
		if a, ok := d.unicast(n); ok {
			return netip.AddrPortFrom(a, dnsPort), true
		}
		return netip.AddrPortFrom(a, 0), false
	}
	a, ok := d.addrPort(n, resolverHint)
	if ok && (a.Port() == 0 || notUnicast(a.Addr()) != "") {
		d.errorf(n, quote(n.Value)+" is not the address of a server", "write the address of a name server, such as 192.0.2.54")
		return a, false
	}
	return a, ok
}

// SerialPolicy is where the serial of a zone with an SOA in its file comes from.
type SerialPolicy string

// The values of SerialPolicy.
const (
	KeepSerial      SerialPolicy = "keep"      // the file
	UnixtimeSerial  SerialPolicy = "unixtime"  // the last change of the configuration or the file
	IncrementSerial SerialPolicy = "increment" // the one before, plus 1
	DateSerial      SerialPolicy = "date"      // the day as YYYYMMDD, and two digits
)

// serial reads a SerialPolicy.
func (d *decoder) serial(z *Zone) setter {
	read := choose(d, &z.Serial, "serial policy", KeepSerial, UnixtimeSerial, IncrementSerial, DateSerial)
	return func(n *yaml.Node) {
		read(n)
		z.SerialPos = posOf(n)
	}
}

// Journal limits the changes of a zone that are kept for incremental transfers.
type Journal struct {
	Size  int // octets
	Depth int // changes
}

// The limits of Journal.
const (
	minJournal = 4 << 10
	maxJournal = 1 << 30
	maxDepth   = 100_000
)

func (d *decoder) journal(to *Journal) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "size", set: d.size(&to.Size, minJournal, maxJournal)},
			{name: "depth", set: d.integerInRange(&to.Depth, 0, maxDepth)},
		})
	}
}

// Journaled reports whether the changes of a zone are recorded: another server may take it, updates may change it, or its serial
// follows from the one before. A zone that comes from primaries has their serial, and is sent whole.
func (z *Zone) Journaled() bool {
	if len(z.Primaries) > 0 {
		return false
	}
	return len(z.Transfer.Out) > 0 || len(z.Transfer.Notify) > 0 || len(z.Update) > 0 || z.Serial == IncrementSerial || z.Serial == DateSerial
}
