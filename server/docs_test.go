package server

import (
	"os"
	"strings"
	"testing"

	"meridian/config"
)

// TestManualExampleLoads loads the YAML of docs/reference/server.md.
func TestManualExampleLoads(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/reference/server.md has no example")
	}
	if _, _, err := config.Parse("docs/reference/server.md", []byte(example)); err != nil {
		t.Error(err)
	}
}
