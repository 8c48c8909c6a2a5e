package plan_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"meridian/plan"
	"meridian/pools"
)

// bench returns the configuration of a proximity pool over regions, with two members in each.
func bench(b *testing.B, database string, regions int) string {
	b.Helper()
	places := [...]string{
		"39.04, -77.49", "53.35, -6.26", "19.08, 72.88", "45.8, -119.7", "50.1, 8.68", "1.35, 103.8", "35.7, 139.7", "-23.5, -46.6",
		"-33.9, 18.4", "26, 50.5", "45.5, -73.6", "59.3, 18.1", "-33.9, 151.2", "22.3, 114.2", "45.5, 9.2", "41.6, -93.6",
	}
	var text strings.Builder
	if database != "" {
		fmt.Fprintf(&text, "geo: {database: %q}\n", database)
	}
	text.WriteString("regions:\n")
	for i, place := range places[:regions] {
		fmt.Fprintf(&text, "  r%d: {location: [%s]}\n", i, place)
	}
	text.WriteString("pools:\n  web:\n    policy: proximity\n    members:\n")
	for i := range regions {
		fmt.Fprintf(&text, "      - {name: a%d, region: r%d, addresses: [192.0.2.%d]}\n      - {name: b%d, region: r%d, addresses: [198.51.100.%d]}\n", i, i, 1+i, i, i, 1+i)
	}
	text.WriteString("zones:\n  example.com:\n    nameservers: {ns1.example.net: []}\n    contact: hostmaster@example.com\n    names: {www: {pool: web}}\n")
	return text.String()
}

// BenchmarkCompare forecasts the loss of a region for all clients of the built-in table, or of
// the database that MERIDIAN_BENCH_DATABASE names (see bench/README.md). The result excludes
// the time to read it.
func BenchmarkCompare(b *testing.B) {
	for _, regions := range []int{8, 16} {
		b.Run(fmt.Sprintf("regions=%d", regions), func(b *testing.B) {
			text := bench(b, os.Getenv("MERIDIAN_BENCH_DATABASE"), regions)
			before, after := build(b, text), build(b, text)
			after.Pools.SetOverrides([]pools.Override{{Region: "r0", Kind: pools.AssumedDown}})
			for b.Loop() {
				f, err := plan.Compare(before, after, plan.AllIPv4(after.Geo))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(f.Clients), "networks")
			}
		})
	}
}
