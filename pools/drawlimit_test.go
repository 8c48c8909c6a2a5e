package pools

import (
	"fmt"
	"strings"
	"testing"

	"meridian/config"
)

// latticed returns a configuration of levels pools, each with two members that are
// the next pool: 2^levels paths lead to the only endpoint.
func latticed(levels, answers int) string {
	var b strings.Builder
	b.WriteString("pools:\n")
	for i := range levels {
		fmt.Fprintf(&b, "  p%d: {policy: weighted, answers: %d, members: [{name: a, pool: p%d}, {name: b, pool: p%d}]}\n", i, answers, i+1, i+1)
	}
	fmt.Fprintf(&b, "  p%d: {policy: weighted, members: [{name: x, addresses: [192.0.2.1]}]}\n", levels)
	b.WriteString("zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: p0}, all: {pool: p0, answers: 0}}}}\n")
	return b.String()
}

func TestTooManyDrawsIsAnError(t *testing.T) {
	for _, c := range []struct {
		text, want string
	}{
		{latticed(10, 0), ""},
		{latticed(60, 1), ""},
		{latticed(60, 0), "pools.p"},
		{latticed(60, 2), "pools.p"},
	} {
		cfg, _, err := config.Parse("test.yaml", []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(cfg, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q\n%.200s", err, c.want, c.text)
		}
	}
}
