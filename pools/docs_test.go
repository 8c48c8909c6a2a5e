package pools

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"meridian/config"
	"meridian/geo"
)

// everyPage lists the policies; each has its own page in docs/reference/policies.
var everyPage = []config.Policy{
	config.Proximity, config.Geolocation, config.Weighted, config.RoundRobin, config.Failover, config.Hash,
	config.Fastest, config.LatencyPolicy, config.LeastLoad, config.AllMembers,
}

// pageOf reads the manual's page of a policy.
func pageOf(t *testing.T, policy config.Policy) string {
	page, err := os.ReadFile("../docs/reference/policies/" + string(policy) + ".md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// Every example of the manual's pages compiles and answers, without a warning.
func TestManualExamplesAnswer(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED under the race detector: it compiles the built-in geo table for each page, in one goroutine")
	}
	for _, policy := range everyPage {
		t.Run(string(policy), func(t *testing.T) {
			page := pageOf(t, policy)
			t.Chdir(t.TempDir()) // for the files that an example names
			if table := regexp.MustCompile("(?s)```\n(client,region.*?)```").FindStringSubmatch(page); table != nil {
				if err := os.WriteFile("latency.csv", []byte(table[1]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
			expect(t, "has an example", len(examples) > 0, true)
			for i, example := range examples {
				n := exampleAnswers(t, policy, example[1])
				expect(t, "answers", n > 0 && (i > 0 || n == 1 || policy == config.AllMembers), true)
			}
		})
	}
}

// exampleAnswers asks the pool of an example of a policy, and returns the number of addresses.
func exampleAnswers(t *testing.T, policy config.Policy, example string) int {
	t.Helper()
	cfg, warnings, err := config.Parse("example.yaml", []byte(example))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %v, error %v in\n%s", warnings, err, example)
	}
	where, err := geo.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer where.Close()
	tree, err := Compile(cfg, where)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "policy", cfg.Pools[0].Policy, policy)
	s := tree.Scratch()
	tree.Decide(ask(t, tree, "web", IPv4, "8.8.8.8"), s)
	return len(s.Addrs)
}

// Each policy has its page, with the headings that all pages of features have.
func TestEveryPolicyHasAPage(t *testing.T) {
	for _, policy := range everyPage {
		page := pageOf(t, policy)
		last := strings.Index(page, "# "+string(policy)+"\n")
		if last != 0 {
			t.Errorf("%s: the page does not begin with its name", policy)
		}
		for _, heading := range []string{"## Example", "## Settings", "## Details", "## Limits"} {
			at := strings.Index(page, "\n"+heading+"\n")
			if at <= last {
				t.Errorf("%s: no %q where it should be", policy, heading)
			}
			last = at
		}
	}
}
