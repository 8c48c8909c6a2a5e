package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPlanPageExample runs the example of the page on forecasts: its
// configuration, its clients, and the exact output of its first command.
func TestPlanPageExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	example := string(page[bytes.Index(page, []byte("\n## Example\n")):])
	blocks := regexp.MustCompile("(?s)```(\\w*)\n(.*?)```").FindAllStringSubmatch(example, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks; want a configuration, clients, commands", len(blocks))
	}
	for name, text := range map[string]string{"meridian.yaml": blocks[0][2], "clients.csv": blocks[1][2]} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := strings.Split("\n"+blocks[2][2], "\n$ meridian ")[1:]
	for i, wantCode := range []int{exitOK, exitConfig} { // the second fails above 20 %
		line, want, _ := strings.Cut(commands[i], "\n")
		var stdout, stderr strings.Builder
		if code := run(t.Context(), strings.Fields(line), &stdout, &stderr); code != wantCode {
			t.Errorf("%s: exit %d, %s", line, code, &stderr)
		}
		if want != "" && strings.TrimSpace(stdout.String()) != strings.TrimSpace(want) {
			t.Errorf("%s prints\n%s\nthe page has\n%s", line, &stdout, want)
		}
	}
}
