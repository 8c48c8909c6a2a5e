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

// below is the architecture: each package with the packages that it may import.
// cmd -> {daemon, admin, telemetry} -> control -> server -> server/answer -> snapshot -> zones -> pools -> {geo, health} ->
// config -> dnsname; nothing imports cmd. Of admin and telemetry, only tests import daemon. Go files outside the product
// (tests of this folder and of deploy, programs of bench) may import all of it, and no package imports them. docs/architecture.md shows the same.
var below = map[string][]string{
	"counterpart":               {},
	"certs":                     {"certs/certstest", "errtext"},
	"certs/certstest":           {},
	"dnsclient":                 {},
	"errtext":                   {},
	"polling":                   {},
	"dnsname":                   {},
	"handover":                  {},
	"dnssec":                    {"dnsname"},
	"dnssec/keys":               {"config", "dnsclient", "dnsname", "dnssec", "errtext"},
	"config/internal/yamldoc":   {"errtext"},
	"config":                    {"config/internal/yamldoc", "dnsname", "errtext"},
	"geo":                       {"config", "errtext"},
	"health":                    {"config", "errtext", "health/probe"},
	"cluster/agreement":         {"config", "health"},
	"cluster/observation":       {"health"},
	"cluster/etcd":              {"cluster", "cluster/observation", "cluster/rollout", "counterpart"},
	"cluster/rollout":           {},
	"cluster/inputs":            {},
	"cluster/etcdserver":        {"counterpart"},
	"cluster/direct":            {"cluster/observation", "counterpart", "handover"},
	"cluster":                   {"cluster/agreement", "cluster/observation", "config", "health"},
	"health/probe":              {"certs", "config", "counterpart", "dnsclient", "dnsname"},
	"discovery":                 {"config", "dnsclient", "polling"},
	"loads":                     {"certs", "config", "counterpart", "errtext", "polling"},
	"pools/internal/bitset":     {},
	"pools/internal/rendezvous": {},
	"pools":                     {"config", "dnsname", "geo", "health", "pools/internal/bitset", "pools/internal/rendezvous"},
	"zones":                     {"config", "counterpart", "dnsname", "errtext", "pools"},
	"transfer/tsig":             {"dnsname", "errtext"},
	"transfer/journal":          {"dnsname"},
	"transfer":                  {"config", "geo", "health", "pools", "transfer/journal", "transfer/tsig", "zones", "dnsname", "dnssec"},
	"transfer/secondary":        {"counterpart", "dnsname", "errtext", "transfer/tsig", "zones"},
	"transfer/catalog":          {"config", "dnsname", "transfer/secondary", "zones"},
	"snapshot":                  {"transfer", "transfer/catalog", "transfer/secondary", "certs", "config", "dnsname", "dnssec", "dnssec/keys", "errtext", "geo", "health/probe", "loads", "pools", "server/limit", "zones", "transfer/tsig"},
	"server/encrypted":          {"certs", "server/answer"},
	"server/limit":              {"config", "dnsname", "errtext"},
	"server/answer/answertest":  {"config", "dnsname", "geo", "snapshot", "zones"},
	"server/proxy":              {},
	"server/answer":             {"server/proxy", "config", "dnsname", "dnssec", "geo", "health", "pools", "server/answer/answertest", "server/limit", "snapshot", "transfer/tsig", "zones", "transfer", "transfer/journal"},
	"server/xdp":                {},
	"server":                    {"server/proxy", "certs", "certs/certstest", "config", "counterpart", "dnsname", "handover", "health", "pools", "server/answer", "server/answer/answertest", "server/encrypted", "server/limit", "server/xdp", "snapshot"},
	"admin/dashboard":           {},
	"admin/dashboard/build":     {"plan"},
	"control/event":             {},
	"control/generations":       {},
	"control/resolvers":         {"pools", "server/answer"},
	"control/top":               {"config", "dnsname", "server/answer", "server/limit"},
	"control/maintenance":       {"config"},
	"control/event/notify":      {"control/event", "counterpart"},
	"control":                   {"cluster", "cluster/inputs", "cluster/rollout", "config", "dnssec", "control/maintenance", "control/event", "control/event/notify", "control/state", "discovery", "dnsname", "geo", "health", "health/probe", "loads", "plan", "pools", "server", "server/answer", "server/answer/answertest", "server/limit", "snapshot", "control/generations", "control/resolvers", "transfer", "transfer/catalog", "transfer/secondary", "control/top"},
	"daemon":                    {"certs", "certs/certstest", "cluster", "cluster/inputs", "cluster/rollout", "cluster/etcd", "cluster/direct", "cluster/observation", "admin/listener", "config", "control", "control/event", "control/event/notify", "control/state", "counterpart", "discovery", "dnsname", "errtext", "geo", "health", "health/probe", "loads", "pools", "server", "server/answer", "server/answer/answertest", "snapshot", "control/generations", "handover", "server/limit", "transfer/journal", "transfer/tsig", "transfer", "transfer/catalog", "zones", "transfer/secondary"},
	"admin":                     {"admin/dashboard", "certs", "config", "control", "cluster/rollout", "control/event", "control/top", "counterpart", "daemon", "errtext", "health/probe", "plan", "pools", "snapshot", "control/generations", "dnsname", "transfer/secondary"},
	"plan":                      {"config", "dnsname", "geo", "pools", "snapshot", "zones"},
	"cmd/meridian":              {"cluster", "cluster/etcdserver", "cluster/rollout", "cluster/observation", "admin", "admin/listener", "certs", "certs/certstest", "config", "control", "control/event", "control/resolvers", "control/state", "counterpart", "daemon", "discovery", "dnsname", "dnssec", "dnssec/keys", "errtext", "geo", "health", "health/probe", "plan", "pools", "server/answer", "snapshot", "telemetry", "handover", "transfer", "transfer/catalog", "transfer/journal", "transfer/secondary", "transfer/tsig", "control/top", "zones"},
	"control/state":             {},
	"telemetry":                 {"geo", "transfer/secondary", "certs/certstest", "cluster", "cluster/inputs", "cluster/observation", "config", "control", "counterpart", "daemon", "dnssec", "health", "health/probe", "pools", "server/answer", "server/limit", "snapshot", "telemetry/dnstap"},
	"telemetry/dnstap":          {"counterpart"},
	"admin/listener":            {"certs", "config", "handover", "server"},

	".":               {"config"},
	"bench/city":      {},
	"bench/farm":      {"config"},
	"bench/flood":     {},
	"bench/forge":     {"counterpart"},
	"bench/gen":       {"config", "counterpart"},
	"bench/growth":    {"config"},
	"bench/nodes":     {"cluster", "cluster/etcd", "cluster/observation", "config", "health"},
	"bench/quicload":  {},
	"bench/stall":     {},
	"bench/table":     {},
	"bench/verify":    {},
	"deploy":          {"cluster/etcdserver", "config", "counterpart", "snapshot"},
	"deploy/packages": {},
	"docs/picture":    {},
	"geo/builtin/gen": {},
	"plan/world/gen":  {},
}

