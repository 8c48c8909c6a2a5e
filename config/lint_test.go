package config

import (
	"fmt"
	"strings"
	"testing"
)

// The configuration has two pools of 60 addresses each, nested in one that answers with all of both.
func TestSharedAddressesCountOnceInLargeAnswers(t *testing.T) {
	for _, test := range []struct {
		behaviour string
		second    int // the first address of the second pool
		want      bool
	}{
		{"the same addresses", 1, false},
		{"half of them different", 31, false},
		{"addresses of its own", 101, true},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			text := "pools:\n" +
				"  both: {policy: weighted, answers: 0, members: [{name: a, pool: a}, {name: b, pool: b}]}\n" +
				poolOf60("a", 1) + poolOf60("b", test.second) +
				"zones:\n  example.com:\n    nameservers: {ns1.example.net: []}\n    contact: hostmaster@example.com\n    names: {www: {pool: both}}\n"
			_, warnings, err := Parse("config.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(warnings)
			if strings.Contains(got, "addresses in one answer") != test.want {
				t.Errorf("warnings are %s; want one of a large answer: %v", got, test.want)
			}
		})
	}
}

// poolOf60 returns a pool of 60 addresses that answers with all of them.
func poolOf60(name string, from int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    policy: weighted\n    answers: 0\n    members:\n", name)
	for i := range 60 {
		fmt.Fprintf(&b, "      - {name: m%d, addresses: [192.0.2.%d]}\n", i, from+i)
	}
	return b.String()
}
