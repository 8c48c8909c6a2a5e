package geo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"meridian/config"
)

// networks holds the operator's entries of geo.networks, and the address space without a location.
type networks struct {
	entries []Location // the location of each entry of geo.networks
	longest bart.Table[int]

	// The tries have, for each prefix, one of the values below.
	trie
	roots
}

// Values of the tries of networks.
const (
	unset         ref       = iota // not decided here: look in the database and the built-in table
	privateRange                   // as unset, but private: never a useful client subnet
	firstOverride                  // and up: entries[value-firstOwn]
	privateFlag   = 1 << 30        // marks the value of a private leaf in a table
)

// private lists the address space that is ignored in a client subnet: private, loopback, link-local and unspecified,
// as netip.Addr defines them. An entry of networks overrides this.
func private() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/32"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("::/127"), // unspecified and loopback
		netip.MustParsePrefix("fc00::/7"),
		netip.MustParsePrefix("fe80::/10"),
	}
}

// mapped returns the prefix of IPv4-mapped addresses. They are looked up as IPv4, so no scope around an IPv6 client
// may include them.
func mapped() netip.Prefix { return netip.MustParsePrefix("::ffff:0:0/96") }

// newNetworks resolves geo.networks.
func newNetworks(cfg *config.Config, a centroids) (*networks, []config.Error) {
	n := &networks{}
	for _, p := range private() {
		n.insert(p, privateRange)
	}
	var faults []config.Error
	for _, c := range byLength(cfg.Geo.Networks) {
		at, err := a.place(cfg, c)
		if err != nil {
			path := fmt.Sprintf("geo.networks.%s", c.Prefix)
			faults = append(faults, cfg.ErrorAt(c.Pos, path, err.Error(), "write an ISO 3166 code that is in use, or a location"))
			continue
		}
		p := unmapPrefix(c.Prefix)
		at.From, at.Network = fromNetworks, p
		n.longest.Insert(p, len(n.entries))
		n.insert(p, firstOverride+ref(len(n.entries)))
		n.entries = append(n.entries, at)
	}
	n.insert(mapped(), privateRange)
	return n, faults
}

// byLength returns the networks with longer prefixes last, so that they win.
func byLength(all []config.Network) []config.Network {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b config.Network) int {
		return unmapPrefix(a.Prefix).Bits() - unmapPrefix(b.Prefix).Bits()
	})
	return all
}

// insert sets all addresses of p.
func (n *networks) insert(p netip.Prefix, value ref) {
	k, v4 := keyOf(p.Addr())
	if p == mapped() {
		k, v4 = keyOf16(p.Addr().As16()), false
	}
	root := n.of(v4)
	*root = n.set(*root, k, 0, p.Bits(), value)
}

// unmapPrefix returns the IPv4 form of a prefix of IPv4-mapped addresses, and any other prefix unchanged.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// locate returns the location of the longest entry around addr.
func (n *networks) locate(addr netip.Addr) (Location, bool) {
	i, ok := n.longest.Lookup(addr.Unmap().WithZone(""))
	if !ok {
		return Location{}, false
	}
	return n.entries[i], true
}

// place returns the location of the entry c of geo.networks. A subdivision without a location gets the centre of its
// country, because no free source has the centres of subdivisions.
func (a centroids) place(cfg *config.Config, c config.Network) (Location, error) {
	at, err := a.area(c)
	switch {
	case err != nil:
		return Location{}, err
	case c.Location != nil:
		at.Lat, at.Lon = c.Location.Lat, c.Location.Lon
	case c.Region != "":
		i := slices.IndexFunc(cfg.Regions, func(r config.Region) bool { return r.Name == c.Region })
		if i < 0 {
			return Location{}, fmt.Errorf("unknown region %q", c.Region)
		}
		at.Lat, at.Lon = cfg.Regions[i].Location.Lat, cfg.Regions[i].Location.Lon
	}
	return at, nil
}

// area returns the country or continent of the entry c of geo.networks, at its centre of population.
func (a centroids) area(c config.Network) (Location, error) {
	code := c.Country
	if code == "" {
		code, _, _ = strings.Cut(c.Subdivision, "-")
	}
	at, known := a.country(code)
	switch {
	case code != "" && !known && c.Location == nil:
		return Location{}, fmt.Errorf("unknown country %q", code)
	case code == "" && c.Continent != "":
		centre, ok := a.continents[c.Continent]
		if !ok {
			return Location{}, fmt.Errorf("unknown continent %q", c.Continent)
		}
		at.Lat, at.Lon = centre.Lat, centre.Lon
	}
	if c.Continent != "" {
		at.Continent = c.Continent
	}
	at.Subdivision, at.City = c.Subdivision, c.City
	return at, nil
}

// country returns the centre of population of a country.
func (a centroids) country(code string) (Location, bool) {
	c, ok := a.countries[code]
	return Location{Continent: c.continent, Country: code, Lat: c.centre.Lat, Lon: c.centre.Lon}, ok
}
