package main

import (
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"gopkg.in/yaml.v3"
)

func TestEveryPeerGetsItsFiles(t *testing.T) {
	dir := t.TempDir()
	m := newModel(dir, "/city.mmdb", 5300, 3)
	peers := peersOf(t)
	if err := writePeers("../peers", peers, m, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, peer := range peers {
		for _, file := range []string{"about", "command", "packages"} {
			if _, err := os.Stat(filepath.Join(dir, peer, file)); err != nil {
				t.Errorf("%s: %v; every peer has this file", peer, err)
			}
		}
	}
	var zones struct {
		Domains []struct {
			Records, Services map[string]any
		}
	}
	if err := yaml.Unmarshal(read(t, dir, "pdns-geo/zones.yaml"), &zones); err != nil {
		t.Fatal(err)
	}
	if got := zones.Domains[0]; len(got.Records) != 3+3*9 || len(got.Services) != 3 {
		t.Errorf("pdns-geo has %d records and %d services, want 30 and 3", len(got.Records), len(got.Services))
	}
	for _, peer := range []string{"nsd", "knot-static", "pdns-static", "nsd-signed", "knot-signed", "knot-onlinesign", "pdns-onlinesign"} {
		static := dns.NewZoneParser(strings.NewReader(string(read(t, dir, peer+"/static.zone"))), "", peer)
		if got := count(static); got != 6+3*2 || static.Err() != nil {
			t.Errorf("%s serves %d records (%v), want 12", peer, got, static.Err())
		}
	}
}

func TestPeersThatNeedADatabaseAreLeftOutWithoutOne(t *testing.T) {
	dir := t.TempDir()
	var notes strings.Builder
	if err := writePeers("../peers", peersOf(t), newModel(dir, "", 5300, 3), &notes); err != nil {
		t.Fatal(err)
	}
	for _, peer := range peersOf(t) {
		_, err := os.Stat(filepath.Join(dir, peer))
		needs := slices.Contains([]string{"gdnsd", "knot-geo", "pdns-geo"}, peer)
		if needs != os.IsNotExist(err) || needs != strings.Contains(notes.String(), " "+peer+":") {
			t.Errorf("%s: needs a database: %v, its folder: %v, notes: %s", peer, needs, err, notes.String())
		}
	}
}

func TestNoAddressIsGivenTwice(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for _, n := range []name{newName(0), newName(1), newName(maxNames - 1)} {
		for _, s := range n.Sites {
			for _, e := range s.Endpoints {
				if seen[e.V4] || seen[e.V6] {
					t.Errorf("%s: %s or %s is another endpoint's", n.Label, e.V4, e.V6)
				}
				seen[e.V4], seen[e.V6] = true, true
			}
		}
	}
}

func TestMixesAskTheSameQuestions(t *testing.T) {
	const n = 2000
	m := newModel(t.TempDir(), "", 5300, 10)
	if err := writeQueries(m, n); err != nil {
		t.Fatal(err)
	}
	none, ecs, signed := messages(t, m, "queries.none"), messages(t, m, "queries.ecs"), messages(t, m, "queries.do")
	if len(none) != n || len(ecs) != n || len(signed) != n {
		t.Fatalf("%d, %d and %d messages, want %d", len(none), len(ecs), len(signed), n)
	}
	types := map[uint16]int{}
	v4 := 0
	for i := range none {
		if none[i].Question[0] != ecs[i].Question[0] || none[i].IsEdns0() != nil {
			t.Fatalf("message %d: %v and %v", i, none[i], ecs[i])
		}
		if signed[i].Question[0] != none[i].Question[0] || !signed[i].IsEdns0().Do() || ecs[i].IsEdns0().Do() {
			t.Fatalf("message %d: %v and %v; want DO in the second one", i, ecs[i], signed[i])
		}
		types[none[i].Question[0].Qtype]++
		subnet := ecs[i].IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		if subnet.Family == 1 {
			v4++
		}
	}
	within(t, "A", types[dns.TypeA], n*65/100)
	within(t, "AAAA", types[dns.TypeAAAA], n*30/100)
	within(t, "IPv4 clients", v4, n*70/100)
}

// within allows 5 % of 2000 either way: over four standard deviations.
func within(t *testing.T, what string, got, want int) {
	t.Helper()
	if got < want-100 || got > want+100 {
		t.Errorf("%s: %d, want %d ± 100", what, got, want)
	}
}

func peersOf(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("../peers")
	if err != nil {
		t.Fatal(err)
	}
	var peers []string
	for _, e := range entries {
		if e.IsDir() {
			peers = append(peers, e.Name())
		}
	}
	return peers
}

func count(z *dns.ZoneParser) (n int) {
	for _, ok := z.Next(); ok; _, ok = z.Next() {
		n++
	}
	return n
}

func messages(t *testing.T, m model, file string) []*dns.Msg {
	t.Helper()
	var found []*dns.Msg
	for data := read(t, m.Data, file); len(data) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(data))
		msg := new(dns.Msg)
		if err := msg.Unpack(data[2:end]); err != nil {
			t.Fatal(err)
		}
		found = append(found, msg)
		data = data[end:]
	}
	return found
}

func read(t *testing.T, dir, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
