package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// DNSSEC holds the folder of the keys, how answers are signed, and the policies that zones name.
type DNSSEC struct {
	Keys     string // path of the folder of key files; empty only without a signed zone
	KeysPos  Pos
	Cache    int             // size of the cache of signatures, in octets
	Signers  int             // goroutines that sign; 0: half of the processors
	Policies []SigningPolicy // those of the file, and DefaultSigning if the file does not define it
}

// The words of a zone's dnssec key that need no definition.
const (
	DefaultSigning = "default" // the policy with all defaults, unless the file defines it
	Unsigned       = "none"
)

// mostSigners is more goroutines than processors of any machine.
const mostSigners = 1024

// The range of the signature cache, in octets.
const (
	leastCache = 1 << 20
	mostCache  = 64 << 30
)

func (d *decoder) dnssec(to *DNSSEC) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "keys", set: d.path(&to.Keys, &to.KeysPos)},
			{name: "cache", set: d.size(&to.Cache, leastCache, mostCache)},
			{name: "signers", set: d.integerInRange(&to.Signers, 0, mostSigners)},
			{name: "policies", set: d.signingPolicies(&to.Policies)},
		})
	}
}

// size reads a number of octets with a binary unit.
func (d *decoder) size(to *int, least, most int) setter {
	return setValue(to, func(n *yaml.Node) (int, bool) {
		s, ok := d.scalar(n)
		if !ok {
			return 0, false
		}
		octets, err := parseSize(s)
		switch {
		case err != nil:
			d.errorf(n, quote(s)+" is not a size", "write it like 512KiB, 64MiB or 2GiB")
		case octets < least || octets > most:
			d.errorf(n, quote(s)+" is out of range", formatSize(least)+" to "+formatSize(most))
		default:
			return octets, true
		}
		return 0, false
	})
}

// sizeUnits are the units of a size, the largest first.
var sizeUnits = []struct {
	name  string
	shift int
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// parseSize reads a whole number with a binary unit.
func parseSize(s string) (int, error) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(s, unit.name)
		if !ok || !decimal(number) {
			continue
		}
		n, err := strconv.Atoi(number)
		if err == nil && (n < 0 || n > 1<<20) {
			err = strconv.ErrRange
		}
		return n << unit.shift, err
	}
	return 0, strconv.ErrSyntax
}

// formatSize writes a size in the largest unit that it is a multiple of.
func formatSize(octets int) string {
	for _, unit := range sizeUnits {
		if octets>>unit.shift<<unit.shift == octets {
			return strconv.Itoa(octets>>unit.shift) + unit.name
		}
	}
	return strconv.Itoa(octets)
}

// DNSSECPolicy returns the policy that signs a zone of c, or nil if Meridian does not sign it.
func (c *Config) DNSSECPolicy(z *Zone) *SigningPolicy {
	i := slices.IndexFunc(c.DNSSEC.Policies, func(p SigningPolicy) bool { return p.Name == z.DNSSEC })
	if i < 0 {
		return nil
	}
	return &c.DNSSEC.Policies[i]
}

// zonePolicy reads the policy that a zone names, or none.
func (d *decoder) zonePolicy(z *Zone) setter {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Value == Unsigned {
			z.DNSSEC = Unsigned
			return
		}
		d.refer(kindSigning, &z.DNSSEC)(n)
		if z.DNSSEC != "" && d.firstSigned == (nodeKey{}) {
			d.firstSigned = nodeKeyOf(n)
		}
	}
}

// completeDNSSEC adds the policy default if the file does not define it, and gives each zone the settings that it takes
// from its policy.
func (c *Config) completeDNSSEC(base SigningPolicy) {
	used := false
	for i := range c.Zones {
		used = used || c.Zones[i].DNSSEC == DefaultSigning
	}
	defined := slices.ContainsFunc(c.DNSSEC.Policies, func(p SigningPolicy) bool { return p.Name == DefaultSigning })
	if used && !defined {
		base.Name = DefaultSigning
		c.DNSSEC.Policies = append(c.DNSSEC.Policies, base)
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		family, variety := StrictFamily, 0
		if p := c.DNSSECPolicy(z); p != nil {
			family, variety = p.Family, p.Variety
		}
		if z.Family == "" {
			z.Family = family
		}
		if z.Variety == 0 {
			z.Variety = variety
		}
	}
}

// checkSigning reports an error for a configuration that signs zones and has no folder for keys.
func (d *decoder) checkSigning(cfg *Config) {
	if d.firstSigned != (nodeKey{}) && cfg.DNSSEC.Keys == "" {
		d.errorAt(d.firstSigned, "a signed zone, and dnssec.keys is not set", "write dnssec: {keys: /var/lib/meridian/keys}")
	}
}

// parentServers reads the addresses of the parent zone's servers.
func (d *decoder) parentServers(to *[]netip.AddrPort) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			a, ok := d.addrPort(item, resolverHint)
			switch {
			case !ok:
			case a.Port() == 0 || a.Addr().IsUnspecified():
				d.errorf(item, quote(item.Value)+" is not the address of a server", "write the address and port of a server of the parent zone, such as 192.0.2.53:53")
			case slices.Contains(*to, a):
				d.errorf(item, quote(item.Value)+" is listed twice", "leave one out")
			default:
				*to = append(*to, a)
			}
		})
		if len(*to) > maxParentServers {
			d.errorAtKey(n, fmt.Sprintf("%d servers", len(*to)), fmt.Sprintf("at most %d", maxParentServers))
		}
	}
}

// maxParentServers is the number of servers of the largest zones.
const maxParentServers = 32

// seconds reads a duration of whole seconds, as records and key files have them. A duration of 0 needs no unit.
func (d *decoder) seconds(to *time.Duration, least, most time.Duration) setter {
	return setValue(to, func(n *yaml.Node) (time.Duration, bool) {
		if n.Kind == yaml.ScalarNode && n.Value == "0" && least == 0 {
			return 0, true
		}
		span, ok := d.durationInRange(n, least, most)
		if ok && span%time.Second != 0 {
			d.errorf(n, quote(n.Value)+" is not a whole number of seconds", "write "+FormatDuration(span.Truncate(time.Second)+time.Second))
			return 0, false
		}
		return span, ok
	})
}
