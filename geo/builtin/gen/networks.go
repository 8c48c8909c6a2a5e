package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// networks holds the table of both families as binary tries.
type networks struct{ v4, v6 *node }

// node is a prefix: a leaf with a country ("" for none), or two halves.
type node struct {
	country string
	half    *[2]*node
}

// readNetworks reads the IPv4 and the IPv6 file of the package in dir.
func readNetworks(dir string) (networks, error) {
	var t networks
	for file, root := range map[string]**node{"ipv4": &t.v4, "ipv6": &t.v6} {
		*root = &node{}
		if err := readFamily(filepath.Join(dir, "geo-whois-asn-country-"+file+".mmdb"), *root); err != nil {
			return t, err
		}
		(*root).merge()
	}
	return t, nil
}

func readFamily(file string, root *node) error {
	db, err := maxminddb.Open(file)
	if err != nil {
		return err
	}
	defer db.Close()
	for res := range db.Networks() {
		var rec struct {
			Country string `maxminddb:"country_code"`
		}
		if err := res.Decode(&rec); err != nil {
			return fmt.Errorf("%s: %s: %w", file, res.Prefix(), err)
		}
		root.insert(res.Prefix(), today(rec.Country))
	}
	return nil
}

// today maps a withdrawn country code in the data to its successor. Most people of the Netherlands Antilles lived on
// Curaçao.
func today(country string) string {
	if country == "AN" {
		return "CW"
	}
	return strings.ToUpper(country)
}

// insert puts country at prefix p. The networks of one file do not overlap.
func (n *node) insert(p netip.Prefix, country string) {
	addr := p.Addr().AsSlice()
	for i := range p.Bits() {
		if n.half == nil {
			n.half = &[2]*node{{country: n.country}, {country: n.country}}
		}
		n = n.half[addr[i/8]>>(7-i%8)&1]
	}
	*n = node{country: country}
}

// merge joins equal halves.
func (n *node) merge() {
	if n.half == nil {
		return
	}
	a, b := n.half[0], n.half[1]
	a.merge()
	b.merge()
	if a.half == nil && b.half == nil && a.country == b.country {
		*n = *a
	}
}

// leaves calls f for every prefix of the merged trie, in address order.
func (n *node) leaves(f func(country string)) {
	if n.half == nil {
		f(n.country)
		return
	}
	n.half[0].leaves(f)
	n.half[1].leaves(f)
}

// size returns the number of prefixes that have a country.
func (t networks) size() int {
	size := 0
	count := func(country string) {
		if country != "" {
			size++
		}
	}
	t.v4.leaves(count)
	t.v6.leaves(count)
	return size
}

// countries lists every country of the table, sorted.
func (t networks) countries() []string {
	set := map[string]bool{}
	add := func(country string) { set[country] = true }
	t.v4.leaves(add)
	t.v6.leaves(add)
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// encode writes the table in the format that package geo reads: a DEFLATE stream of
//
//	the number of countries, one byte
//	their two letters each, sorted
//	the IPv4 trie, then the IPv6 trie, in pre-order, one byte a node:
//	0 has two halves, which follow; 1 is a leaf with no country; 2+i is a leaf in country i
//
// The compressor makes the result about as small as delta-coded ranges, with a tenth of the code.
func (t networks) encode() ([]byte, error) {
	countries := t.countries()
	if len(countries) > 253 {
		return nil, fmt.Errorf("%d countries, at most 253 fit a byte", len(countries))
	}
	plain := []byte{byte(len(countries))}
	code := map[string]byte{"": 1}
	for i, c := range countries {
		if len(c) != 2 {
			return nil, fmt.Errorf("country %q, want two letters", c)
		}
		plain = append(plain, c...)
		code[c] = byte(2 + i)
	}
	plain = t.v4.append(plain, code)
	plain = t.v6.append(plain, code)

	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func (n *node) append(to []byte, code map[string]byte) []byte {
	if n.half == nil {
		return append(to, code[n.country])
	}
	to = append(to, 0)
	to = n.half[0].append(to, code)
	return n.half[1].append(to, code)
}
