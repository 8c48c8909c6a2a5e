package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/miekg/dns"
)

// world is the configuration of bench/tail: names that share pools of two endpoints in each
// of eight regions.
type world struct {
	names  int
	share  int // names that share a pool
	port   int
	city   string // city database; empty: the built-in table
	probed bool
}

const (
	zone      = "gslb.example.com"
	perRegion = 2
	sites     = 8 // endpoints of a region that pools draw from
	questions = 100_000
	probePort = 5390
)

var regions = []struct{ name, location string }{
	{"us", "39, -77.5"},
	{"na", "43.7, -79.4"},
	{"sa", "-23.5, -46.6"},
	{"eu", "50.1, 8.7"},
	{"af", "-33.9, 18.4"},
	{"as", "1.3, 103.8"},
	{"in", "19.1, 72.9"},
	{"oc", "-33.9, 151.2"},
}

// endpoint returns the address of a site of a region.
func endpoint(region, site int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, byte(region), byte(site + 1)}), probePort)
}

func (w world) pools() int { return (w.names + w.share - 1) / w.share }

func (w world) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for file, fill := range map[string]func(io.Writer) error{
		"meridian.yaml": w.config,
		"queries.ecs":   func(to io.Writer) error { return w.queries(to, questions) },
		"queries.first": func(to io.Writer) error { return w.queries(to, 1) },
	} {
		if err := writeFile(filepath.Join(folder, file), fill); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, fill func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	to := bufio.NewWriter(f)
	if err := fill(to); err != nil {
		return err
	}
	if err := to.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// config writes the server's configuration. The check interval is half a second, so that a
// listener that opens or closes soon causes a health state change.
func (w world) config(to io.Writer) error {
	fmt.Fprintf(to, "server: {listen: [\"127.0.0.1:%d\"], workers: 1}\n", w.port)
	if w.city != "" {
		fmt.Fprintf(to, "geo: {database: %q}\n", w.city)
	}
	fmt.Fprint(to, "regions:\n")
	for _, r := range regions {
		fmt.Fprintf(to, "  %s: {location: [%s]}\n", r.name, r.location)
	}
	check := "none"
	if w.probed {
		check = "up"
		fmt.Fprintf(to, "checks:\n  up: {type: tcp, port: %d, interval: 500ms, timeout: 200ms, rise: 1, fall: 1}\n", probePort)
	}
	fmt.Fprint(to, "pools:\n")
	for p := range w.pools() {
		fmt.Fprintf(to, "  p%d:\n    policy: proximity\n    check: %s\n    members:\n", p, check)
		for r, region := range regions {
			for i := range perRegion {
				fmt.Fprintf(to, "      - {name: %s-%d, region: %s, weight: %d, addresses: [%s]}\n",
					region.name, i, region.name, 70-40*i, endpoint(r, (p+i)%sites).Addr())
			}
		}
	}
	fmt.Fprintf(to, "zones:\n  %s:\n    nameservers: {ns1.%s: [127.0.0.1]}\n    contact: hostmaster@example.com\n    names:\n", zone, zone)
	for n := range w.names {
		if _, err := fmt.Fprintf(to, "      n%d: {pool: p%d}\n", n, n/w.share); err != nil {
			return err
		}
	}
	return nil
}

// queries writes queries for names, each for a random client network, with the framing of DNS
// over TCP.
func (w world) queries(to io.Writer, count int) error {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	for range count {
		q := new(dns.Msg)
		q.SetQuestion(fmt.Sprintf("n%d.%s.", random.IntN(w.names), zone), dns.TypeA)
		q.Id, q.RecursionDesired = 0, false
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24,
			Address: net.IPv4(byte(16+random.IntN(80)), byte(random.IntN(256)), byte(random.IntN(256)), 0).To4(),
		})
		wire, err := q.Pack()
		if err != nil {
			return err
		}
		if _, err := to.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
			return err
		}
	}
	return nil
}
