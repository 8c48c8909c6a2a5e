package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"meridian/counterpart"
)

// TestManPagesHaveNoWarnings formats every page with groff, which warns of unknown macros and bad escapes.
func TestManPagesHaveNoWarnings(t *testing.T) {
	groff := counterpart.Find(t, "groff")
	folder := t.TempDir()
	said(t, exitOK, "man", "-o", folder)
	pages, err := filepath.Glob(filepath.Join(folder, "*.1"))
	if err != nil || len(pages) < 15 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	out, err := exec.Command(groff, append([]string{"-man", "-ww", "-z", "-Tutf8", "-Kutf8"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

// TestManPagesHaveEveryFlag checks that the page of each command has its flags and its exit codes.
func TestManPagesHaveEveryFlag(t *testing.T) {
	root := &cobra.Command{Use: "meridian", Run: func(*cobra.Command, []string) {}}
	addGroups(root)
	for _, c := range documented(root) {
		page := manPage(c)
		for _, name := range flagNames(c) {
			if !c.HasSubCommands() && !strings.Contains(page, `\-\-`+strings.ReplaceAll(name, "-", `\-`)) {
				t.Errorf("the page of %s lacks --%s", c.CommandPath(), name)
			}
		}
		if !strings.Contains(page, ".SH EXIT STATUS") && !c.HasParent() {
			t.Errorf("the page of %s has no exit codes", c.CommandPath())
		}
	}
}

// TestRoffEscapesRequests checks that no text becomes a request of roff.
func TestRoffEscapesRequests(t *testing.T) {
	p := new(roff)
	p.text(".so /etc/passwd\n'br\n\\fBbold\\fP ~/x ^ `y`")
	want := "\\&.so /etc/passwd\n\\(aqbr\n\\efBbold\\efP \\(ti/x \\(ha \\(gay\\(ga\n"
	if p.String() != want {
		t.Errorf("got %q, want %q", p.String(), want)
	}
}
