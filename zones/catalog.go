package zones

import (
	"crypto/sha256"
	"encoding/base32"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// The records of a catalog (RFC 9432 4).
const (
	catalogVersion = "2" // of the schema
	memberDigits   = 16  // of the label of a member, 80 bits
)

// addCatalog adds the records of a catalog: its version, and the zones that are in it. It does nothing for any other zone.
//
//	version.CATALOG            TXT "2"
//	LABEL.zones.CATALOG        PTR ZONE
//	group.LABEL.zones.CATALOG  TXT GROUP
func (c *compiler) addCatalog(z ZoneID) {
	catalog := &c.cfg.Zones[z]
	if !catalog.Produced {
		return
	}
	path := catalog.Path()
	c.addConfigured(z, catalog.Pos, path, &dns.TXT{Hdr: header(below("version", catalog.Name), dns.TypeTXT), Txt: []string{catalogVersion}})
	for i := range c.cfg.Zones {
		member := &c.cfg.Zones[i]
		if member.Entry.Catalog != catalog.Name {
			continue
		}
		owner := below(memberLabel(member.Name)+".zones", catalog.Name)
		if len(owner)+len("group.") > maxOwner {
			c.zoneErrorf(member, "give the catalog a shorter name", "the name of catalog %q is too long for its members", catalog.Name)
			continue
		}
		path := member.Path() + ".catalog"
		c.addConfigured(z, member.Pos, path, &dns.PTR{Hdr: header(owner, dns.TypePTR), Ptr: string(member.Name)})
		if member.Entry.Group != "" {
			c.addConfigured(z, member.Pos, path, &dns.TXT{Hdr: header(below("group", owner), dns.TypeTXT), Txt: []string{member.Entry.Group}})
		}
	}
}

// maxOwner is the longest text of a name that surely fits: 255 octets of wire form (RFC 1035 2.3.4) have a length before the first
// label.
const maxOwner = 254

// below returns the name of labels below another name.
func below(labels string, name dnsname.Name) dnsname.Name {
	if name == "." {
		return dnsname.Name(labels + ".")
	}
	return dnsname.Name(labels + "." + string(name))
}

// memberLabel returns the label of a zone in a catalog. It depends on the name of the zone alone, so that all nodes make the same
// catalog, and a consumer keeps the zone while its entry changes.
func memberLabel(zone dnsname.Name) string {
	hash := sha256.Sum256([]byte(zone))
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").EncodeToString(hash[:])[:memberDigits]
}
