package config

import (
	"fmt"
	"strings"
	"testing"

	"meridian/dnsname"
)

// manyNames returns a configuration of n names under one zone.
func manyNames(n int) []byte {
	var b strings.Builder
	b.WriteString(`pools:
  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names:
`)
	for i := range n {
		fmt.Fprintf(&b, "      n%d: {pool: web}\n", i)
	}
	return []byte(b.String())
}

// manyPools returns a configuration of n pools of 16 members, and a name for each.
func manyPools(n int) []byte {
	var b strings.Builder
	b.WriteString("regions:\n  us: {location: [39, -77.5]}\n  eu: {location: [50.1, 8.7]}\npools:\n")
	for i := range n {
		fmt.Fprintf(&b, "  app%d:\n    policy: proximity\n    members:\n", i)
		for j := range 16 {
			region := [...]string{"us", "eu"}[j%2]
			fmt.Fprintf(&b, "      - {name: %s-%d, region: %s, weight: %d, addresses: [10.%d.%d.%d, \"2001:db8:%x::%x\"]}\n",
				region, j, region, 10+j, j, i>>8&255, i&255, j, i)
		}
	}
	b.WriteString("zones:\n  example.com:\n    file: x\n    names:\n")
	for i := range n {
		fmt.Fprintf(&b, "      app%d: {pool: app%d}\n", i, i)
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for name, data := range map[string][]byte{
		"names=1000":   manyNames(1000),
		"names=100000": manyNames(100_000),
		"pools=10000":  manyPools(10_000),
	} {
		b.Run(name, func(b *testing.B) { benchmarkParse(b, data, Parse) })
		b.Run(name+"/at_once", func(b *testing.B) { benchmarkParse(b, data, parseAtOnce) })
	}
}

func benchmarkParse(b *testing.B, data []byte, parse func(string, []byte) (*Config, []Error, error)) {
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := parse("config.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseDomainName(b *testing.B) {
	for _, s := range []string{"www.gslb.example.com.", "WWW.gslb.example.com", `a\.b.example.com.`} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := dnsname.Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
