package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// now is the compile time of the tests. The configuration's file changed a day before.
var (
	now     = time.Unix(1_900_000_000, 0)
	changed = now.Add(-24 * time.Hour)
)

// apexRecords holds the records that every master file needs.
const apexRecords = `$TTL 300
@ SOA ns.outside. hostmaster.outside. 7 14400 3600 604800 60
@ NS ns.outside.
`

// world is a configuration with its files.
type world struct {
	cfg   *config.Config
	files fstest.MapFS
}

func newWorld() *world {
	return &world{
		cfg: &config.Config{File: "/etc/meridian.yaml", Pools: []config.Pool{{Name: "web"}, {Name: "api"}}},
		files: fstest.MapFS{
			"etc/meridian.yaml": {ModTime: changed},
		},
	}
}

// zone adds a zone with a master file, or without one if text is empty. The lines and columns of its keys are
// invented: 10 times its number, then one for each name.
func (w *world) zone(name, text string, balanced ...string) *config.Zone {
	line := uint32(10 * (len(w.cfg.Zones) + 1))
	z := config.Zone{Name: mustName(name), TTL: 30, NegativeTTL: 30, Pos: config.Pos{Line: line, Column: 3}}
	if text != "" {
		z.File = fmt.Sprintf("/z/%d.zone", len(w.cfg.Zones))
		z.FilePos = config.Pos{Line: line + 1, Column: 11}
		w.files[z.File[1:]] = &fstest.MapFile{Data: []byte(text)}
	}
	for i, b := range balanced {
		z.Names = append(z.Names, config.BalancedName{
			Name: mustName(b), Pool: "web", TTL: z.TTL, Answers: 1, Pos: config.Pos{Line: line + 2 + uint32(i), Column: 7},
		})
	}
	w.cfg.Zones = append(w.cfg.Zones, z)
	return &w.cfg.Zones[len(w.cfg.Zones)-1]
}

// nameservers gives a zone the keys that it needs without a file. Each is a name, then addresses.
func nameservers(z *config.Zone, servers ...string) {
	z.Contact = mustName("hostmaster.outside.")
	for i, server := range servers {
		fields := strings.Fields(server)
		ns := config.Nameserver{Name: mustName(fields[0]), Pos: config.Pos{Line: z.Pos.Line + 5 + uint32(i), Column: 9}}
		for _, addr := range fields[1:] {
			ns.Addresses = append(ns.Addresses, netip.MustParseAddr(addr))
		}
		z.Nameservers = append(z.Nameservers, ns)
	}
}

func (w *world) compile() (*Data, *Report) { return compile(w.cfg, w.files, now) }

// mustCompile compiles a world without errors.
func (w *world) mustCompile(t testing.TB) *Data {
	t.Helper()
	s, found := w.compile()
	if _, err := found.Join(); err != nil {
		t.Fatalf("faults:\n%s", err)
	}
	return s
}

func mustName(s string) dnsname.Name {
	name, err := dnsname.Parse(s)
	if err != nil {
		panic(err)
	}
	return name
}

func wire(name string) []byte { return mustName(name).Wire() }

func (k Kind) String() string {
	return [...]string{"refused", "exact", "wildcard", "nxdomain", "referral", "dname"}[k]
}

// show describes a match: the outcome, the zone, the node.
func (s *Data) show(m Match) string {
	switch m.Kind {
	case Refused:
		return m.Kind.String()
	case NXDomain:
		return fmt.Sprintf("%s %s", m.Kind, s.Apex(m.Zone))
	}
	return fmt.Sprintf("%s %s %s", m.Kind, s.Apex(m.Zone), s.NodeName(m.Node))
}

// ask calls Lookup and describes the match.
func (s *Data) ask(name, qtype string) string {
	return s.show(s.Lookup(wire(name), dns.StringToType[qtype]))
}

// records returns the sets of a node in presentation form, each record without its owner.
func (s *Data) records(m Match) []string {
	all := []string{}
	for _, set := range s.RRsets(m.Node) {
		all = append(all, texts(set)...)
	}
	return all
}

func texts(set RRset) []string {
	var all []string
	for _, rr := range set.RRs(".") {
		all = append(all, strings.Join(strings.Fields(strings.TrimPrefix(rr.String(), ".")), " "))
	}
	return all
}

// TestLargestTTLs has the largest TTL in a file, at a name with a pool, and at an apex without a file.
func TestLargestTTLs(t *testing.T) {
	w := newWorld()
	w.zone("example.com.", apexRecords+"www 7200 A 192.0.2.1\nsub.deep 7201 TXT x\n")
	w.zone("example.net.", apexRecords, "www.example.net.").Names[0].TTL = 900
	nameservers(w.zone("example.org.", ""), "ns.example.net.")
	if got, want := w.mustCompile(t).LargestTTLs(), []uint32{7201, 900, 3600}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
