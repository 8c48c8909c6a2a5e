package geo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
)

// SourceResult is what one source says of where a client is.
type SourceResult struct {
	Source  string `json:"source"`            // networks, database, built-in, default; asn
	Network string `json:"network,omitempty"` // the entry that says so
	Says    string `json:"says"`              // in words; of a source that knows nothing, why
	Placed  bool   `json:"placed"`            // it is this one that placed the client
}

// Consult asks every source of addr, in the order in which Locate does until one
// places the client, and then the ASN file, which places nobody. The built-in table,
// which takes memory, is not asked of who is in the database. Slowly: for explaining.
func (l *Locator) Consult(addr netip.Addr) []SourceResult {
	k, v4 := keyOf(addr)
	own, isOwn := l.networks.locate(addr)
	all := []SourceResult{said(fromNetworks, own, isOwn, "no entry holds the client")}
	if isOwn {
		all[0].Says = l.describeOverride(own)
	}
	known := false
	if l.db != nil {
		var at Location
		at, known = l.inDatabase(k, v4)
		all = append(all, said(fromDatabase, at, known, "knows no place of the client"))
	}
	switch _, private := l.PrivateECS(addr); {
	case known:
	case private:
		all = append(all, said(fromBuiltin, Location{}, false, "not asked: the address is private"))
	default:
		at, ok := l.inBuiltin(k, v4)
		all = append(all, said(fromBuiltin, at, ok, "knows no country of the client"))
	}
	if l.fallback.From != "" {
		all = append(all, SourceResult{Source: fromDefault, Says: fmt.Sprintf("region %q", l.cfg.Geo.Default)})
	}
	from := l.locate(addr).From
	for i := range all {
		all[i].Placed = all[i].Source == from
	}
	if l.asn != nil {
		all = append(all, l.asn.said(addr))
	}
	return all
}

// said is what a source says where it knows a place, and nothing else.
func said(source string, at Location, known bool, nothing string) SourceResult {
	if !known {
		return SourceResult{Source: source, Says: nothing}
	}
	s := SourceResult{Source: source, Says: describe(at)}
	if at.Network.IsValid() {
		s.Network = at.Network.String()
	}
	return s
}

// describe is a place in words, the widest part first.
func describe(at Location) string {
	text := strings.TrimSpace(parts(at) + fmt.Sprintf(" at %.2f, %.2f", at.Lat, at.Lon))
	if at.Imprecise > 0 {
		text += fmt.Sprintf(", where the people of %s live: its accuracy_radius of %d km is over geo.max_accuracy_radius", at.Country, at.Imprecise)
	}
	return text
}

// parts returns what a place is part of, the widest first.
func parts(at Location) string {
	return strings.Join(slices.DeleteFunc([]string{at.Continent, at.Country, at.Subdivision, at.City}, func(part string) bool { return part == "" }), " ")
}

// describeOverride is what an entry of geo.networks says, as it is written.
func (l *Locator) describeOverride(at Location) string {
	for _, n := range l.cfg.Geo.Networks {
		if unmapPrefix(n.Prefix) == at.Network && n.Region != "" {
			text := fmt.Sprintf("region %q", n.Region)
			if area := parts(at); area != "" {
				text += " in " + area
			}
			return text
		}
	}
	return describe(at)
}

// said is which autonomous system announces addr, and how it is called.
func (f *asnFile) said(addr netip.Addr) SourceResult {
	s := SourceResult{Source: "asn", Says: "knows no system that announces the client"}
	err := recoverFault(func() error {
		k, v4 := keyOf(addr)
		offset, depth, ok := f.find(k, v4)
		if !ok {
			return nil
		}
		var r geoip2.ASN
		if err := f.reader.LookupOffset(uintptr(offset)).Decode(&r); err != nil || r.AutonomousSystemNumber == 0 {
			return err
		}
		s.Network = k.prefix(v4, depth).String()
		s.Says = strings.TrimSpace(fmt.Sprintf("AS%d %s", r.AutonomousSystemNumber, r.AutonomousSystemOrganization))
		return nil
	})
	if err != nil {
		s.Says = "cannot be read any more"
	}
	return s
}
