package config

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

const consumedCatalogs = `
tsig: {xfr: {secret_file: k}}
zones: {example.com: {file: z}, example.net: {file: z2}}
catalogs:
  a.catalog:
    primaries: [{address: 192.0.2.1}]
    max_size: 2MiB
    template: {rotate: true}
    groups:
      closed: {allow: [192.0.2.0/24], primaries: [{address: 192.0.2.9}], max_size: 3MiB}
      open: {transfer: {out: [{key: xfr}]}}
  b.catalog:
    primaries: [{address: 192.0.2.2}]
    template: {primaries: [{address: 192.0.2.3}], max_size: 4MiB}
  made.catalog: {produce: true}
`

// Zones of catalogs get the settings of the first group that the configuration has, in its order, or of the template.
func TestZonesOfCatalogsHaveTheSettingsOfTheirGroup(t *testing.T) {
	cfg := parse(t, consumedCatalogs)
	written := len(cfg.Zones)
	for name, c := range map[string]struct {
		member  MemberZone
		group   string
		primary string
		size    int
		outs    int
		limited bool
	}{
		"without a group":    {MemberZone{Zone: "m.", Catalog: "a.catalog."}, "", "192.0.2.1:53", 2 << 20, 0, false},
		"in a group":         {MemberZone{Zone: "m.", Catalog: "a.catalog.", Groups: []string{"closed"}}, "closed", "192.0.2.9:53", 3 << 20, 0, true},
		"in another":         {MemberZone{Zone: "m.", Catalog: "a.catalog.", Groups: []string{"open"}}, "open", "192.0.2.1:53", 2 << 20, 1, false},
		"in both":            {MemberZone{Zone: "m.", Catalog: "a.catalog.", Groups: []string{"open", "closed"}}, "closed", "192.0.2.9:53", 3 << 20, 0, true},
		"in an unknown one":  {MemberZone{Zone: "m.", Catalog: "a.catalog.", Groups: []string{"Closed"}}, "", "192.0.2.1:53", 2 << 20, 0, false},
		"of another catalog": {MemberZone{Zone: "m.", Catalog: "b.catalog.", Groups: []string{"closed"}}, "", "192.0.2.3:53", 4 << 20, 0, false},
	} {
		next := cfg.WithMembers([]MemberZone{c.member})
		if len(next.Zones) != written+1 || len(cfg.Zones) != written {
			t.Fatalf("%s: %d zones, and %d before", name, len(next.Zones), len(cfg.Zones))
		}
		z := &next.Zones[written]
		if z.Name != "m." || *z.Member != (Membership{Catalog: c.member.Catalog, Group: c.group}) {
			t.Errorf("%s: %s is a member by %+v", name, z.Name, z.Member)
		}
		if len(z.Primaries) != 1 || z.Primaries[0].Address != netip.MustParseAddrPort(c.primary) || z.MaxSize != c.size {
			t.Errorf("%s: from %+v, at most %d", name, z.Primaries, z.MaxSize)
		}
		if len(z.Transfer.Out) != c.outs || z.Access.Restricts() != c.limited || z.InCatalogs() || z.Path() != "zones.m" {
			t.Errorf("%s: transfer %+v, access %+v, path %s", name, z.Transfer, z.Access, z.Path())
		}
	}
}

// WithMembers depends only on the zones that are written: applied twice, the last list of members counts.
func TestMembersReplaceThoseBefore(t *testing.T) {
	cfg := parse(t, consumedCatalogs)
	if cfg.WithMembers(nil) != cfg {
		t.Error("without members the configuration is copied")
	}
	first := cfg.WithMembers([]MemberZone{{Zone: "one.", Catalog: "a.catalog."}, {Zone: "two.", Catalog: "b.catalog."}})
	second := first.WithMembers([]MemberZone{{Zone: "three.", Catalog: "a.catalog."}})
	unknown := second.WithMembers([]MemberZone{{Zone: "four.", Catalog: "made.catalog."}, {Zone: "five.", Catalog: "none."}, {Zone: "six.", Catalog: "example.com."}})
	for _, c := range []struct {
		cfg  *Config
		want string
	}{
		{cfg, ""},
		{first, "one. two."},
		{second, "three."},
		{unknown, ""}, // a catalog that is produced here, one that there is not, and a zone
		{first.WithMembers(nil), ""},
	} {
		var members []string
		for i := range c.cfg.Zones {
			if c.cfg.Zones[i].Member != nil {
				members = append(members, string(c.cfg.Zones[i].Name))
			}
		}
		if got := strings.Join(members, " "); got != c.want || len(c.cfg.WrittenZones()) != len(cfg.Zones) {
			t.Errorf("members %q, want %q; %d zones are written", got, c.want, len(c.cfg.WrittenZones()))
		}
	}
	_ = append(first.WrittenZones(), Zone{Name: "overwrites."})
	if first.Zones[len(cfg.Zones)].Name != "one." {
		t.Error("appending to the written zones overwrites a member")
	}
}

