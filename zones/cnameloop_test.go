package zones_test

import (
	"strings"
	"testing"

	"meridian/zones"
)

func TestCNameLoopsCauseWarnings(t *testing.T) {
	const (
		b       = "  b: {policy: weighted, members: [{name: y, cname: a.example.com}]}\n"
		address = ", {name: z, addresses: [192.0.2.1]}"
		hint    = "; name another host, or give one pool of the loop an address"
		nobody  = ": no client gets an address" + hint
		some    = ": clients that receive it get no address" + hint
	)
	a := func(policy, cname, more string) string {
		return "  a: {policy: " + policy + ", members: [{name: x, cname: " + cname + "}" + more + "]}\n"
	}
	tests := []struct{ behaviour, pools, want string }{
		{"to the very name", a("weighted", "a.example.com", ""), `3:35: pools.a.members[0].cname: "a.example.com." leads back to pool "a"` + some},
		{"to the very name, beside others", a("weighted", "a.example.com", address), `3:35: pools.a.members[0].cname: "a.example.com." leads back to pool "a"` + some},
		{"by a static alias", a("weighted", "alias.example.com", ""), `3:35: pools.a.members[0].cname: "alias.example.com." leads back to pool "a"` + some},
		{"by another pool", a("weighted", "b.example.com", "") + b, `3:35: pools.a.members[0].cname: "b.example.com." leads back to pool "a"` + nobody},
		{"by another pool, beside others", a("weighted", "b.example.com", address) + b, ""},
		{"first of a failover", a("failover", "b.example.com", address) + b, `3:35: pools.a.members[0].cname: "b.example.com." leads back to pool "a"` + nobody},
		{
			"by a pool within", "  a: {policy: weighted, members: [{name: in, pool: c}]}\n  c: {policy: weighted, members: [{name: x, cname: b.example.com}]}\n" + b,
			`4:35: pools.c.members[0].cname: "b.example.com." leads back to pool "a"` + nobody,
		},
		{"of weight 0", a("weighted", "a.example.com, weight: 0", address), ""},
		{"elsewhere", a("weighted", "host.example.net", ""), ""},
		{"to an address", a("weighted", "host.example.com", ""), ""},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			names := "    names: {a: {pool: a}"
			if strings.Contains(test.pools, "  b:") {
				names += ", b: {pool: b}"
			}
			text := "\npools:\n" + test.pools + "zones:\n  example.com:\n    file: zone\n    nameservers: {ns1.example.net: []}\n    contact: hostmaster@example.com\n" + names + "}\n"
			cfg := load(t, text, map[string]string{"zone": "alias 30 CNAME a\nhost 30 A 192.0.2.9\n"})
			_, found := zones.Compile(cfg)
			warnings, err := found.Join()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range warnings {
				got = append(got, strings.TrimPrefix(w.Error(), cfg.File+":"))
			}
			if strings.Join(got, "\n") != test.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), test.want)
			}
		})
	}
}