// testOnly holds the packages that only tests import.
var testOnly = []string{"certs/certstest", "counterpart", "server/answer/answertest"}

// noNoun holds folder names that describe a kind of code instead of a thing the operator knows.
var noNoun = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "pkg", "misc", "shared"}

func TestImportsPointDown(t *testing.T) {
	for file, imports := range importsOfEveryFile(t) {
		from := path.Dir(file)
		for _, imported := range imports {
			to, ours := strings.CutPrefix(imported, "meridian/")
			if ours && to != from && !slices.Contains(below[from], to) {
				t.Errorf("%s imports %s; %s may import only %q", file, imported, from, below[from])
			}
		}
	}
}

func TestOnlyTestsImportTestPackages(t *testing.T) {
	for file, imports := range importsOfEveryFile(t) {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(testOnly, path.Dir(file)) {
			continue
		}
		for _, dir := range testOnly {
			if slices.Contains(imports, "meridian/"+dir) {
				t.Errorf("%s imports %s, which only tests may import", file, dir)
			}
		}
	}
}

func TestPackagesAreThoseOfTheArchitecture(t *testing.T) {
	packages := map[string]bool{}
	for file := range importsOfEveryFile(t) {
		packages[path.Dir(file)] = true
	}
	for dir := range packages {
		if _, known := below[dir]; !known {
			t.Errorf("package %s is not in the architecture; want one of the table in this test, or a reason and a new row", dir)
		}
		for part := range strings.SplitSeq(dir, "/") {
			if slices.Contains(noNoun, part) {
				t.Errorf("package %s: folder %q names a kind of code; want the thing it is about", dir, part)
			}
		}
		if strings.HasPrefix(dir, "internal") {
			t.Errorf("package %s: an internal folder is inside the package that it belongs to", dir)
		}
	}
	for dir := range below {
		if !packages[dir] {
			t.Errorf("the architecture has a row for %s, which has no Go files", dir)
		}
	}
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
		t.Fatalf("found %d Go files, fewer than packages: the walk is broken", len(found))
	}
	return found
}
