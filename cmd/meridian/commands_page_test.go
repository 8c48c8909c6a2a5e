package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestCommandReferenceIsComplete checks that the reference has a section for every command, with
// a row for each of its flags.
func TestCommandReferenceIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	written := flagRows(string(page))
	root := new(cobra.Command)
	addGroups(root)
	known := map[string][]string{}
	for _, c := range root.Commands() {
		known[c.Name()] = flagNames(c)
	}
	if got, want := slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
		t.Errorf("the page has sections %q, want %q", got, want)
	}
	for name, want := range known {
		if got := slices.Sorted(slices.Values(written[name])); !slices.Equal(got, want) {
			t.Errorf("%s: the page has flags %q, the command has %q", name, got, want)
		}
	}
}

// flagRows returns the flags of the table in each section of the page.
func flagRows(page string) map[string][]string {
	found := map[string][]string{}
	row := regexp.MustCompile("^\\| `--([a-z-]+)` \\|")
	section := ""
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(title)
			found[section] = nil
		}
		if match := row.FindStringSubmatch(line); match != nil {
			found[section] = append(found[section], match[1])
		}
	}
	return found
}

// flagNames returns the names of a command's flags and of those of its subcommands.
func flagNames(c *cobra.Command) []string {
	names := map[string]bool{}
	note := func(f *pflag.Flag) { names[f.Name] = f.Name != "help" && !f.Hidden }
	for _, each := range append([]*cobra.Command{c}, c.Commands()...) {
		each.Flags().VisitAll(note)
		each.PersistentFlags().VisitAll(note)
	}
	maps.DeleteFunc(names, func(_ string, shown bool) bool { return !shown })
	return slices.Sorted(maps.Keys(names))
}
