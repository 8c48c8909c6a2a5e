package geo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
)

// SourceResult is the result of one source for a client.
type SourceResult struct {
	Source  string `json:"source"`            // networks, database, built-in, default; asn
	Network string `json:"network,omitempty"` // the matching entry
	Says    string `json:"says"`              // the location in words, or the reason why there is none
	Placed  bool   `json:"placed"`            // whether this source decided the location
}

// LookupAll looks addr up in every source, in the order of Locate, and then in the ASN file, which has no locations. It
// skips the built-in table for clients in the database, because unpacking takes memory. It is slow and only for
// explanations.
func (l *Locator) LookupAll(addr netip.Addr) []SourceResult {
	k, v4 := keyOf(addr)
	own, isOwn := l.networks.locate(addr)
	all := []SourceResult{said(fromNetworks, own, isOwn, "no entry contains the client")}
	if isOwn {
		all[0].Says = l.describeOverride(own)
	}
	known := false
	if l.db != nil {
		var at Location
		at, known = l.inDatabase(k, v4)
		all = append(all, said(fromDatabase, at, known, "has no location for the client"))
	}
	switch _, private := l.PrivateECS(addr); {
	case known:
	case private:
		all = append(all, said(fromBuiltin, Location{}, false, "skipped: the address is private; only geo.networks can locate it"))
	default:
		at, ok := l.inBuiltin(k, v4)
		all = append(all, said(fromBuiltin, at, ok, "has no country for the client"))
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

// said returns the result of a source: the location if it is known, and otherwise nothing.
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

// describe describes a location in words, the widest part first.
func describe(at Location) string {
	text := strings.TrimSpace(parts(at) + fmt.Sprintf(" at %.2f, %.2f", at.Lat, at.Lon))
	if at.Imprecise > 0 {
		text += fmt.Sprintf(", the centre of population of %s: the accuracy_radius of %d km is over geo.max_accuracy_radius", at.Country, at.Imprecise)
	}
	return text
}

// parts lists the areas of a location, the widest first.
func parts(at Location) string {
	return strings.Join(slices.DeleteFunc([]string{at.Continent, at.Country, at.Subdivision, at.City}, func(part string) bool { return part == "" }), " ")
}

// describeOverride describes an entry of geo.networks as it is configured.
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

// said returns the number and name of the autonomous system of addr.
func (f *asnFile) said(addr netip.Addr) SourceResult {
	s := SourceResult{Source: "asn", Says: "has no autonomous system for the client"}
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
		s.Says = "can no longer be read"
	}
	return s
}
