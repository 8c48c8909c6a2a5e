package config

import (
	"strings"
	"testing"
)

func TestPatternsOfUpdatesMatchAnyLabels(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a", true},
		{"*", "@", true},
		{"@", "a", false},
		{"_acme-challenge.*", "_acme-challenge.a.b", true},
		{"_acme-challenge.*", "_acme-challenge", false},
		{"*.t", "a.b.t", true},
		{"*.t", "t", false},
		{"a*b*c", "abxc", true},
		{"a*b*c", "acb", false},
		{"ab*ba", "aba", false},
	} {
		if got := MatchesStar(c.pattern, c.name); got != c.want {
			t.Errorf("%s and %s: %v", c.pattern, c.name, got)
		}
	}
}

func TestUpdatesThatCannotWorkAreErrors(t *testing.T) {
	const head = "tsig: {k: {secret_file: k}}\nzones: {example.com: {file: z, "
	for text, want := range map[string]string{
		"state: s\n" + head + `serial: keep, update: [{key: k, names: ["*"]}]}}`:  "an update has to raise the serial",
		head + `update: [{key: k, names: ["*"]}]}}`:                               "state is not set",
		"state: s\n" + head + `update: [{key: k}]}}`:                              "names",
		"state: s\n" + head + `update: [{names: ["*"]}]}}`:                        "key",
		"state: s\n" + head + `update: [{key: k, names: ["*"], types: [AXFR]}]}}`: "is not a type of data",
		"state: s\n" + head + `update: [{key: k, names: ["a.example.com."]}]}}`:   "is not relative to the zone",
		"state: s\n" + head + `update: [{key: k, names: ["a..b"]}]}}`:             `"a..b" matches no domain name`,
		"state: s\n" + head + `update: [{key: k, names: ["x y"]}]}}`:              `"x y" matches no domain name`,
		"state: s\n" + head + `update: [{key: k, names: [".*"]}]}}`:               `".*" matches no domain name`,
		"state: s\n" + head + `update: [{key: other, names: ["*"]}]}}`:            "other",
		"state: s\n" + head + `update: [{key: k, names: [], types: []}]}}`:        "an empty list",
	} {
		if _, _, err := Parse("m.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
