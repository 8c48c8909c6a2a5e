package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// everyPath is a configuration with each key that is a path. The paths begin with in/ if a copy has the file, and with
// out/ if it refers to it.
const everyPath = `
server:
  listen: ["127.0.0.1:0"]
  listen_tls: ["127.0.0.1:0"]
  cookies: {secret_file: in/cookies}
  tls: {ticket_secret_file: in/tickets, certificates: [{cert: in/tls.pem, key: in/tls.key}]}
admin:
  listen: "127.0.0.1:0"
  token_file: in/token
  tokens: [{name: ops, role: operator, file: in/ops}]
  tls: {cert: in/api.pem, key: in/api.key, client_ca: in/clients.pem}
state: out/state
geo: {database: out/city.mmdb, asn: out/asn.mmdb}
latency: {file: out/latency.csv}
query_log: {file: out/queries}
dnssec: {keys: out/keys, policies: {signed: {}}}
tsig: {xfr: {secret_file: in/xfr}}
notify:
  - {webhook: "https://hook.example/", secret: {file: in/hook}, headers: {Authorization: {file: in/bearer}}}
checks:
  web: {type: https, tls: {ca: in/check.pem, cert: in/prober.pem, key: in/prober.key}}
loads:
  farm: {type: json, url: "https://farm.example/", load: load, tls: {ca: in/farm.pem}}
regions: {eu: {location: [53, -6]}}
pools: {web: {policy: weighted, check: web, members: [{name: a, addresses: [192.0.2.1]}]}}
zones:
  example.com: {file: out/example.com.zone, dnssec: signed, extra_dnskeys: in/others}
  copied.example:
    primaries: [{address: 192.0.2.1, tls: {ca: in/primary.pem, name: ns.example, cert: in/copier.pem, key: in/copier.key}}]
    transfer: {out: [{key: xfr, tls: {ca: in/secondaries.pem}}]}
catalogs:
  a.catalog:
    primaries: [{address: 192.0.2.2, tls: {ca: in/catalog.pem}}]
    transfer: {out: [{tls: {ca: in/consumers.pem}}]}
    template: {primaries: [{address: 192.0.2.3, tls: {ca: in/members.pem}}], transfer: {out: [{tls: {ca: in/leaves.pem}}]}}
    groups: {inner: {primaries: [{address: 192.0.2.4, tls: {ca: in/inner.pem}}], transfer: {out: [{tls: {ca: in/roots.pem}}]}}}
`

// pathsOf returns all strings below v that have a part of a path as a prefix, by reflection.
func pathsOf(v reflect.Value, under string, add func(string)) {
	switch v.Kind() {
	case reflect.String:
		if strings.HasPrefix(v.String(), under) {
			add(v.String())
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			pathsOf(v.Elem(), under, add)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			pathsOf(v.Index(i), under, add)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				pathsOf(v.Field(i), under, add)
			}
		}
	}
}

