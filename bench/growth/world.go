package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// smallest is the first size of each subject.
const smallest = 1000

// subject is a part of the configuration that grows.
type subject struct {
	name string
	most int              // the largest size that makes sense
	of   func(n int) size // the configuration of size n
}

// size counts the parts of a configuration. What it leaves out is there once.
type size struct {
	names, pools, members, regions, networks, endpoints, zones int
}

var subjects = []subject{
	{"names", 1_000_000, func(n int) size { return size{names: n} }},
	{"pools", 1_000_000, func(n int) size { return size{pools: n} }},
	{"members", 1_000_000, func(n int) size { return size{members: n} }},
	{"regions", 10_000, func(n int) size { return size{regions: n} }},
	{"networks", 1_000_000, func(n int) size { return size{networks: n} }},
	{"endpoints", 100_000, func(n int) size { return size{endpoints: n} }},
	{"zones", 100_000, func(n int) size { return size{zones: n} }},
}

func names(all []subject) (names []string) {
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

func find(name string) (subject, bool) {
	for _, s := range subjects {
		if s.name == name {
			return s, true
		}
	}
	return subject{}, false
}

// sizes returns the sizes to measure, each ten times the one before.
func (s subject) sizes(most int) (all []int) {
	for n := smallest; n <= min(most, s.most); n *= 10 {
		all = append(all, n)
	}
	return all
}

// zone is the zone at the end of the configuration, so that a line at the end of the file adds a name to it.
const zone = "last.example"

// newest returns the name that the last line of a file written by write has.
const newest = "www." + zone + "."

// writeFile writes the configuration of a size to a file.
func (s size) writeFile(path string, port int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	s.write(w, port)
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// write writes the configuration of a size. Errors are kept by w until it is flushed.
func (s size) write(w *bufio.Writer, port int) {
	fmt.Fprintf(w, "server: {listen: [\"127.0.0.1:%d\"], workers: 1}\n", port)
	if s.networks > 0 {
		fmt.Fprint(w, "geo:\n  networks:\n")
		for i := range s.networks {
			fmt.Fprintf(w, "    %d.%d.%d.0/24: {region: r%d}\n", 20+i>>16, i>>8&255, i&255, i%regionsAtLeast)
		}
	}
	regions := max(s.regions, regionsAtLeast)
	fmt.Fprint(w, "regions:\n")
	for i := range regions {
		fmt.Fprintf(w, "  r%d: {location: [%.3f, %.3f]}\n", i, float64(i*37%120)-60+float64(i%1000)/1000, float64(i*91%360)-180+float64(i%997)/1000)
	}
	if s.endpoints > 0 {
		fmt.Fprint(w, "checks:\n  up: {type: tcp, port: 9, interval: 1h, timeout: 1s}\n")
	}
	s.writePools(w, regions)
	s.writeZones(w)
}

// regionsAtLeast is the number of regions of the subjects that are not about regions.
const regionsAtLeast = 8

// writePools writes a pool that every subject has, with a member in each region, and those of the subject.
func (s size) writePools(w io.Writer, regions int) {
	fmt.Fprint(w, "pools:\n  base:\n    policy: proximity\n    members:\n")
	for i := range max(s.members, regions) {
		fmt.Fprintf(w, "      - {name: m%d, region: r%d, addresses: [%s]}\n", i, i%regions, address(i))
	}
	for i := range s.pools {
		fmt.Fprintf(w, "  p%d:\n    policy: proximity\n    members:\n", i)
		for j := range 2 {
			fmt.Fprintf(w, "      - {name: m%d, region: r%d, addresses: [%s]}\n", j, (i+j)%regions, address(2*i+j))
		}
	}
	const each = 10 // endpoints of a pool
	for i := range s.endpoints {
		if i%each == 0 {
			fmt.Fprintf(w, "  e%d:\n    policy: proximity\n    check: up\n    members:\n", i/each)
		}
		fmt.Fprintf(w, "      - {name: m%d, region: r%d, addresses: [127.%d.%d.%d]}\n", i%each, i%regions, 1+i>>16, i>>8&255, i&255)
	}
}

// address returns the i-th address of 16 million.
func address(i int) string { return fmt.Sprintf("100.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

// writeZones writes the zones, the last one with a name for each pool.
func (s size) writeZones(w io.Writer) {
	fmt.Fprint(w, "zones:\n")
	for i := range s.zones {
		fmt.Fprintf(w, "  z%d.example:\n    nameservers: {ns1.z%d.example: [127.0.0.1]}\n    contact: hostmaster@example.com\n    names:\n      www: {pool: base}\n", i, i)
	}
	fmt.Fprintf(w, "  %s:\n    nameservers: {ns1.%s: [127.0.0.1]}\n    contact: hostmaster@example.com\n    names:\n", zone, zone)
	for i := range s.names {
		fmt.Fprintf(w, "      n%d: {pool: base}\n", i)
	}
	for i := range s.pools {
		fmt.Fprintf(w, "      p%d: {pool: p%d}\n", i, i)
	}
	for i := 0; i < s.endpoints; i += 10 {
		fmt.Fprintf(w, "      e%d: {pool: e%d}\n", i/10, i/10)
	}
	fmt.Fprintf(w, "      %s: {pool: base}\n", strings.TrimSuffix(newest, "."+zone+"."))
}
