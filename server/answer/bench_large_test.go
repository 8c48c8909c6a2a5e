package answer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const (
	manyPoolsNames = 100_000 // balanced names, and the same number of static ones
	crowdPools     = 1000
)

// BenchmarkRespondMany asks for random names, each question once in 65,536, so that the caches
// hold neither names nor locations. BenchmarkRespond* repeat one question. With
// MERIDIAN_CITY_MMDB set the locations are from that City database, otherwise from the built-in
// table.
func BenchmarkRespondMany(b *testing.B) {
	snapshot := manyPools(b)
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	name := func(kind string) string { return fmt.Sprintf("%s%d.example.com.", kind, random.IntN(manyPoolsNames)) }
	subnet := func() dns.EDNS0 {
		v := random.Uint32()
		return answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, byte(1+v>>24%223), byte(v>>16), byte(v>>8))
	}
	for _, bench := range []struct {
		name string
		ask  func() *dns.Msg
	}{
		{"Static", func() *dns.Msg { return answertest.Ask(name("s"), dns.TypeA) }},
		{"Balanced", func() *dns.Msg { return answertest.Ask(name("n"), dns.TypeA) }},
		{"BalancedECS", func() *dns.Msg { return answertest.WithOptions(answertest.Ask(name("n"), dns.TypeA), subnet()) }},
		{"NXDomain", func() *dns.Msg { return answertest.Ask(name("x"), dns.TypeA) }},
	} {
		queries, all := make([][]byte, 1<<16), make([]byte, 0, 128<<16) // consecutive in memory: a worker finds a query in its cache
		for i := range queries {
			from := len(all)
			all = append(all, answertest.Packed(b, bench.ask())...)
			queries[i] = all[from:len(all):len(all)]
		}
		b.Run(bench.name, func(b *testing.B) { benchmarkQueries(b, snapshot, queries) })
	}
}

func benchmarkQueries(b *testing.B, snapshot *snapshot.Snapshot, queries [][]byte) {
	r := newEngine(snapshot, nil).Responder()
	out := make([]byte, 0, 4096)
	r.Acquire()
	defer r.Release()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		out = r.Answer(out[:0], queries[i&(len(queries)-1)], answertest.BenchSource, false)
		i++
	}
}

// manyPools returns the snapshot of manyPoolsNames names n0, n1 and so on in pools of 16 members over
// eight regions, and the same number of static ones s0, s1.
func manyPools(b *testing.B) *snapshot.Snapshot {
	b.Helper()
	var yaml, zone strings.Builder
	if file := os.Getenv("MERIDIAN_CITY_MMDB"); file != "" {
		fmt.Fprintf(&yaml, "geo: {database: %q}\n", file)
	}
	yaml.WriteString("regions:\n")
	for r, at := range []string{"39, -77.5", "43.7, -79.4", "-23.5, -46.6", "50.1, 8.7", "-33.9, 18.4", "1.3, 103.8", "19.1, 72.9", "-33.9, 151.2"} {
		fmt.Fprintf(&yaml, "  r%d: {location: [%s]}\n", r, at)
	}
	yaml.WriteString("pools:\n")
	for p := range crowdPools {
		fmt.Fprintf(&yaml, "  p%d:\n    policy: proximity\n    members:\n", p)
		for m := range 16 {
			fmt.Fprintf(&yaml, "      - {name: m%d, region: r%d, weight: %d, addresses: [10.%d.%d.%d]}\n", m, m/2, 70-m%2*40, p>>8, p&255, m)
		}
	}
	yaml.WriteString("zones:\n  example.com:\n    file: example.com.zone\n    names:\n")
	zone.WriteString(answertest.LoneZone)
	for n := range manyPoolsNames {
		fmt.Fprintf(&yaml, "      n%d: {pool: p%d}\n", n, n%crowdPools)
		fmt.Fprintf(&zone, "s%d A 10.%d.%d.%d\n", n, n>>16, n>>8&255, n&255)
	}
	return answertest.Build(b, yaml.String(), zone.String())
}
