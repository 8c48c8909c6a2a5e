package geo

import (
	"os"
	"strings"
	"testing"

	"meridian/config"
)

// The manual's example is a valid configuration, and its networks can be resolved.
func TestManualExample(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/geo.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/reference/geo.md has no example")
	}
	cfg, _, err := config.Parse("geo.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Geo.Database == "" || cfg.Geo.ASN == "" {
		t.Errorf("the example names no files: %+v", cfg.Geo)
	}
	cfg.Geo.Database, cfg.Geo.ASN = "", "" // the reader has other files
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if at := l.Locate(addrOf("198.18.0.1")); at.Country != "DE" || at.From != "networks" {
		t.Errorf("198.18.0.1 stands at %+v", at)
	}
}