func TestPeersHavePathsOfTheConfiguration(t *testing.T) {
	cfg := parse(t, consumedCatalogs)
	var got []string
	for _, p := range cfg.WithMembers([]MemberZone{{Zone: "m.", Catalog: "a.catalog."}}).Peers() {
		got = append(got, fmt.Sprintf("%s %d %d", p.Path, len(p.Primaries), len(p.Out)))
	}
	slices.Sort(got)
	want := []string{
		"catalogs.a.catalog 1 0", "catalogs.a.catalog.groups.closed 1 0", "catalogs.a.catalog.groups.open 0 1", "catalogs.a.catalog.template 0 0",
		"catalogs.b.catalog 1 0", "catalogs.b.catalog.template 1 0", "catalogs.made.catalog 0 0", "zones.example.com 0 0", "zones.example.net 0 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("peers\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// MatchesStar agrees with a regular expression on short texts of few letters, which have all kinds of overlaps.
func TestMatchesStarAgreesWithARegularExpression(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(alphabet string) string {
		b := make([]byte, random.IntN(7))
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	matches := 0
	for range 5000 {
		pattern, name := text("ab.*"), text("ab.")
		reference := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
		got, want := MatchesStar(pattern, name), reference.MatchString(name)
		if got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
		if got {
			matches++
		}
	}
	if matches < 100 {
		t.Errorf("only %d of 5000 match: the test compares too little", matches)
	}
}

func TestUpdateRulesAllowNamesAndTypes(t *testing.T) {
	for name, c := range map[string]struct {
		rule  UpdateRule
		name  string
		typ   uint16
		allow bool
	}{
		"a name and a type":   {UpdateRule{Names: []string{"_acme-challenge"}, Types: []uint16{dns.TypeTXT}}, "_acme-challenge", dns.TypeTXT, true},
		"another type":        {UpdateRule{Names: []string{"_acme-challenge"}, Types: []uint16{dns.TypeTXT}}, "_acme-challenge", dns.TypeA, false},
		"all types":           {UpdateRule{Names: []string{"a"}}, "a", dns.TypeAAAA, true},
		"a name below":        {UpdateRule{Names: []string{"a"}}, "b.a", dns.TypeA, false},
		"the second pattern":  {UpdateRule{Names: []string{"x", "*.a"}}, "b.c.a", dns.TypeA, true},
		"the apex":            {UpdateRule{Names: []string{"@"}}, "@", dns.TypeMX, true},
		"the apex of below":   {UpdateRule{Names: []string{"*.a"}}, "@", dns.TypeMX, false},
		"no pattern":          {UpdateRule{}, "a", dns.TypeA, false},
		"a suffix of a label": {UpdateRule{Names: []string{"*.a"}}, "xa", dns.TypeA, false},
	} {
		if got := c.rule.Allows(c.name, c.typ); got != c.allow {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The setting of a name goes before that of its pool, and this before that of the server: all 18 combinations.
func TestECSIsInherited(t *testing.T) {
	const document = "server: {ecs: %v}\npools: {web: {policy: weighted%s, members: [{name: a, addresses: [192.0.2.1]}]}}\n" +
		"zones: {example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web%s}, \"*.deep\": {pool: web}}}}\n"
	key := map[ECS]string{ECSInherited: "", ECSOn: ", ecs: true", ECSOff: ", ecs: false"}
	for _, server := range []bool{true, false} {
		for pool := range key {
			for name := range key {
				cfg := parse(t, fmt.Sprintf(document, server, key[pool], key[name]))
				inherited := server
				if pool != ECSInherited {
					inherited = pool == ECSOn
				}
				want := inherited
				if name != ECSInherited {
					want = name == ECSOn
				}
				for asked, want := range map[dnsname.Name]bool{
					"www.example.com.":      want,
					"x.y.deep.example.com.": inherited, // by the wildcard
					"deep.example.com.":     server,    // its parent is not below it
					"other.example.com.":    server,
					"www.example.org.":      server,
				} {
					if got := cfg.UsesECSAt(asked); got != want {
						t.Errorf("server %v, pool%s, name%s: %s uses ECS: %v", server, key[pool], key[name], asked, got)
					}
				}
			}
		}
	}
}

// A wildcard that is nearer to the name, or the name itself, goes first, in any order of the names.
func TestECSOfTheClosestName(t *testing.T) {
	names := []string{`"*": {pool: web, ecs: true}`, `"*.a": {pool: web, ecs: false}`, `x.a: {pool: web, ecs: true}`, `"*.b.a": {pool: web, ecs: true}`}
	for range len(names) {
		names = append(names[1:], names[0])
		cfg := parse(t, "server: {ecs: false}\npools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}\n"+
			"zones: {example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {"+strings.Join(names, ", ")+"}}}\n")
		for asked, want := range map[dnsname.Name]bool{
			"q.example.com.": true, "a.example.com.": true, "q.a.example.com.": false, "x.a.example.com.": true,
			"q.b.a.example.com.": true, "b.a.example.com.": false, "example.com.": false,
		} {
			if got := cfg.UsesECSAt(asked); got != want {
				t.Errorf("%v: %s: %v", names, asked, got)
			}
		}
	}
}

// SeveralAnswers agrees with a walk over all pools below, on random trees.
func TestSeveralAnswersCountsPoolsBelow(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		cfg := &Config{}
		for i := range 2 + random.IntN(7) {
			p := Pool{Name: fmt.Sprint("p", i), Answers: 1}
			if random.IntN(6) == 0 {
				p.Answers = random.IntN(2) * 3 // all, or three
			}
			for range random.IntN(3) { // only pools before it, so that there is no cycle
				m := Member{}
				if i > 0 && random.IntN(2) == 0 {
					m.Pool = fmt.Sprint("p", random.IntN(i))
				}
				p.Members = append(p.Members, m)
			}
			if i > 0 && random.IntN(3) == 0 {
				p.Fallback = fmt.Sprint("p", random.IntN(i))
			}
			cfg.Pools = append(cfg.Pools, p)
		}
		random.Shuffle(len(cfg.Pools), func(i, j int) { cfg.Pools[i], cfg.Pools[j] = cfg.Pools[j], cfg.Pools[i] })
		var walk func(name string) bool
		walk = func(name string) bool {
			at := slices.IndexFunc(cfg.Pools, func(p Pool) bool { return p.Name == name })
			if at < 0 {
				return false
			}
			p := cfg.Pools[at]
			return p.Answers != 1 || walk(p.Fallback) || slices.ContainsFunc(p.Members, func(m Member) bool { return walk(m.Pool) })
		}
		for i, got := range cfg.SeveralAnswers() {
			if want := walk(cfg.Pools[i].Name); got != want {
				t.Fatalf("%s: %v, want %v, in %+v", cfg.Pools[i].Name, got, want, cfg.Pools)
			}
		}
	}
}

func TestFilterRulesAreComparedAndDescribed(t *testing.T) {
	rule := FilterRule{
		Name: "flood", Types: []uint16{dns.TypeANY, 65280}, Names: []dnsname.Name{"*.example.com."},
		Source: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Action: FilterDrop, Pos: Pos{Line: 1},
	}
	elsewhere := rule
	elsewhere.Pos = Pos{Line: 9}
	if !rule.Equal(&elsewhere) {
		t.Error("a rule differs by its position")
	}
	for name, change := range map[string]func(*FilterRule){
		"name":   func(f *FilterRule) { f.Name = "other" },
		"types":  func(f *FilterRule) { f.Types = f.Types[:1] },
		"names":  func(f *FilterRule) { f.Names = []dnsname.Name{"*.example.net."} },
		"source": func(f *FilterRule) { f.Source = nil },
		"action": func(f *FilterRule) { f.Action = FilterRefuse },
	} {
		other := rule
		change(&other)
		if rule.Equal(&other) || other.Equal(&rule) {
			t.Errorf("rules with another %s are equal", name)
		}
	}
	if got, want := rule.Conditions(), "queries of type ANY, TYPE65280 for *.example.com. from 192.0.2.0/24"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for want, f := range map[string]FilterRule{
		`"" is not a name of a rule`:                    {Action: FilterDrop, Types: rule.Types},
		`"a b" is not a name of a rule`:                 {Name: "a b", Action: FilterDrop, Types: rule.Types},
		`"a/b" is not a name of a rule`:                 {Name: "a/b", Action: FilterDrop, Types: rule.Types},
		`"\xff" is not a name of a rule`:                {Name: "\xff", Action: FilterDrop, Types: rule.Types},
		`unknown action "block"; known: drop, refuse, `: {Name: "a", Action: "block", Types: rule.Types},
		`unknown action ""`:                             {Name: "a", Types: rule.Types},
		"matches every query":                           {Name: "a", Action: FilterDrop},
		"101 names; at most 100":                        {Name: "a", Action: FilterDrop, Names: make([]dnsname.Name, 101)},
	} {
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	long := FilterRule{Name: strings.Repeat("x", maxFilterName), Action: FilterTruncate, Types: rule.Types}
	if err := long.Validate(); err != nil {
		t.Error(err)
	}
	if long.Name += "x"; long.Validate() == nil {
		t.Errorf("a name of %d octets is valid", len(long.Name))
	}
}

// ParseType reads what String of the DNS library writes, for all numbers.
func TestTypesAreReadAsTheyAreWritten(t *testing.T) {
	for n := range 1 << 16 {
		if n == int(dns.TypeNone) || n == int(dns.TypeReserved) {
			continue
		}
		text := dns.Type(n).String()
		for _, written := range []string{text, strings.ToLower(text), fmt.Sprint("TYPE", n)} {
			if got, err := ParseType(written); err != nil || int(got) != n {
				t.Fatalf("%s is read as %d, %v", written, got, err)
			}
		}
	}
	for _, text := range []string{"", "TYPE", "TYPE-1", "TYPE65536", "TYPE1.5", "TYPE 1", "AA", "A ", "None", "Reserved"} {
		if got, err := ParseType(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
