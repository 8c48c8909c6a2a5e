package pools

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"meridian/config"
	"meridian/geo"
)

// Every example of the manual's page compiles and answers, without a warning.
func TestTheExamplesOfTheManualAnswer(t *testing.T) {
	page, err := os.ReadFile("../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // for what an example names
	tables := regexp.MustCompile("(?s)```\n(client,region.*?)```").FindSubmatch(page)
	if err := os.WriteFile("latency.csv", tables[1], 0o600); err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	expect(t, "examples", len(examples), 10)
	for _, example := range examples {
		cfg, warnings, err := config.Parse("policies.md", example[1])
		if err != nil || len(warnings) > 0 {
			t.Fatalf("warnings %v, error %v in\n%s", warnings, err, example[1])
		}
		where, err := geo.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		s := tree.Scratch()
		tree.Decide(ask(t, tree, "web", IPv4, "8.8.8.8"), s)
		want := 1
		if cfg.Pools[0].Answers == 0 {
			want = len(cfg.Pools[0].Members)
		}
		expect(t, string(cfg.Pools[0].Policy)+" gives addresses", len(s.Addrs), want)
		_ = where.Close()
	}
}

// Each policy has its section, with the headings that all pages of features have.
func TestEveryPolicyHasItsSection(t *testing.T) {
	page, err := os.ReadFile("../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq("\n"+string(page), "\n## ") {
		name, text, _ := strings.Cut(section, "\n")
		sections[name] = text
	}
	for _, policy := range []config.Policy{config.Proximity, config.Geolocation, config.Weighted, config.RoundRobin, config.Failover, config.Hash, config.Fastest, config.LatencyPolicy, config.LeastLoad, config.AllMembers} {
		last := -1
		for _, heading := range []string{"### Name", "### Description", "### Syntax", "### Example", "### Limits"} {
			at := strings.Index(sections[string(policy)], "\n"+heading+"\n")
			if at <= last {
				t.Errorf("%s: no %q where it should be", policy, heading)
			}
			last = at
		}
	}
}
