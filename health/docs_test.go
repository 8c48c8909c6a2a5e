package health

import (
	"os"
	"regexp"
	"testing"

	"meridian/config"
	"meridian/health/probe"
)

// TestManualExampleCanBeProbed loads the YAML of docs/reference/checks.md as a server would.
func TestManualExampleCanBeProbed(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if example == nil {
		t.Fatal("no example in the manual")
	}
	cfg, _, err := config.Parse("health.md", example[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := probe.Verify(cfg); err != nil {
		t.Error(err)
	}
	if len(cfg.Checks) < 4 {
		t.Errorf("%d checks, want one of each type", len(cfg.Checks))
	}
}
