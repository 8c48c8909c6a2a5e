package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestManySeriesAreReported(t *testing.T) {
	document := func(settings string) string {
		var b strings.Builder
		b.WriteString(settings + "\npools:\n")
		for p := range 50 {
			fmt.Fprintf(&b, "  p%d: {policy: weighted, members: [", p)
			for m := range 10 {
				fmt.Fprintf(&b, "{name: m%d, addresses: [10.0.%d.%d]}, ", m, p, m)
			}
			b.WriteString("]}\n")
		}
		b.WriteString("zones: {example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com}}\n")
		return b.String()
	}
	const listen = `admin: {listen: "127.0.0.1:8053"}` + "\n"
	for settings, want := range map[string]bool{
		listen:                                 false,
		listen + "metrics: {max_series: 1000}": true,
		listen + "metrics: {max_series: 1000, detail: pool}": false,
		"metrics: {max_series: 1000}":                        false,
	} {
		_, warnings, err := Parse("config.yaml", []byte(document(settings)))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, w := range warnings {
			found = found || strings.Contains(w.Error(), "about 2051 series of metrics, more than max_series 1000: detail pool is exported in place of member")
		}
		if found != want {
			t.Errorf("%s: warned %v, want %v: %v", settings, found, want, warnings[:min(3, len(warnings))])
		}
	}
}
