package zones_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/zones"
)

// load parses a configuration in its own folder, with other files beside it.
func load(t testing.TB, text string, files map[string]string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// The documentation's example can be loaded.
func TestDocumentationExample(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/zones.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```dns\n")
	if !ok {
		t.Fatal("no example")
	}
	zone, _, _ := strings.Cut(rest, "```")
	_, found := zones.Compile(load(t, "zones: {example.com: {file: z}}", map[string]string{"z": zone}))
	if warnings, err := found.Join(); err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
}

func ExampleData_Lookup() {
	cfg := &config.Config{Zones: []config.Zone{{
		Name: "example.com.", Contact: "hostmaster.example.com.", NegativeTTL: 30,
		Nameservers: []config.Nameserver{{Name: "ns1.example.net."}},
	}}}
	s, report := zones.Compile(cfg)
	if _, err := report.Join(); err != nil {
		fmt.Println(err)
		return
	}
	m := s.Lookup([]byte("\x03www\x07example\x03com\x00"), dns.TypeA)
	fmt.Println(m.Kind == zones.NXDomain)
	fmt.Println(s.Negative(m.Zone).RRs("example.com.")[0].(*dns.SOA).Minttl)
	// Output:
	// true
	// 30
}
