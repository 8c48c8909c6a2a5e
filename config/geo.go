package config

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// Geo holds the settings of client location.
type Geo struct {
	Database    string // path of a MaxMind-format City or Country file; empty: the built-in country table
	DatabasePos Pos
	ASN         string // path of a MaxMind-format ASN file; empty: none
	ASNPos      Pos
	Networks    []Network
	Groups      []CountryGroup
	// MaxAccuracyRadius is in kilometres. The coordinates of a less exact database record are ignored and its country
	// is used. 0: coordinates are always used.
	MaxAccuracyRadius int
	Default           string // region of a client without a known location; the first region if the file sets none; empty without regions
}

// Network locates the clients of a prefix before any database lookup: by a point (Region or Location), by an area
// (Country, Subdivision or Continent), or by one of each.
type Network struct {
	Prefix      netip.Prefix // masked; IPv4 in its 4-byte form
	Region      string
	Country     string // ISO 3166-1 alpha-2, upper case
	Location    *Location
	Continent   string // AF AN AS EU NA OC SA
	Subdivision string // ISO 3166-2, e.g. US-CA
	City        string // English name; never set by a file: for a what-if client in a city, with its Location and its areas
	Pos         Pos
}

// CountryGroup is a set of countries that a match may name by one word.
type CountryGroup struct {
	Name      string
	Countries []string // ISO 3166-1 alpha-2, upper case
	Pos       Pos
}

// Location is a point on Earth in degrees.
type Location struct{ Lat, Lon float64 }

func (d *decoder) geo(g *Geo) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "database", set: d.path(&g.Database, &g.DatabasePos)},
			{name: "asn", set: d.path(&g.ASN, &g.ASNPos)},
			{name: "networks", set: d.networks(&g.Networks)},
			{name: "groups", set: d.countryGroups(&g.Groups)},
			{name: "default", set: d.refer(kindRegion, &g.Default)},
			{name: "max_accuracy_radius", set: setValue(&g.MaxAccuracyRadius, d.kilometres)},
		})
	}
}

func (d *decoder) networks(to *[]Network) setter {
	return func(n *yaml.Node) {
		userMapping(d, n, d.prefix, func(prefix netip.Prefix, key, value *yaml.Node) {
			network := Network{Prefix: prefix, Pos: posOf(key)}
			d.network(value, &network)
			*to = append(*to, network)
		})
	}
}

// maxRadius is more than the largest distance between two points on Earth.
const maxRadius = 20_100

// kilometres reads a distance in whole kilometres, such as 500km or 500.
func (d *decoder) kilometres(n *yaml.Node) (int, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	number := strings.TrimRight(strings.TrimSuffix(s, "km"), " ")
	km, err := strconv.Atoi(number)
	switch {
	case !decimal(number):
		d.errorf(n, quote(s)+" is not a distance", "write whole kilometres, such as 500km; 0: coordinates are always used")
	case err != nil || km < 0 || km > maxRadius:
		d.errorf(n, quote(s)+" is out of range", "0 to "+strconv.Itoa(maxRadius)+"km")
	default:
		return km, true
	}
	return 0, false
}

// network reads the location of a network's clients: a point, an area, or both.
func (d *decoder) network(n *yaml.Node, to *Network) {
	ok := d.mapping(n, []field{
		{name: "region", set: d.refer(kindRegion, &to.Region)},
		{name: "country", set: setValue(&to.Country, d.country)},
		{name: "location", set: setValue(&to.Location, d.location)},
		{name: "continent", set: setValue(&to.Continent, d.continent)},
		{name: "subdivision", set: setValue(&to.Subdivision, d.subdivision)},
	})
	if !ok {
		return
	}
	point, area := []string{"region", "location"}, []string{"country", "subdivision", "continent"}
	if !slices.ContainsFunc(slices.Concat(point, area), func(key string) bool { return yamldoc.Child(n, key) != nil }) {
		d.errorAtKey(n, "none of region, location, country, subdivision, continent", "write region or location, or country, subdivision or continent, or one of each")
	}
	d.atMostOne(n, point...)
	d.atMostOne(n, area...)
}

func (d *decoder) regions(to *[]Region) setter {
	return d.define(kindRegion, func(name string, key, value *yaml.Node) {
		region := Region{Name: name, Pos: posOf(key)}
		var location *Location
		ok := d.mapping(value, append([]field{
			{name: "location", set: setValue(&location, d.location)},
			{name: "bias", set: d.integerInRange(&region.Bias, -MaxBias, MaxBias)},
			{name: "check", set: d.refer(kindCheck, &region.Check)},
			{name: "addresses", set: d.unicasts(&region.Addresses)},
			{name: "subnet", set: setValue(&region.Subnet, d.clientSubnet)},
		}, d.loadKeysOf(&region.Load)...))
		if ok {
			d.required(value, "location", "write location: [latitude, longitude]")
			d.regionCheck(value)
			d.noteLoad(value, loadUse{of: region.Load, who: "a region", region: name})
		}
		if location != nil {
			region.Location = *location
		}
		*to = append(*to, region)
	})
}

// regionCheck requires that a region has both settings of its check or neither.
func (d *decoder) regionCheck(n *yaml.Node) {
	check, addresses := yamldoc.Child(n, "check"), yamldoc.Child(n, "addresses")
	switch {
	case check != nil && addresses == nil:
		d.errorAtKey(check, "no addresses to check", "write addresses: [ADDRESS, ...]; they are probed and never answered")
	case addresses != nil && check == nil:
		d.errorAtKey(addresses, "no check for these addresses", "write check: NAME; the region is down while all of them are")
	}
}

// location reads [latitude, longitude] in degrees.
func (d *decoder) location(n *yaml.Node) (*Location, bool) {
	if !d.kind(n, yaml.SequenceNode) {
		return nil, false
	}
	if len(n.Content) != 2 {
		d.errorf(n, strconv.Itoa(len(n.Content))+" values", "write [latitude, longitude]")
		return nil, false
	}
	lat, latOK := d.degrees(n.Content[0], "latitude", 90)
	lon, lonOK := d.degrees(n.Content[1], "longitude", 180)
	return &Location{Lat: lat, Lon: lon}, latOK && lonOK
}

// degrees reads a number from -most to most.
func (d *decoder) degrees(n *yaml.Node, what string, most float64) (float64, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	value, err := strconv.ParseFloat(s, 64)
	within := strconv.FormatFloat(-most, 'g', -1, 64) + " to " + strconv.FormatFloat(most, 'g', -1, 64)
	switch {
	case n.Tag != "!!int" && n.Tag != "!!float", math.IsNaN(value), err != nil && !math.IsInf(value, 0):
		d.errorf(n, quote(s)+" is not a number", what+" is in degrees, "+within)
	case math.Abs(value) > most:
		d.errorf(n, what+" "+quote(s)+" is out of range", within)
	default:
		return value, true
	}
	return 0, false
}

func (d *decoder) continent(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	switch code := strings.ToUpper(s); code {
	case "AF", "AN", "AS", "EU", "NA", "OC", "SA":
		return code, true
	}
	d.errorf(n, quote(s)+" is not a continent", "write one of AF, AN, AS, EU, NA, OC, SA")
	return "", false
}

func letters(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !letter(r) })
}

func alphanumeric(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !letter(r) && (r < '0' || r > '9') })
}

func letter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
