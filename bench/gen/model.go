package main

import (
	"errors"
	"fmt"
	"net/netip"
)

// model holds the data of every peer's configuration. Templates read its fields.
type model struct {
	Data    string // folder of the output; a template's own files go to Data/PEER
	Port    int
	Zone    string
	Regions []region
	Home    region // the answer of peers without load balancing, and the default of the others
	Names   []name
	city    string
}

var errNoCity = errors.New("needs a city database")

// City returns the path of the city database; without one, peers that need it are left out.
func (m model) City() (string, error) {
	if m.city == "" {
		return "", errNoCity
	}
	return m.city, nil
}

// HasCity reports whether there is a city database, for peers that can work without one.
func (m model) HasCity() bool { return m.city != "" }

// region is a location in all terms that peers use.
type region struct {
	Name      string
	Lat, Lon  float64
	Continent string
	Country   string   // empty: the rest of the continent
	Nets      []string // for peers that map networks; together the regions cover all of IPv4
}

var regions = []region{
	{"us", 39.0, -77.5, "NA", "US", []string{"0.0.0.0/3", "2600::/8"}},
	{"na", 43.7, -79.4, "NA", "", []string{"32.0.0.0/3", "2001::/16"}},
	{"sa", -23.5, -46.6, "SA", "", []string{"160.0.0.0/3", "2800::/8"}},
	{"eu", 50.1, 8.7, "EU", "", []string{"64.0.0.0/3", "2a00::/8"}},
	{"af", -33.9, 18.4, "AF", "", []string{"96.0.0.0/3", "2c00::/8"}},
	{"as", 1.3, 103.8, "AS", "", []string{"128.0.0.0/3", "2400::/8"}},
	{"in", 19.1, 72.9, "AS", "IN", []string{"192.0.0.0/3", "2402::/16"}},
	{"oc", -33.9, 151.2, "OC", "", []string{"224.0.0.0/3", "2403::/16"}},
}

const home = 3 // eu

// name is a balanced name: in each region two endpoints of weights 70 and 30,
// each with an address of both families.
type name struct {
	Label string
	Sites []site
	Home  endpoint // the first endpoint of the home region
}

type site struct {
	Region    region
	Endpoints []endpoint
}

type endpoint struct {
	Name   string
	V4, V6 netip.Addr
	Weight int
}

// maxNames is the number of names for which 10.0.0.0/8 has enough addresses.
const maxNames = 500_000

func newModel(data, city string, port, names int) model {
	m := model{
		Data: data, Port: port, Zone: "gslb.example.com",
		Regions: regions, Home: regions[home],
		Names: make([]name, names), city: city,
	}
	for i := range m.Names {
		m.Names[i] = newName(i)
	}
	return m
}

func newName(i int) name {
	n := name{Label: fmt.Sprintf("app%04d", i+1)}
	for r, reg := range regions {
		n.Sites = append(n.Sites, site{reg, []endpoint{
			newEndpoint("a", 70, 2*(i*len(regions)+r)),
			newEndpoint("b", 30, 2*(i*len(regions)+r)+1),
		}})
	}
	n.Home = n.Sites[home].Endpoints[0]
	return n
}

// newEndpoint returns the i-th endpoint, with its addresses.
func newEndpoint(label string, weight, i int) endpoint {
	host := [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}
	v6 := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 12: host[0], 13: host[1], 14: host[2], 15: host[3]}
	return endpoint{label, netip.AddrFrom4(host), netip.AddrFrom16(v6), weight}
}
