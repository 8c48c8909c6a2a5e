package pools

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/health"
)

// world parses a configuration in a short form, one item a line, with the
// real defaults:
//
//	region NAME LAT LON [BIAS] [ADDRESS...]
//	net PREFIX REGION|country:CODE|continent:CODE|subdivision:CODE
//	group NAME COUNTRY...
//	pool NAME POLICY [answers=N] [min_up=N|N%] [fallback=POOL] [fail_open=WORD] [check=none]
//	    [sticky[=ttl]] [hash=BITS/BITS] [bound=PERCENT] [trickle=PERCENT] [spread] [fence] [open] [together]
//	  MEMBER [region=R] [weight=N] [pool=POOL] [target=NAME] [cname=NAME] [match=M] [disabled] [ADDRESS...]
//	    [load=CAPACITY] from its own source, [capacity=N] without one; see report
//	bind POOL
//	rtt CLIENT REGION MS [SAMPLES]
func world(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg := &config.Config{File: "world", Checks: []config.Check{{Name: "web", Type: config.HTTP}}}
	measured := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "region":
			r := config.Region{Name: words[1], Location: config.Location{Lat: number(t, words[2]), Lon: number(t, words[3])}}
			if len(words) > 4 {
				r.Bias = int(number(t, words[4]))
			}
			for _, a := range words[min(5, len(words)):] {
				r.Check, r.Addresses = "web", append(r.Addresses, netip.MustParseAddr(a))
			}
			cfg.Regions = append(cfg.Regions, r)
		case "net":
			cfg.Geo.Networks = append(cfg.Geo.Networks, worldNetwork(words[1], words[2]))
		case "group":
			cfg.Geo.Groups = append(cfg.Geo.Groups, config.CountryGroup{Name: words[1], Countries: words[2:]})
		case "rtt":
			measured += strings.Join(words[1:], ",") + "\n"
		case "pool":
			cfg.Pools = append(cfg.Pools, worldPool(t, words[1], words[2], words[3:]))
		case "bind":
			name := config.BalancedName{Name: dnsname.Name(words[1] + ".example."), Pool: words[1]}
			cfg.Zones = append(cfg.Zones, config.Zone{Name: "example.", Names: []config.BalancedName{name}})
		default:
			p := &cfg.Pools[len(cfg.Pools)-1]
			p.Members = append(p.Members, worldMember(t, cfg, words[0], p.Check, words[1:]))
		}
	}
	if len(cfg.Regions) > 0 {
		cfg.Geo.Default = cfg.Regions[0].Name
	}
	if measured != "" {
		cfg.Latency = config.Latency{File: filepath.Join(t.TempDir(), "latency.csv"), Samples: 10, Tolerance: 5 * time.Millisecond}
		if err := os.WriteFile(cfg.Latency.File, []byte(measured), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func worldPool(t testing.TB, name, policy string, options []string) config.Pool {
	p := config.Pool{Name: name, Policy: config.Policy(policy), Check: "web", Answers: 1, Hash: config.Mask{IPv4: 24, IPv6: 48}, MinUp: config.MinUp{N: 1}, FailOpen: config.Remaining}
	for _, o := range options {
		switch key, value, _ := strings.Cut(o, "="); key {
		case "answers":
			p.Answers = int(number(t, value))
		case "min_up":
			n, percent := strings.CutSuffix(value, "%")
			p.MinUp = config.MinUp{N: int(number(t, n)), Percent: percent}
		case "fallback":
			p.Fallback = value
		case "fail_open":
			p.FailOpen = config.FailOpen(value)
		case "check":
			p.Check = ""
		case "sticky":
			p.Sticky, p.StickyTTL = true, value == "ttl"
		case "hash":
			v4, v6, _ := strings.Cut(value, "/")
			p.Hash = config.Mask{IPv4: int(number(t, v4)), IPv6: int(number(t, v6))}
		case "bound":
			p.Bound = int(number(t, value))
		case "trickle":
			p.Trickle = int(number(t, value))
		case "together":
			p.DualStack = config.Together
		case "spread":
			p.SpreadRegion = true
		case "fence":
			p.OnDown = config.Fence
		case "open":
			p.OnDown = config.Open
		default:
			t.Fatalf("pool %s: unknown option %q", name, o)
		}
	}
	return p
}

func worldMember(t testing.TB, cfg *config.Config, name, check string, options []string) config.Member {
	m := config.Member{Name: name, Weight: 1, Enabled: true, Check: check}
	for _, o := range options {
		switch key, value, _ := strings.Cut(o, "="); key {
		case "region":
			m.Region = value
		case "weight":
			m.Weight = int(number(t, value))
		case "pool":
			m.Pool = value
		case "target":
			m.Target = config.Target(value)
		case "match":
			m.Match = worldMatch(t, value)
		case "cname":
			m.CName, m.Check = dnsname.Name(value), ""
		case "disabled":
			m.Enabled = false
		case "load":
			m.Load = worldLoad(cfg, int(number(t, value)))
		case "capacity":
			m.Load = &config.LoadOf{Capacity: int(number(t, value))}
		default:
			m.Addresses = append(m.Addresses, netip.MustParseAddr(o))
		}
	}
	return m
}

// worldLoad returns a load with its own source.
func worldLoad(cfg *config.Config, capacity int) *config.LoadOf {
	source := fmt.Sprintf("load%d", len(cfg.Loads))
	cfg.Loads = append(cfg.Loads, config.LoadSource{Name: source, Type: config.Nginx, URL: "http://192.0.2.250/" + source})
	return &config.LoadOf{Load: source, Capacity: capacity}
}

func worldNetwork(prefix, place string) config.Network {
	n := config.Network{Prefix: netip.MustParsePrefix(prefix)}
	switch what, code, _ := strings.Cut(place, ":"); what {
	case "country":
		n.Country = code
	case "continent":
		n.Continent = code
	case "subdivision":
		n.Subdivision = code
	default:
		n.Region = place
	}
	return n
}

// worldMatch parses default, or terms such as country:DE,network:10.0.0.0/8.
func worldMatch(t testing.TB, text string) *config.Match {
	m := &config.Match{}
	for _, term := range strings.Split(text, ",") {
		switch what, value, _ := strings.Cut(term, ":"); what {
		case "default":
			m.Default = true
		case "network":
			m.Networks = append(m.Networks, netip.MustParsePrefix(value))
		case "subdivision":
			m.Subdivisions = append(m.Subdivisions, value)
		case "country":
			m.Countries = append(m.Countries, value)
		case "group":
			m.Groups = append(m.Groups, value)
		case "continent":
			m.Continents = append(m.Continents, value)
		default:
			t.Fatalf("unknown term %q", term)
		}
	}
	return m
}

func number(t testing.TB, s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// compile compiles a world, with the small database behind its networks.
func compile(t testing.TB, cfg *config.Config) *Tree {
	t.Helper()
	tree, err := Compile(cfg, openSmall(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// setVerdicts sets the health state of members, as POOL/MEMBER or POOL for all its endpoints.
func setVerdicts(t testing.TB, tree *Tree, to health.Verdict, members ...string) []Change {
	t.Helper()
	return tree.Apply(transitionsTo(t, tree, to, members...))
}

// transitionsTo returns the changes that setVerdicts passes to Apply.
func transitionsTo(t testing.TB, tree *Tree, to health.Verdict, members ...string) []health.Transition {
	t.Helper()
	var turns []health.Transition
	for _, name := range members {
		pool, member, one := strings.Cut(name, "/")
		for _, p := range tree.cfg.Pools {
			for _, m := range p.Members {
				if p.Name != pool || one && m.Name != member || m.Pool != "" {
					continue
				}
				more, err := tree.SimulateVerdict(pool, m.Name, to)
				if err != nil {
					t.Fatal(err)
				}
				turns = append(turns, more...)
			}
		}
	}
	return turns
}

// ask asks a pool with its own number of answers.
func ask(t testing.TB, tree *Tree, pool string, f Family, client string) Request {
	t.Helper()
	for id, p := range tree.cfg.Pools {
		if p.Name == pool {
			return Request{Pool: ID(id), Family: f, Answers: p.Answers, Client: netip.MustParseAddr(client)}
		}
	}
	t.Fatalf("no pool %q", pool)
	return Request{}
}

// shares asks n times, with n draws, and returns in how many of the answers each
// address was; "" counts the empty answers.
func shares(tree *Tree, q Request, n int) map[string]int {
	s := tree.Scratch()
	got := map[string]int{}
	for i := range n {
		q.Draw = uint64(i)
		tree.Decide(q, s)
		if len(s.Addrs) == 0 {
			got[""]++
		}
		for _, a := range s.Addrs {
			got[a.String()]++
		}
	}
	return got
}

// answers returns the distinct addresses of n draws, in order; "nodata" if
// there are none.
func answers(tree *Tree, q Request) string {
	var got []string
	for a := range shares(tree, q, 200) {
		if a == "" {
			a = "nodata"
		}
		got = append(got, a)
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

func expect(t testing.TB, what string, got, want any) {
	t.Helper()
	switch got.(type) {
	case int, bool, string: // the common case, several times faster
		if got == want {
			return
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// rounds returns how many rounds a test of random input has, by those that it has without the race
// detector. Rounds differ in their input, not in the goroutines that they run.
func rounds(n int) int {
	if raceEnabled {
		return n/8 + 1
	}
	return n
}
