package plan_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/config"
	"meridian/dnsname"
	"meridian/plan"
	"meridian/pools"
	"meridian/snapshot"
)

// world is a configuration template; tests fill in the parts that they change.
const world = `
regions:
  us: {location: [39.04, -77.49]}
  eu: {location: [53.35, -6.26]%s}
  ap: {location: [19.08, 72.88]}
geo:
  default: us
  networks:
    198.51.100.0/24: {country: US}
    203.0.113.0/24: {country: IE}
    192.0.2.0/24: {country: IN}
    2001:db8::/48: {country: IE}
loads:
  l: {type: json, url: "http://127.0.0.1:1/", load: active}
pools:
%s
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names:
%s
`

const near = `  web:
    policy: proximity
    members:
      - {name: u, region: us, addresses: [10.0.0.1, "fd00::1"]}
      - {name: e, region: eu, addresses: [10.0.0.2, "fd00::2"]}
      - {name: a, region: ap, addresses: [10.0.0.3, "fd00::3"]}
`

func build(t testing.TB, text string) *snapshot.Snapshot {
	t.Helper()
	cfg, _, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func serving(t *testing.T, bias, poolsText string, names ...string) *snapshot.Snapshot {
	t.Helper()
	if len(names) == 0 {
		names = []string{"www: {pool: web}"}
	}
	return build(t, fmt.Sprintf(world, bias, poolsText, "      "+strings.Join(names, "\n      ")))
}

func clients(t *testing.T, s *snapshot.Snapshot, lines ...string) plan.Clients {
	t.Helper()
	list, err := plan.ReadList(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return plan.FromList(list, s.Geo)
}

func compareParts(t *testing.T, before, after *snapshot.Snapshot, lines ...string) *plan.Forecast {
	t.Helper()
	f, err := plan.Compare(before, after, clients(t, after, lines...))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func close(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestNothingMovesWithoutAChange(t *testing.T) {
	s := serving(t, "", near)
	f := compareParts(t, s, s, "198.51.100.0/24 3", "203.0.113.0/24 1")
	if f.Moved != 0 || len(f.Flows) != 0 || len(f.Members) != 0 || len(f.Worst) != 0 {
		t.Errorf("forecast of no change is %+v", f)
	}
	if got := f.Regions; len(got) != 3 || !close(got[0].Share.Before, 0.75) || !close(got[1].Share.After, 0.25) {
		t.Errorf("shares of regions are %+v; want 3/4 to us and 1/4 to eu", got)
	}
}

func TestAnOutageMovesItsClientsToTheNextRegion(t *testing.T) {
	before, after := serving(t, "", near), serving(t, "", near)
	after.Pools.SetOverrides([]pools.Override{{Region: "eu", Kind: pools.AssumedDown}})
	f := compareParts(t, before, after, "198.51.100.0/24,2", "203.0.113.0/24,1", "192.0.2.0/24,1")
	if !close(f.Moved, 0.25) {
		t.Errorf("%v of the traffic moves; want 0.25", f.Moved)
	}
	if len(f.Flows) != 1 || f.Flows[0] != (plan.Flow{From: "eu", To: "us", Share: 0.25}) {
		t.Errorf("flows are %+v; want 0.25 from eu to us", f.Flows)
	}
	if len(f.Worst) != 1 || f.Worst[0].Name != "IE" || f.Worst[0].Km.After <= f.Worst[0].Km.Before {
		t.Errorf("sent farther is %+v; want IE alone", f.Worst)
	}
	if got := f.Countries[0]; got.Name != "IE" || !close(got.Share, 0.25) || !close(got.Moved, 0.25) || got.From != "eu" || got.To != "us" {
		t.Errorf("the most moved country is %+v; want IE", got)
	}
}

func TestLostAnswersMoveToNoAnswer(t *testing.T) {
	closed := strings.Replace(near, "policy: proximity", "policy: proximity\n    fail_open: never", 1)
	before, after := serving(t, "", closed), serving(t, "", closed)
	after.Pools.SetOverrides([]pools.Override{{Pool: "web", Kind: pools.AssumedDown}})
	f := compareParts(t, before, after, "198.51.100.0/24")
	if !close(f.Moved, 1) || len(f.Flows) != 1 || f.Flows[0].To != "(no answer)" {
		t.Errorf("moved %v by %+v; want all of it to nobody", f.Moved, f.Flows)
	}
}

func TestWeightsMoveTheirDifference(t *testing.T) {
	pool := func(weight int) string {
		return fmt.Sprintf("  web:\n    policy: weighted\n    members:\n      - {name: a, addresses: [10.0.0.1], weight: %d}\n      - {name: b, addresses: [10.0.0.2], weight: 3}\n", weight)
	}
	f := compareParts(t, serving(t, "", pool(1)), serving(t, "", pool(3)), "198.51.100.0/24")
	if !close(f.Moved, 0.25) { // 1/4 : 3/4 becomes 1/2 : 1/2
		t.Errorf("%v of the traffic moves; want 0.25", f.Moved)
	}
	if len(f.Members) != 2 || !close(f.Members[0].Share.Before, 0.25) || !close(f.Members[0].Share.After, 0.5) {
		t.Errorf("shares of members are %+v; want a from 1/4 to 1/2", f.Members)
	}
}

func TestCNamesAreDestinations(t *testing.T) {
	pool := func(first string) string {
		return "  web:\n    policy: failover\n    members:\n      - {name: a, cname: " + first + ".example.net}\n      - {name: b, cname: b.example.net}\n"
	}
	before := serving(t, "", pool("a"))
	if f := compareParts(t, before, before, "198.51.100.0/24"); f.Moved != 0 {
		t.Errorf("without a change %v moves", f.Moved)
	}
	if f := compareParts(t, before, serving(t, "", pool("b")), "198.51.100.0/24"); !close(f.Moved, 1) || f.Flows[0].To == "(no answer)" {
		t.Errorf("%v moves by %+v; want all, to another name", f.Moved, f.Flows)
	}
}

func TestOverloadsAreReported(t *testing.T) {
	limited := strings.NewReplacer("addresses: [10.0.0.1", "load: l, capacity: 100, addresses: [10.0.0.1", "addresses: [10.0.0.3", "load: l, capacity: 10, addresses: [10.0.0.3").Replace(near)
	before, after := serving(t, "", limited), serving(t, "", limited)
	after.Pools.SetOverrides([]pools.Override{{Region: "eu", Kind: pools.AssumedDown}})
	f := compareParts(t, before, after, "198.51.100.0/24,3", "203.0.113.0/24,1")
	f.FindBreaches(after.Config, 120)
	if len(f.Breaches) != 1 || f.Breaches[0] != (plan.Overload{Name: "web/u", Load: plan.Change{Before: 90, After: 120}, Capacity: 100}) {
		t.Errorf("breaches are %+v; want web/u alone, 120 of 100", f.Breaches)
	}
}

// TestNestedPoolHasCapacity checks that the load of a member that is a pool is the
// load of all its members; for x, which is nested twice, only the part through that member.
func TestNestedPoolHasCapacity(t *testing.T) {
	nested := func(weight int) string {
		return fmt.Sprintf("  web:\n    policy: weighted\n    members:\n      - {name: u, pool: x, load: l, capacity: 10, weight: %d}\n      - {name: v, pool: x, load: l, capacity: 10}\n", weight) +
			"  x:\n    policy: weighted\n    members:\n      - {name: a, addresses: [10.0.0.1]}\n      - {name: b, addresses: [10.0.0.2]}\n"
	}
	before, after := serving(t, "", nested(1)), serving(t, "", nested(3))
	f := compareParts(t, before, after, "198.51.100.0/24")
	f.FindBreaches(after.Config, 20)
	if len(f.Breaches) != 1 || f.Breaches[0] != (plan.Overload{Name: "web/u", Load: plan.Change{Before: 10, After: 15}, Capacity: 10}) {
		t.Errorf("breaches are %+v; want web/u alone, 15 of 10", f.Breaches)
	}
}

func TestAddedAndRemovedNamesAreCounted(t *testing.T) {
	before := serving(t, "", near, "www: {pool: web}", "old: {pool: web}")
	after := serving(t, "", near, "www: {pool: web}", "new: {pool: web}", "newer: {pool: web}")
	f := compareParts(t, before, after, "198.51.100.0/24")
	if f.Names != 1 || f.Removed != 1 || f.Added != 2 {
		t.Errorf("%d names on both sides, %d gone, %d new; want 1, 1, 2", f.Names, f.Removed, f.Added)
	}
}

func TestOnlyTheNamesAskedForCount(t *testing.T) {
	other := near + "  far:\n    policy: failover\n    members:\n      - {name: f, addresses: [10.0.0.9]}\n      - {name: g, addresses: [10.0.0.8]}\n"
	before := serving(t, "", other, "www: {pool: web}", "far: {pool: far}")
	after := serving(t, "", other, "www: {pool: web}", "far: {pool: far}")
	after.Pools.SetOverrides([]pools.Override{{Pool: "far", Member: "f", Kind: pools.AssumedDown}})
	for name, want := range map[dnsname.Name]float64{"www.example.com.": 0, "far.example.com.": 1} {
		f, err := plan.Compare(before, after, clients(t, after, "198.51.100.0/24"), name)
		if err != nil || !close(f.Moved, want) {
			t.Errorf("of %s %v moves, error %v; want %v", name, f.Moved, err, want)
		}
	}
	if _, err := plan.Compare(before, after, clients(t, after, "198.51.100.0/24"), "nowhere.example.com."); err == nil {
		t.Error("a name of nobody's has a forecast")
	}
}

func TestIPv6ClientsAskForAAAA(t *testing.T) {
	s := serving(t, "", near)
	gone := serving(t, "", strings.Replace(near, `10.0.0.2, "fd00::2"`, `10.0.0.2`, 1))
	if f := compareParts(t, s, gone, "2001:db8::/48"); !close(f.Moved, 1) {
		t.Errorf("%v of what asks for AAAA moves; want all", f.Moved)
	}
	if f := compareParts(t, s, gone, "203.0.113.0/24"); f.Moved != 0 {
		t.Errorf("%v of what asks for A moves; want none", f.Moved)
	}
}

// TestForecastAgreesWithEachClientByItself compares the sums of classes with those of single
// clients.
func TestForecastAgreesWithEachClientByItself(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		before := serving(t, "", near)
		after := serving(t, fmt.Sprintf(", bias: %d", rnd.IntN(150)-75), near)
		if rnd.IntN(2) == 0 {
			after.Pools.SetOverrides([]pools.Override{{Region: []string{"us", "eu", "ap"}[rnd.IntN(3)], Kind: pools.AssumedDown}})
		}
		var lines []string
		all, moved := 0.0, 0.0
		for range 60 {
			network := fmt.Sprintf("%d.%d.%d.0/24", 1+rnd.IntN(200), rnd.IntN(256), rnd.IntN(256))
			count := float64(rnd.IntN(9))
			lines = append(lines, fmt.Sprintf("%s %g", network, count))
			all += count
			q := pools.Request{Family: pools.IPv4, Answers: 1, Client: netip.MustParsePrefix(network).Addr()}
			if one(before, q) != one(after, q) {
				moved += count
			}
		}
		if f := compareParts(t, before, after, lines...); !close(f.Moved, moved/all) {
			t.Errorf("seed %d: %v of the traffic moves; want %v", seed, f.Moved, moved/all)
		}
	}
}

// one returns the address in a client's answer.
func one(s *snapshot.Snapshot, q pools.Request) netip.Addr {
	scratch := s.Pools.Scratch()
	s.Pools.Decide(q, scratch)
	return scratch.Addrs[0]
}

// TestDifferenceOnOneSideMoves checks that a part of a network that only one side
// distinguishes moves, for both sides.
func TestDifferenceOnOneSideMoves(t *testing.T) {
	plain := serving(t, "", near)
	split := build(t, strings.Replace(fmt.Sprintf(world, "", near, "      www: {pool: web}"), "  networks:\n", "  networks:\n    198.51.100.192/26: {country: IN}\n", 1))
	for _, sides := range [][2]*snapshot.Snapshot{{plain, split}, {split, plain}} {
		if f := compareParts(t, sides[0], sides[1], "198.51.100.0/24 3", "203.0.113.0/24 1"); !close(f.Moved, 0.75/4) {
			t.Errorf("%v moves; want a quarter of 0.75", f.Moved)
		}
	}
}

// TestForecastOfHashedClientsAgreesWithEachByItself checks that each network counts with its own
// queries if addresses decide.
func TestForecastOfHashedClientsAgreesWithEachByItself(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 3))
	hashed := "  web:\n    policy: hash\n    members:\n      - {name: a, addresses: [10.0.0.1]}\n      - {name: b, addresses: [10.0.0.2], weight: 3}\n"
	before, after := serving(t, "", hashed), serving(t, "", hashed)
	after.Pools.SetOverrides([]pools.Override{{Pool: "web", Member: "a", Kind: pools.AssumedDown}})
	var lines []string
	all, moved := 0.0, 0.0
	for i := range 100 {
		network := fmt.Sprintf("%d.%d.%d.0/24", 1+rnd.IntN(200), rnd.IntN(256), rnd.IntN(256))
		count := math.Pow(1.2, float64(i))
		lines = append(lines, fmt.Sprintf("%s %g", network, count))
		all += count
		q := pools.Request{Family: pools.IPv4, Answers: 1, Client: netip.MustParsePrefix(network).Addr()}
		if one(before, q) != one(after, q) {
			moved += count
		}
	}
	if f := compareParts(t, before, after, lines...); math.Abs(f.Moved-moved/all) > 1e-6 {
		t.Errorf("%v of the traffic moves; want %v", f.Moved, moved/all)
	}
	f, err := plan.Compare(before, after, plan.AllIPv4(after.Geo))
	if err != nil || math.Abs(f.Moved-0.25) > 0.01 {
		t.Errorf("of everybody %v moves, error %v; want a quarter", f.Moved, err)
	}
}

func TestAllIPv4CoversBuiltInTable(t *testing.T) {
	before, after := serving(t, "", near), serving(t, "", near)
	after.Pools.SetOverrides([]pools.Override{{Region: "us", Kind: pools.AssumedDown}})
	f, err := plan.Compare(before, after, plan.AllIPv4(after.Geo))
	if err != nil {
		t.Fatal(err)
	}
	if f.Clients < 10_000 || f.Moved < 0.2 || f.Moved > 0.8 {
		t.Errorf("%d networks, %v moves; want what the world has", f.Clients, f.Moved)
	}
	sum := 0.0
	for _, c := range f.Countries {
		sum += c.Share
	}
	if !close(sum, 1) {
		t.Errorf("the shares of the countries add up to %v", sum)
	}
}

func TestListsOfClients(t *testing.T) {
	tests := []struct{ behaviour, text, want string }{
		{"network, comma, count", "198.51.100.0/24,12", "[{198.51.100.0/24 12}]"},
		{"what uniq -c writes", "     12 198.51.100.7\n", "[{198.51.100.7/32 12}]"},
		{"a network alone", "2001:db8::/48", "[{2001:db8::/48 1}]"},
		{"a heading, a comment, empty lines", "network,queries\n\n# mine\n10.0.0.0/8\t2.5\n", "[{10.0.0.0/8 2.5}]"},
		{"host bits are masked", "10.1.2.3/8 1", "[{10.0.0.0/8 1}]"},
		{"a byte order mark", "\ufeff10.0.0.0/8,1\n", "[{10.0.0.0/8 1}]"},
		{"no network", "a,b\nb,12", `line 2: "b,12" has no network; want a line such as 198.51.100.0/24,1200`},
		{"no count", "10.0.0.0/8,many", `line 1: "many" is not a count of queries; want a number from 0 to 1e+15`},
		{"a negative count", "10.0.0.0/8,-1", `line 1: "-1" is not a count of queries; want a number from 0 to 1e+15`},
		{"too many fields", "10.0.0.0/8,1,2", `line 1: 3 fields, want a network and a count of queries`},
		{"nothing", "# nobody\n", `no networks; want lines such as 198.51.100.0/24,1200`},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			list, err := plan.ReadList(strings.NewReader(test.text))
			got := fmt.Sprint(list)
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%q is %s; want %s", test.text, got, test.want)
			}
		})
	}
}

