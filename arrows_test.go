package meridian_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// below is the architecture: each folder with the folders that it may import.
// cmd -> {admin} -> server -> zones -> pools -> {geo, health}; config imports none of
// them, and nothing imports cmd. Go files outside the product (tests of this folder and
// of deploy, programs of bench) may import all of it, and no package imports them.
var below = map[string][]string{
	"config":   {},
	"geo":      {"config"},
	"health":   {"config"},
	"resolver": {"config"},
	"load":     {"config"},
	"pools":    {"config", "geo", "health"},
	"zones":    {"config", "geo", "health", "load", "pools"},
	"server":   {"config", "geo", "health", "load", "resolver", "pools", "zones"},
	"admin":    {"config", "pools", "zones", "server"},
	"plan":     {"config", "geo", "pools", "zones"},
	"cmd":      {"config", "geo", "health", "resolver", "pools", "zones", "server", "admin", "plan"},

	".":      {"config", "geo", "health", "resolver", "pools", "zones", "server", "admin"},
	"bench":  {"config", "geo", "health", "resolver", "pools", "zones", "server"},
	"docs":   {},
	"deploy": {"config", "geo", "health", "resolver", "pools", "zones", "server"},
}

// noNoun holds folder names that describe a kind of code instead of a thing the operator knows.
var noNoun = []string{"internal", "util", "utils", "common", "helper", "helpers", "types", "models", "pkg", "misc", "shared"}

func TestImportsPointDown(t *testing.T) {
	for file, imports := range importsOfEveryFile(t) {
		from := folder(path.Dir(file))
		for _, imported := range imports {
			dir, ours := strings.CutPrefix(imported, "meridian/")
			to := folder(dir)
			if ours && to != from && !slices.Contains(below[from], to) {
				t.Errorf("%s imports %s; %s may import only %q", file, imported, from, below[from])
			}
		}
	}
}

func TestFoldersAreThoseOfTheArchitecture(t *testing.T) {
	for file := range importsOfEveryFile(t) {
		dir := path.Dir(file)
		if _, known := below[folder(dir)]; !known {
			t.Errorf("%s is in no folder of the architecture; want one of the table in this test, or a reason and a new row", file)
		}
		for part := range strings.SplitSeq(dir, "/") {
			if slices.Contains(noNoun, part) {
				t.Errorf("%s: folder %q names a kind of code; want the thing it is about", file, part)
			}
		}
	}
}

// folder returns the first part of a slash-separated path, a row of the architecture.
func folder(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// importsOfEveryFile maps each Go file of the module, tests included and for
// every operating system, to its imports.
func importsOfEveryFile(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := file != "." && strings.HasPrefix(d.Name(), ".")
			if hidden || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		imports := []string{}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, name)
		}
		found[filepath.ToSlash(file)] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < len(below) {
		t.Fatalf("found %d Go files, fewer than folders: the walk is broken", len(found))
	}
	return found
}