// relative returns the sorted rests of paths below a folder.
func relative(t *testing.T, folder string, paths []string) []string {
	t.Helper()
	var all []string
	for _, path := range paths {
		rest, err := filepath.Rel(folder, path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rest)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A copy has every file that is read whole at a start: one that it lacks could be the broken one that makes the copy necessary.
func TestCopyHasEveryFileOfTheConfiguration(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	if err := os.WriteFile(file, []byte(everyPath), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	written := regexp.MustCompile(`\b(in|out)/[a-z.]+`).FindAllString(everyPath, -1)
	var all []string
	pathsOf(reflect.ValueOf(cfg), dir+"/", func(path string) { all = append(all, path) })
	slices.Sort(written)
	if got := relative(t, dir, all); !slices.Equal(got, slices.Sorted(slices.Values(append(written, "meridian.yaml")))) {
		t.Fatalf("the configuration has the paths %v, want %v", got, written)
	}
	copied, files, err := cfg.CopyOf()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(written), func(path string) bool { return strings.HasPrefix(path, "out/") })
	if got := relative(t, dir, files); !slices.Equal(got, append(slices.Clone(want), "meridian.yaml")) {
		t.Errorf("copied are %v\nwant %v", got, want)
	}

	saved := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(saved), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file, saved); err != nil {
		t.Fatal(err)
	}
	copied.Name, copied.Root = "the copy", root
	served, _, err := copied.Load()
	if err != nil {
		t.Fatal(err)
	}
	var moved, kept []string
	pathsOf(reflect.ValueOf(served), root+"/", func(path string) { moved = append(moved, path) })
	pathsOf(reflect.ValueOf(served), dir+"/", func(path string) { kept = append(kept, path) })
	if got := relative(t, filepath.Join(root, dir), moved); !slices.Equal(got, want) {
		t.Errorf("read from the copy are %v\nwant %v", got, want)
	}
	for _, path := range relative(t, dir, kept) {
		if !strings.HasPrefix(path, "out/") && path != "meridian.yaml" {
			t.Errorf("%s is read from its own place, not from the copy", path)
		}
	}
}

// The values of variables are part of a copy: at the next start the environment may be another one.
func TestCopyKeepsTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	text := "server: {nsid: \"${MERIDIAN_COPY_TEST}\"}\nzones: {example.com: {file: z}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MERIDIAN_COPY_TEST", "ams1")
	cfg, _, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	copied, _, err := cfg.CopyOf()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MERIDIAN_COPY_TEST", "other")
	copied.Root = "/"
	served, _, err := copied.Load()
	if err != nil || served.Server.NSID != cfg.Server.NSID {
		t.Errorf("the copy has %+v, %v", served, err)
	}
	copied.Environment = nil
	if _, _, err := copied.Load(); err == nil || !strings.Contains(err.Error(), "MERIDIAN_COPY_TEST") {
		t.Errorf("without the variable: %v", err)
	}
}

func TestIncompleteCopyNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	c := Copy{Name: "the copy", Root: dir, Files: []string{"/etc/meridian/a.yaml"}}
	if cfg, _, err := c.Load(); cfg != nil || err == nil || !strings.HasPrefix(err.Error(), "/etc/meridian/a.yaml: ") || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing document: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc/meridian"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"truncated":    {"zones: {example.com: {file: z", "/etc/meridian/a.yaml:1:"},
		"an old key":   {"zonez: {}\n", `/etc/meridian/a.yaml:1:1: zonez: unknown key "zonez"; did you mean "zones"?`},
		"a bad value":  {"zones: {example.com: {file: z, ttl: -1}}\n", "/etc/meridian/a.yaml:1:37: zones.example.com.ttl: "},
		"binary":       {"\x00\x01", "/etc/meridian/a.yaml:1:1: "},
		"another root": {"- a\n", "/etc/meridian/a.yaml:1:1: "},
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc/meridian/a.yaml"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		copied := Copy{Name: "the copy", Root: dir, Files: []string{"/etc/meridian/a.yaml"}}
		if cfg, _, err := copied.Load(); cfg != nil || err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}

// The state folder is found in text that is no valid configuration.
func TestStateFolderOfInvalidConfiguration(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct{ text, want string }{
		{"server: {\nstate: /var/lib/a\n", "/var/lib/a"},
		{"state: /var/lib/a # here\nzones: {", "/var/lib/a"},
		{"state: \"/var/lib/a b\"\n", "/var/lib/a b"},
		{"state: '/var/lib/a'\r\nzones: {", "/var/lib/a"},
		{"state:\t/var/lib/a", "/var/lib/a"},
		{"state: data\n", filepath.Join(dir, "data")},
		{"state: ../data\n", filepath.Join(filepath.Dir(dir), "data")},
		{"\ufeffstate: /var/lib/a\n", "/var/lib/a"},
		{"# state: /old\nstate: /new\n", "/new"},
		{"pools:\n  state: /not/this\n", ""},
		{"states: /not/this\n", ""},
		{"state:\n", ""},
		{"", ""},
	} {
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := GuessState(file); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
		folders := StateFolders(file)
		if c.want != "" && (len(folders) == 0 || folders[0] != c.want) || slices.Contains(folders, "") {
			t.Errorf("%q: the folders are %q", c.text, folders)
		}
	}
	if got := GuessState(filepath.Join(dir, "missing.yaml"), filepath.Join(dir, "0.yaml")); got != "/var/lib/a" {
		t.Errorf("with a missing file before: %q", got)
	}
	if got := GuessState(filepath.Join(dir, "missing.yaml")); got != "" {
		t.Errorf("of a missing file: %q", got)
	}
}
