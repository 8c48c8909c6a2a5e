package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/snapshot"
	"meridian/zones"
)

// checkSplitTypes returns an error for each balanced name of a signed zone that has other types in next than in served, which
// a share of the clients cannot have. The NSEC records of a name are those of served: a resolver that has one denies the types
// that are not in it to all clients (RFC 8198), also to those that next decides for.
func checkSplitTypes(served, next *snapshot.Snapshot) error {
	var errs []config.Error
	for i := range next.Config.Zones {
		z := &next.Config.Zones[i]
		if served.Signing.Of(served.Zones.Lookup(z.Name.Wire(), dns.TypeSOA).Zone) == nil {
			continue
		}
		for j := range z.Names {
			if e, differs := splitTypesOf(served, next, z, &z.Names[j]); differs && len(errs) < maxSplitErrors {
				errs = append(errs, e)
			}
		}
	}
	return config.Join(errs)
}

// maxSplitErrors is how many names an error lists: a pool may have millions.
const maxSplitErrors = 20

// splitTypesOf compares the types of a name of a zone. CheckSplit has refused names that only one of the two has.
func splitTypesOf(served, next *snapshot.Snapshot, z *config.Zone, name *config.BalancedName) (e config.Error, differs bool) {
	wire := name.Name.Wire()
	at := served.Zones.Lookup(wire, dns.TypeA)
	if at.Kind != zones.Exact {
		return e, false
	}
	before, after := poolTypes(served.Zones, at), poolTypes(next.Zones, next.Zones.Lookup(wire, dns.TypeA))
	if slices.Equal(before, after) {
		return e, false
	}
	what := fmt.Sprintf("its pools give %s, and %s in the generation that serves: a share of the clients cannot have other types in a signed zone, because its NSEC records say the same to all clients",
		typesText(after), typesText(before))
	hint := "push it to all nodes at once, or to some nodes first with --canary NODE; or give the share members with addresses of the same families, records of the same types, and https and cname as before"
	return next.Config.ErrorAt(name.Pos, z.Path()+".names."+nameIn(name, z), what, hint), true
}

// nameIn returns a name as it is written in its zone.
func nameIn(name *config.BalancedName, z *config.Zone) string {
	if name.Name == z.Name {
		return "@"
	}
	return strings.TrimSuffix(string(name.Name), "."+string(z.Name))
}

// poolTypes returns the types that the pools of a name can give, sorted.
func poolTypes(s *zones.Data, at zones.Match) []uint16 {
	types := s.AppendPoolTypes(nil, at.Node)
	slices.Sort(types)
	return slices.Compact(types)
}

// typesText lists types.
func typesText(types []uint16) string {
	if len(types) == 0 {
		return "no type"
	}
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = dns.Type(t).String()
	}
	return strings.Join(names, " ")
}
