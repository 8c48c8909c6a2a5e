package zones

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// TestTheLongestNetworkAdmits compares random lists with a search of all networks.
func TestTheLongestNetworkAdmits(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	network := func() netip.Prefix { // few addresses, so that networks contain one another
		if random.IntN(3) == 0 {
			a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(random.IntN(2)), byte(random.IntN(2))})
			return netip.PrefixFrom(a, random.IntN(129)).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(random.IntN(2)), byte(random.IntN(2)), byte(random.IntN(4))}), random.IntN(33)).Masked()
	}
	for range 300 {
		var of config.Access
		lists := map[netip.Prefix]bool{}
		for range random.IntN(6) {
			lists[network()] = random.IntN(2) == 0
		}
		for p, allowed := range lists {
			if allowed {
				of.Allow = append(of.Allow, p)
			} else {
				of.Deny = append(of.Deny, p)
			}
		}
		data := &Data{access: newAccess([]config.Zone{{}, {Access: of}})}
		if data.Restricts() != (len(lists) > 0) {
			t.Fatalf("seed %d: restricts is %v for %v", seed, data.Restricts(), lists)
		}
		for range 50 {
			client := network().Addr()
			want, longest := len(of.Allow) == 0, -1
			for p, allowed := range lists {
				if p.Contains(client) && p.Bits() > longest {
					want, longest = allowed, p.Bits()
				}
			}
			if got := data.Admits(1, client); got != want {
				t.Fatalf("seed %d: %v is admitted: %v, want %v; %v", seed, client, got, want, lists)
			}
			if !data.Admits(0, client) {
				t.Fatalf("seed %d: a zone without lists refuses %v", seed, client)
			}
		}
		if allocs := testing.AllocsPerRun(1, func() { data.Admits(1, netip.IPv6Unspecified()) }); allocs != 0 {
			t.Fatalf("%v allocations", allocs)
		}
	}
}

// parsed compiles a configuration.
func parsed(t *testing.T, text string) (*Data, *Report) {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Compile(cfg)
}

const memberZone = "    nameservers: {ns.example.net.: []}\n    contact: host@example.net\n"

// TestCatalogHasItsMembers reads the records of a catalog (RFC 9432 4.1 to 4.3.2).
func TestCatalogHasItsMembers(t *testing.T) {
	for _, catalog := range []string{"catalog.example.net", "catalog.invalid"} {
		text := "state: state\ncatalogs: {" + catalog + ": {produce: true}}\nzones:\n"
		for i := range 20 {
			text += fmt.Sprintf("  z%d.example.com:\n%s", i, memberZone)
			switch i % 3 {
			case 0:
				text += "    catalog: " + catalog + "\n"
			case 1:
				text += "    catalog: {name: " + catalog + ", group: gold}\n"
			}
		}
		data, report := parsed(t, text)
		if data == nil {
			_, err := report.Join()
			t.Fatal(err)
		}
		var got []string
		zone, ok := data.ApexOf(dnsname.Name(catalog + ".").Wire())
		if !ok {
			t.Fatalf("no zone for catalog %s", catalog)
		}
		for node := range data.Walk(zone) {
			for _, set := range data.RRsets(node) {
				if set.Type == dns.TypePTR || set.Type == dns.TypeTXT {
					for rdata := range set.RDATA() {
						name := data.NodeName(node).String()
						if set.Type == dns.TypePTR {
							got = append(got, name+" PTR "+dnsname.Wire(rdata).String())
						} else {
							got = append(got, name+" TXT "+string(rdata[1:]))
						}
					}
				}
			}
		}
		want := []string{"version." + catalog + ". TXT 2"}
		seen := map[string]bool{}
		for i := range 20 {
			zone := fmt.Sprintf("z%d.example.com.", i)
			label := memberLabel(dnsname.Name(zone))
			if seen[label] || len(label) != memberDigits || strings.Trim(label, "0123456789abcdefghijklmnopqrstuv") != "" {
				t.Errorf("label %q of %s", label, zone)
			}
			seen[label] = true
			if i%3 < 2 {
				want = append(want, label+".zones."+catalog+". PTR "+zone)
			}
			if i%3 == 1 {
				want = append(want, "group."+label+".zones."+catalog+". TXT gold")
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has\n%s\nwant\n%s", catalog, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestReportsAreAnsweredInTheZoneOfTheAgent moves the agent of error reports around (RFC 9567).
func TestReportsAreAnsweredInTheZoneOfTheAgent(t *testing.T) {
	for agent, zone := range map[string]string{
		"agent.example.com":       "example.com.",
		"example.com":             "example.com.",
		"agent.child.example.com": "child.example.com.",
		"a.b.c.example.com":       "example.com.",
		"agent.example.net":       "",
		"com":                     "",
	} {
		data, report := parsed(t, "server: {report_agent: "+agent+"}\nzones:\n  example.com:\n"+memberZone+"  child.example.com:\n"+memberZone)
		if data == nil {
			_, err := report.Join()
			t.Fatal(err)
		}
		node := data.Reports(dnsname.Name(agent + "."))
		if (node != 0) != (zone != "") {
			t.Errorf("%s: node %d, want one of %q", agent, node, zone)
			continue
		}
		if node == 0 {
			continue
		}
		if at, _ := data.ApexOf(dnsname.Name(zone).Wire()); data.ZoneOf(node) != at || data.NodeName(node).String() != "*._er."+agent+"." {
			t.Errorf("%s: %s of zone %d, want zone %d", agent, data.NodeName(node), data.ZoneOf(node), at)
		}
		if data.Reports("") != 0 || data.Reports("other.example.com.") != 0 {
			t.Errorf("%s: another agent has reports", agent)
		}
	}
}
