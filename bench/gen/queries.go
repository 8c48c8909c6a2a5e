package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/miekg/dns"
	"github.com/oschwald/maxminddb-golang/v2"
)

// ednsSize is the size of UDP answers that queries with EDNS allow.
const ednsSize = 1232

// question is one query of the workload, without EDNS.
type question struct {
	name  string
	qtype uint16
}

// writeQueries writes the same n queries four times, with the framing of DNS over TCP:
// queries.none without EDNS, queries.edns with it, queries.ecs with a random client network
// each, and queries.do with the DO flag. queries.txt has them for dnsperf, and queries.first
// holds one query that every started server can answer.
func writeQueries(m model, n int) error {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	first := question{m.Names[len(m.Names)-1].Label + "." + m.Zone + ".", dns.TypeA}
	if err := writeFramed(m, "queries.first", []question{first}, func(*dns.Msg) {}); err != nil || n == 0 {
		return err
	}
	questions := make([]question, n)
	for i := range questions {
		questions[i] = draw(m, random)
	}
	clients, err := drawClients(m.city, n, random)
	if err != nil {
		return err
	}
	next := 0
	withClient := func(q *dns.Msg) {
		q.SetEdns0(ednsSize, false)
		q.IsEdns0().Option = append(q.IsEdns0().Option, subnetOption(clients[next]))
		next++
	}
	for mix, complete := range map[string]func(*dns.Msg){
		"none": func(*dns.Msg) {},
		"edns": func(q *dns.Msg) { q.SetEdns0(ednsSize, false) },
		"ecs":  withClient,
		"do":   func(q *dns.Msg) { q.SetEdns0(ednsSize, true) },
	} {
		if err := writeFramed(m, "queries."+mix, questions, complete); err != nil {
			return err
		}
	}
	return writeFile(m, "queries.txt", func(w io.Writer) error {
		for _, q := range questions {
			fmt.Fprintln(w, q.name, dns.TypeToString[q.qtype])
		}
		return nil
	})
}

// draw returns a random query: 60 % A, 30 % AAAA, 5 % names that do not exist, 5 % the apex.
func draw(m model, random *rand.Rand) question {
	name := m.Names[random.IntN(len(m.Names))].Label + "." + m.Zone + "."
	switch p := random.IntN(100); {
	case p < 60:
		return question{name, dns.TypeA}
	case p < 90:
		return question{name, dns.TypeAAAA}
	case p < 95:
		return question{fmt.Sprintf("nx%05d.%s.", random.IntN(100_000), m.Zone), dns.TypeA}
	default:
		return question{m.Zone + ".", []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeTXT}[p%3]}
	}
}

func writeFramed(m model, file string, questions []question, complete func(*dns.Msg)) error {
	return writeFile(m, file, func(w io.Writer) error {
		for _, q := range questions {
			msg := new(dns.Msg)
			msg.SetQuestion(q.name, q.qtype)
			msg.Id, msg.RecursionDesired = 0, false
			complete(msg)
			wire, err := msg.Pack()
			if err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			frame := binary.BigEndian.AppendUint16(nil, uint16(len(wire)))
			if _, err := w.Write(append(frame, wire...)); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeFile(m model, file string, fill func(io.Writer) error) error {
	if err := os.MkdirAll(m.Data, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(m.Data, file))
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func subnetOption(client netip.Prefix) *dns.EDNS0_SUBNET {
	family := uint16(1)
	if client.Addr().Is6() {
		family = 2
	}
	return &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: family,
		SourceNetmask: uint8(client.Bits()), Address: client.Addr().AsSlice(),
	}
}

// drawClients returns n random client networks, 70 % IPv4 (/24), 30 % IPv6 (/56): from the
// networks of the city database, or without one from all unicast space.
func drawClients(city string, n int, random *rand.Rand) ([]netip.Prefix, error) {
	v4 := []netip.Prefix{netip.MustParsePrefix("16.0.0.0/4"), netip.MustParsePrefix("64.0.0.0/3")}
	v6 := []netip.Prefix{netip.MustParsePrefix("2400::/6")}
	if city != "" {
		var err error
		if v4, v6, err = networksOf(city); err != nil {
			return nil, err
		}
	}
	clients := make([]netip.Prefix, n)
	for i := range clients {
		if random.IntN(10) < 7 {
			clients[i] = drawInside(v4[random.IntN(len(v4))], 24, random)
		} else {
			clients[i] = drawInside(v6[random.IntN(len(v6))], 56, random)
		}
	}
	return clients, nil
}

// drawInside returns a random network of the given length in p, or the one around p if p is longer.
func drawInside(p netip.Prefix, bits int, random *rand.Rand) netip.Prefix {
	addr := p.Masked().Addr().AsSlice()
	for b := p.Bits(); b < bits; b++ {
		addr[b/8] |= byte(random.IntN(2)) << (7 - b%8)
	}
	a, _ := netip.AddrFromSlice(addr) // 4 or 16 octets: it came from an address
	return netip.PrefixFrom(a, bits).Masked()
}

func networksOf(city string) (v4, v6 []netip.Prefix, err error) {
	db, err := maxminddb.Open(city)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", city, err)
	}
	defer db.Close()
	unicast := netip.MustParsePrefix("2000::/3")
	for result := range db.Networks() {
		if p := result.Prefix(); p.Addr().Is4() {
			v4 = append(v4, p)
		} else if unicast.Contains(p.Addr()) {
			v6 = append(v6, p)
		}
	}
	if len(v4) == 0 || len(v6) == 0 {
		return nil, nil, fmt.Errorf("%s: %d IPv4 and %d IPv6 networks; want a database of both families", city, len(v4), len(v6))
	}
	return v4, v6, nil
}
