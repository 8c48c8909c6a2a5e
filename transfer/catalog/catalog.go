// Package catalog consumes catalogs (RFC 9432): zones of other servers that list zones.
//
//	copy of a catalog -- Parse --> entries --.
//	copy of a catalog -- Parse --> entries --+-- Update --> members: the zones that are served, and what has changed
//	members so far ---------------------------'
//
// An entry is what a catalog says. A member is a zone that is served because a catalog lists it, or has listed it until a short time ago.
// Each zone is a member of one catalog. Update is a function of values: the daemon serves the members, and keeps them on disk.
package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// Version is that of the schema of a catalog (RFC 9432 4.2.1).
const Version = "2"

// MaxMembers is the largest number of zones in one catalog.
const MaxMembers = 100_000

// Entry is a zone in a catalog.
type Entry struct {
	Zone   dnsname.Name
	Label  string       // that is unique to the entry (RFC 9432 4.1), as text
	Groups []string     // in order
	Owner  dnsname.Name // the catalog that may take the zone over (RFC 9432 4.3.1); empty: none
}

// parser collects the records of a catalog.
type parser struct {
	apex     dnsname.Wire // in lower case
	versions []string
	entries  map[string]*Entry // by label
}

// Parse returns the zones in a catalog, in the order of their names. It returns an error for one that is broken, of which nothing
// must be used (RFC 9432 5.1):
//
//	version.CATALOG            TXT  missing, several, or another version than 2
//	LABEL.zones.CATALOG        PTR  several, or the catalog itself
//	coo.LABEL.zones.CATALOG    PTR  several
//	two labels                      of the same zone
//
// Other records are ignored.
func Parse(c *zones.Copy) ([]Entry, error) {
	p := &parser{apex: c.Zone.Wire().Folded(), entries: map[string]*Entry{}}
	for r := range c.Records {
		if err := p.add(r); err != nil {
			return nil, err
		}
	}
	if err := p.checkVersion(); err != nil {
		return nil, err
	}
	return p.listed()
}

// labelsBelow returns the labels of a name below the catalog, from the left, in lower case; nil: it is not below.
func (p *parser) labelsBelow(name dnsname.Wire) (labels []string) {
	for len(name) > len(p.apex) {
		labels = append(labels, string(name[1:1+name[0]]))
		name = name.Parent()
	}
	return labels
}

// add takes a record.
func (p *parser) add(r zones.Record) error {
	labels := p.labelsBelow(r.Owner().Folded())
	switch n := len(labels); {
	case n == 1 && labels[0] == "version" && r.Type() == dns.TypeTXT:
		if version := textOf(r.RDATA()); !slices.Contains(p.versions, version) { // equal records are one
			p.versions = append(p.versions, version)
		}
	case n == 2 && labels[1] == "zones" && r.Type() == dns.TypePTR:
		return p.addMember(p.entry(labels[0]), r)
	case n == 3 && labels[2] == "zones":
		return p.addProperty(labels[0], p.entry(labels[1]), r)
	}
	return nil
}

// addProperty takes a property of a zone; unknown ones are left out.
func (p *parser) addProperty(name string, e *Entry, r zones.Record) error {
	switch {
	case name == "coo" && r.Type() == dns.TypePTR:
		return p.addOwner(e, r)
	case name == "group" && r.Type() == dns.TypeTXT:
		e.Groups = append(e.Groups, textOf(r.RDATA()))
	}
	return nil
}

// entry returns that of a label; one without a zone has only properties.
func (p *parser) entry(label string) *Entry {
	e := p.entries[label]
	if e == nil {
		e = &Entry{Label: labelText(label)}
		p.entries[label] = e
	}
	return e
}

func (p *parser) addMember(e *Entry, r zones.Record) error {
	zone, err := nameOf(r.RDATA())
	switch {
	case err != nil:
		return fmt.Errorf("the zone of label %s: %w", e.Label, err)
	case e.Zone != "" && e.Zone != zone:
		return fmt.Errorf("label %s has two zones, %s and %s", e.Label, e.Zone, zone)
	case string(p.apex) == string(zone.Wire()):
		return errors.New("the catalog lists itself")
	}
	e.Zone = zone
	return nil
}

func (p *parser) addOwner(e *Entry, r zones.Record) error {
	owner, err := nameOf(r.RDATA())
	switch {
	case err != nil:
		return fmt.Errorf("coo of label %s: %w", e.Label, err)
	case e.Owner != "" && e.Owner != owner:
		return fmt.Errorf("label %s has two coo records, %s and %s", e.Label, e.Owner, owner)
	}
	e.Owner = owner
	return nil
}

func (p *parser) checkVersion() error {
	switch {
	case len(p.versions) == 0:
		return fmt.Errorf("it has no version; a catalog has a record version TXT %q", Version)
	case len(p.versions) > 1:
		return fmt.Errorf("it has %d versions, %q and %q; a catalog has one", len(p.versions), p.versions[0], p.versions[1])
	case p.versions[0] != Version:
		return fmt.Errorf("it has version %q; only version %s is known", p.versions[0], Version)
	}
	return nil
}

// listed returns the entries with a zone.
func (p *parser) listed() ([]Entry, error) {
	all := make([]Entry, 0, len(p.entries))
	for _, e := range p.entries {
		if e.Zone != "" {
			slices.Sort(e.Groups)
			all = append(all, *e)
		}
	}
	if len(all) > MaxMembers {
		return nil, fmt.Errorf("it has %d zones; at most %d are served", len(all), MaxMembers)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if a.Zone == b.Zone {
			return strings.Compare(a.Label, b.Label)
		}
		return strings.Compare(string(a.Zone), string(b.Zone))
	})
	for i := 1; i < len(all); i++ {
		if all[i-1].Zone == all[i].Zone {
			return nil, fmt.Errorf("zone %s has two labels, %s and %s", all[i].Zone, all[i-1].Label, all[i].Label)
		}
	}
	return all, nil
}

// textOf returns the strings of a TXT record as one text. Those of a copy are valid.
func textOf(rdata []byte) string {
	var b strings.Builder
	for len(rdata) > 0 {
		end := 1 + int(rdata[0])
		b.Write(rdata[1:end])
		rdata = rdata[end:]
	}
	return b.String()
}

// nameOf returns the name in a PTR record.
func nameOf(rdata []byte) (dnsname.Name, error) {
	return dnsname.Parse(dnsname.Wire(rdata).Folded().String())
}

// labelText returns a label as it is in the text of a name.
func labelText(label string) string {
	wire := append([]byte{byte(len(label))}, label...)
	return strings.TrimSuffix(dnsname.Wire(append(wire, 0)).String(), ".")
}
