package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"meridian/config"
	"meridian/snapshot"
)

const splitTypesYAML = `
dnssec: {keys: KEYS}
pools:
  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}
  six: {policy: all, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}]}
  alias: {policy: all, members: [{name: a, cname: www.example.net}]}
views: {office: {match: {network: [198.51.100.0/24]}}}
zones:
  signed.example:
    nameservers: {ns1.example.net: []}
    contact: h@example.com
    dnssec: default
    names: {"@": {pool: web}, www: {pool: web}, "*.t": {pool: web}, both: {pool: six}}
  plain.example:
    nameservers: {ns1.example.net: []}
    contact: h@example.com
    names: {www: {pool: web}}
`

// TestSplitTypesOfSignedNamesMustBeEqual changes a configuration with a signed zone and one that is not signed.
func TestSplitTypesOfSignedNamesMustBeEqual(t *testing.T) {
	keys := t.TempDir()
	build := func(text string) *snapshot.Snapshot {
		t.Helper()
		cfg, _, err := config.Parse(filepath.Join(keys, "meridian.yaml"), []byte(strings.Replace(text, "KEYS", keys, 1)))
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	served := build(splitTypesYAML)
	const because = "a share of the clients cannot have other types in a signed zone"
	for _, c := range []struct {
		what, from, to string
		want           []string // none: it may differ
	}{
		{"nothing", "", "", nil},
		{"an address", "192.0.2.1]}]}\n  six", "192.0.2.2]}]}\n  six", nil},
		{"another pool of the same types", "both: {pool: six}", "both: {pool: {A: web, AAAA: six}}", nil},
		{"the other zone", "names: {www: {pool: web}}", "names: {www: {pool: six}}", nil},
		{"the order of zones", splitTypesYAML[strings.Index(splitTypesYAML, "  signed.example:"):], splitTypesYAML[strings.Index(splitTypesYAML, "  plain.example:"):] +
			splitTypesYAML[strings.Index(splitTypesYAML, "  signed.example:"):strings.Index(splitTypesYAML, "  plain.example:")], nil},
		{"a family more", "www: {pool: web}, \"*.t\"", "www: {pool: six}, \"*.t\"", []string{"meridian.yaml:13:31: zones.signed.example.names.www: its pools give A AAAA, and A in the generation that serves: " + because}},
		{"a family less", "both: {pool: six}", "both: {pool: web}", []string{"zones.signed.example.names.both: its pools give A, and A AAAA in"}},
		{"a family at the apex", `"@": {pool: web}`, `"@": {pool: six}`, []string{"zones.signed.example.names.@: its pools give A AAAA"}},
		{"a wildcard", `"*.t": {pool: web}`, `"*.t": {pool: six}`, []string{"zones.signed.example.names.*.t: its pools"}},
		{"a family in a view", `both: {pool: six}`, `both: {pool: web, views: {office: {pool: six}}}`, nil},
		{"a type in a view", `"*.t": {pool: web}`, `"*.t": {pool: web, views: {office: {pool: six}}}`, []string{"names.*.t: its pools give A AAAA"}},
		{"an alias", "both: {pool: six}", "both: {pool: alias}", []string{"names.both: its pools give CNAME, and A AAAA in"}},
		{"an HTTPS record", "both: {pool: six}", "both: {pool: six, https: {alpn: [h2]}}", []string{"names.both: its pools give A AAAA HTTPS"}},
		{"a pool of several names", `  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]`, `  web: {policy: all, members: [{name: a, addresses: ["2001:db8::1"]`, []string{"names.@: its pools give AAAA, and A in", "names.www: ", "names.*.t: "}},
	} {
		if !strings.Contains(splitTypesYAML, c.from) {
			t.Fatalf("%s: the configuration has no %q", c.what, c.from)
		}
		err := checkSplitTypes(served, build(strings.Replace(splitTypesYAML, c.from, c.to, 1)))
		if len(c.want) == 0 && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), because) != len(c.want) || !strings.Contains(err.Error(), "--canary NODE") {
				t.Errorf("%s: %v, want %d errors with %s", c.what, err, len(c.want), want)
			}
		}
	}
}
