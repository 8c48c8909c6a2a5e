package config

import (
	"fmt"
	"strings"
	"testing"
)

// manyNames is a configuration of n names under one zone.
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

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		data := manyNames(n)
		b.Run(fmt.Sprintf("names=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, _, err := Parse("config.yaml", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseName(b *testing.B) {
	for _, s := range []string{"www.gslb.example.com.", "WWW.gslb.example.com", `a\.b.example.com.`} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseName(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
