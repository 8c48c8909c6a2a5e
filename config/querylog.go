package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
	"meridian/errtext"
)

// QueryLog holds where queries and their answers are logged, and which. Without a destination there is no query log.
type QueryLog struct {
	Dnstap Destination    // messages in dnstap's protobuf form; the zero value: none
	File   string         // path of a file of JSON lines; empty: none
	Sample float64        // part of the queries that is logged, more than 0 and at most 1
	Zones  []dnsname.Name // only queries in these zones; empty: all queries
}

// Enabled reports whether queries are logged.
func (q *QueryLog) Enabled() bool { return q.Dnstap != (Destination{}) || q.File != "" }

// Destination is where dnstap frames are written to.
type Destination struct {
	Network string // unix, tcp or file; empty: none
	Address string // the path of a socket or a file, or HOST:PORT
}

// String returns t as written in the file, with an absolute path.
func (t Destination) String() string { return t.Network + ":" + t.Address }

// maxSocketPath is the longest path of a unix socket in octets (sun_path of Linux without the final zero).
const maxSocketPath = 107

func (d *decoder) queryLog(to *QueryLog) setter {
	return func(n *yaml.Node) {
		var pos Pos
		ok := d.mapping(n, []field{
			{name: "dnstap", set: setValue(&to.Dnstap, d.destination)},
			{name: "file", set: d.path(&to.File, &pos)},
			{name: "sample", set: setValue(&to.Sample, d.sample)},
			{name: "zones", set: d.loggedZones(&to.Zones)},
		})
		if ok && yamldoc.Child(n, "dnstap") == nil && yamldoc.Child(n, "file") == nil {
			d.errorAtKey(n, "no destination", "write dnstap: unix:/run/dnstap.sock or file: queries.json, or leave query_log out")
		}
	}
}

// destination reads where dnstap frames go: unix:PATH, tcp:HOST:PORT or file:PATH.
func (d *decoder) destination(n *yaml.Node) (t Destination, ok bool) {
	s, ok := d.word(n)
	if !ok {
		return t, false
	}
	network, address, _ := strings.Cut(s, ":")
	problem := ""
	switch network {
	case "unix", "file":
		if address != "" && !filepath.IsAbs(address) {
			address = filepath.Join(filepath.Dir(d.fileOf(n)), address)
		}
		if network == "unix" && len(address) > maxSocketPath {
			problem = fmt.Sprintf(" has a path of %d octets; a unix socket has at most %d", len(address), maxSocketPath)
		}
	case "tcp":
		problem = badHostPort(address)
	default:
		address = ""
	}
	if address == "" || problem != "" {
		if problem == "" {
			problem = " is not a destination"
		}
		d.errorf(n, quote(s)+problem, "write unix:/run/dnstap.sock, tcp:192.0.2.9:6000 or file:/var/log/queries.dnstap")
		return t, false
	}
	return Destination{network, address}, true
}

// badHostPort returns what is wrong with a HOST:PORT; empty: nothing.
func badHostPort(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return " has no host and port"
	}
	if number, err := strconv.Atoi(port); err != nil || !decimal(port) || number < 1 || number > 65535 {
		return " has no port from 1 to 65535"
	}
	return ""
}

// sample reads a number greater than 0 and at most 1.
func (d *decoder) sample(n *yaml.Node) (float64, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	value, err := strconv.ParseFloat(s, 64)
	switch {
	case n.Tag != "!!int" && n.Tag != "!!float" || err != nil:
		d.errorf(n, quote(s)+" is not a number", "write the part of the queries to log, such as 0.01 for one in a hundred")
	case !(value > 0 && value <= 1):
		d.errorf(n, quote(s)+" is out of range", "more than 0, at most 1")
	default:
		return value, true
	}
	return 0, false
}

// zoneUse is a zone that query_log names.
type zoneUse struct {
	zone dnsname.Name
	at   nodeKey
}

func (d *decoder) loggedZones(to *[]dnsname.Name) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			if zone, ok := d.domain(item); ok {
				*to = append(*to, zone)
				d.zoneUses = append(d.zoneUses, zoneUse{zone, nodeKeyOf(item)})
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one zone, or leave the key out for all")
		}
	}
}

// checkLoggedZones reports an error for zones of query_log that are not in the configuration.
func (d *decoder) checkLoggedZones(zones []Zone) {
	if len(d.zoneUses) == 0 {
		return
	}
	known := make(map[dnsname.Name]bool, len(zones))
	var names []string
	for i := range zones {
		known[zones[i].Name] = true
		names = append(names, string(zones[i].Name))
	}
	for _, use := range d.zoneUses {
		if known[use.zone] {
			continue
		}
		hint := "known: " + errtext.List(names)
		if near, ok := Nearest(string(use.zone), names); ok {
			hint = "did you mean " + quote(near) + "?"
		} else if len(names) == 0 {
			hint = "the configuration has no zones"
		}
		d.errorAt(use.at, "no zone "+quote(string(use.zone)), hint)
	}
}
