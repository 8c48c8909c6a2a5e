package config

import (
	"net/netip"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// Consumer is how the zones in a catalog of another server are served (RFC 9432 5).
type Consumer struct {
	Grace    time.Duration // that a zone is still served after it has left the catalog
	Template Template      // settings of its zones
	Groups   []MemberGroup // other settings, for the zones of a group
}

// MemberGroup holds the settings of the zones that a catalog has in a group.
type MemberGroup struct {
	Name     string
	Template Template
}

// Template holds settings of the zones in a catalog. Without Primaries they come from the same servers as the catalog.
type Template struct {
	Primaries []Primary
	MaxSize   int // of a transfer, in octets; 0: that of the catalog
	Transfer  Transfer
	Access    Access
	Rotate    *bool // nil: as the server
}

// Membership is why a zone is served that is not written in the configuration.
type Membership struct {
	Catalog dnsname.Name
	Group   string // the zone has its settings; empty: those of the template
}

// MemberZone is a zone that a catalog lists.
type MemberZone struct {
	Zone, Catalog dnsname.Name
	Groups        []string
}

const (
	defaultGrace = 24 * time.Hour
	mostGrace    = 365 * 24 * time.Hour
)

// consumer reads how the zones of a catalog are served.
func (d *decoder) consumer(grace, template, groups *yaml.Node) *Consumer {
	c := &Consumer{Grace: defaultGrace, Template: d.newTemplate()}
	if grace != nil {
		d.duration(&c.Grace, 0, mostGrace)(grace)
	}
	if template != nil {
		d.template(template, &c.Template)
	}
	if groups != nil {
		userMapping(d, groups, d.groupKey, func(name string, _, value *yaml.Node) {
			group := MemberGroup{Name: name, Template: d.newTemplate()}
			d.template(value, &group.Template)
			c.Groups = append(c.Groups, group)
		})
	}
	return c
}

func (d *decoder) groupKey(key *yaml.Node) (string, bool) { return d.catalogGroup(key) }

func (d *decoder) newTemplate() Template { return Template{Transfer: d.defaults.zone.Transfer} }

// template reads settings of the zones in a catalog.
func (d *decoder) template(n *yaml.Node, t *Template) {
	z := Zone{Transfer: t.Transfer}
	var transfer, allow, deny *yaml.Node
	d.mapping(n, []field{
		{name: "primaries", set: d.primaries(&t.Primaries)},
		{name: "max_size", set: d.size(&t.MaxSize, leastMaxSize, mostMaxSize)},
		{name: "transfer", set: capture(&transfer)},
		{name: "allow", set: capture(&allow)},
		{name: "deny", set: capture(&deny)},
		{name: "rotate", set: d.rotate(&t.Rotate)},
	})
	if transfer != nil {
		d.transfer(&z)(transfer)
		t.Transfer = z.Transfer
		z.Primaries = []Primary{{}} // the zones come from primaries in any case
		d.checkOwnSerials(transfer, &z)
	}
	d.access(allow, deny, &t.Access)
}

// checkConsumed completes a catalog of other servers, and rejects keys that have a meaning only in one that is produced.
func (d *decoder) checkConsumed(n *yaml.Node, z *Zone) {
	for _, key := range [...]string{"serial", "journal"} {
		if other := yamldoc.Child(n, key); other != nil {
			d.errorf(other, "the catalog comes from primaries, with its serial", "remove "+key+", or primaries")
		}
	}
	z.PrimariesPos = posOf(yamldoc.Child(n, "primaries"))
	if z.MaxSize == 0 {
		z.MaxSize = defaultMaxSize
	}
	if !z.Access.Restricts() { // it has the names of all zones
		z.Access.Deny = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
}

// checkProducedOnly rejects keys that have a meaning only in a catalog of other servers.
func (d *decoder) checkProducedOnly(n *yaml.Node) {
	for _, key := range [...]string{"max_size", "removal_grace", "template", "groups"} {
		if other := yamldoc.Child(n, key); other != nil {
			d.errorf(other, "the catalog is produced here, from zones that this server has", "remove "+key+", or write primaries in place of produce")
		}
	}
}

// WithMembers returns a configuration that has the zones in catalogs of other servers, too, after those that are written.
// Zones of catalogs that the configuration does not have are left out.
func (c *Config) WithMembers(members []MemberZone) *Config {
	written := c.WrittenZones()
	if len(members) == 0 && len(written) == len(c.Zones) {
		return c
	}
	catalogs := map[dnsname.Name]*Zone{}
	for i := range written {
		if z := &written[i]; z.Consumed != nil {
			catalogs[z.Name] = z
		}
	}
	next := *c
	next.Zones = slices.Clone(written)
	for i := range members {
		if catalog := catalogs[members[i].Catalog]; catalog != nil {
			next.Zones = append(next.Zones, catalog.member(&members[i]))
		}
	}
	return &next
}

// WrittenZones returns the zones and catalogs that are written in the configuration.
func (c *Config) WrittenZones() []Zone {
	end := slices.IndexFunc(c.Zones, func(z Zone) bool { return z.Member != nil })
	if end < 0 {
		return c.Zones
	}
	return c.Zones[:end:end]
}

// member returns a zone in a catalog.
func (z *Zone) member(m *MemberZone) Zone {
	consumer := z.Consumed
	template, group := &consumer.Template, ""
	for i := range consumer.Groups {
		if slices.Contains(m.Groups, consumer.Groups[i].Name) {
			template, group = &consumer.Groups[i].Template, consumer.Groups[i].Name
			break
		}
	}
	member := Zone{
		Name: m.Zone, TTL: z.TTL, NegativeTTL: z.NegativeTTL, Journal: z.Journal, Family: z.Family, Pos: z.Pos, PrimariesPos: z.PrimariesPos,
		Member: &Membership{Catalog: z.Name, Group: group}, Primaries: template.Primaries, MaxSize: template.MaxSize,
		Transfer: template.Transfer, Access: template.Access, Rotate: template.Rotate,
	}
	if len(member.Primaries) == 0 {
		member.Primaries = consumer.Template.Primaries
	}
	if len(member.Primaries) == 0 {
		member.Primaries = z.Primaries
	}
	if member.MaxSize == 0 {
		member.MaxSize = z.MaxSize
	}
	return member
}

// Peers are the servers that a zone is transferred from and to, with the path of their settings in the configuration.
type Peers struct {
	Path      string
	Primaries []Primary
	Out       []TransferRule
}

// Peers returns those of each zone and catalog that is written, and of the templates of catalogs.
func (c *Config) Peers() (all []Peers) {
	written := c.WrittenZones()
	for i := range written {
		z := &written[i]
		path := z.Path()
		all = append(all, Peers{path, z.Primaries, z.Transfer.Out})
		if z.Consumed == nil {
			continue
		}
		all = append(all, Peers{path + ".template", z.Consumed.Template.Primaries, z.Consumed.Template.Transfer.Out})
		for j := range z.Consumed.Groups {
			group := &z.Consumed.Groups[j]
			all = append(all, Peers{path + ".groups." + group.Name, group.Template.Primaries, group.Template.Transfer.Out})
		}
	}
	return all
}

// InCatalogs reports whether a zone is written under catalogs.
func (z *Zone) InCatalogs() bool { return z.Produced || z.Consumed != nil }