func FuzzReadList(f *testing.F) {
	for _, seed := range []string{"198.51.100.0/24,12", "12 198.51.100.7", "a;b", "::1 NaN", "10.0.0.0/8 1e400"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := plan.ReadList(strings.NewReader(text))
		if err == nil && len(list) == 0 {
			t.Error("neither networks nor an error")
		}
		for _, c := range list {
			if !c.Network.IsValid() || c.Network != c.Network.Masked() || !(c.Queries >= 0) {
				t.Errorf("read %+v", c)
			}
		}
	})
}

func TestTextAndPageAndJSONSayTheSame(t *testing.T) {
	before, after := serving(t, "", near), serving(t, "", near)
	after.Pools.SetOverrides([]pools.Override{{Region: "eu", Kind: pools.AssumedDown}})
	f := compareParts(t, before, after, "198.51.100.0/24,3", "203.0.113.0/24,1")
	var text, page strings.Builder
	if err := f.Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := f.Page(&page, "<eu> down", after.Config.Regions); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string][]string{
		text.String(): {"25.0 % of the traffic moves: 1 name, 2 client networks", "FROM  TO   MOVES\neu    us  25.0 %", "IE       eu    us   25.0 %  25.0 %"},
		page.String(): {"25.0 % of the traffic moves", "&lt;eu&gt; down", "<title>25.0 % from eu to us</title>", "IE: 100.0 % of its traffic moves", "us: 75.0 %, then 100.0 %"},
		string(data):  {`"moved":0.25`, `"flows":[{"from":"eu","to":"us","share":0.25}]`},
	} {
		for _, w := range want {
			if !strings.Contains(where, w) {
				t.Errorf("no %q in\n%.2000s", w, where)
			}
		}
	}
	if strings.Contains(page.String(), "http") || strings.Contains(page.String(), "<script") {
		t.Error("the page asks for something from elsewhere, or runs a script")
	}
}
