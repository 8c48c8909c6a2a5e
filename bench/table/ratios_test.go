package main

import (
	"os"
	"strings"
	"testing"
)

func TestRatiosUseMedians(t *testing.T) {
	got := tableOf(t,
		"UDP, mix none, saturated\tmeridian\tqueries/s\t100", "UDP, mix none, saturated\tmeridian\tqueries/s\t110", "UDP, mix none, saturated\tmeridian\tqueries/s\t300",
		"UDP, mix none, saturated\tmeridian\tCPU µs/query\t1.9", "UDP, mix none, saturated\tnsd\tCPU µs/query\t2",
		"UDP, mix none, saturated\tnsd\tqueries/s\t100", "UDP, mix none, saturated\techo\tqueries/s\t120",
		"UDP, mix ecs, saturated\tmeridian\tqueries/s\t100", "UDP, mix ecs, saturated\tgdnsd\tqueries/s\t50", "UDP, mix ecs, saturated\tknot-geo\tqueries/s\t90",
		"UDP, mix none, saturated\tmeridian-signed\tqueries/s\t99", "UDP, mix do, saturated\tmeridian-signed\tqueries/s\t90",
		"UDP, mix do, saturated\tnsd-signed\tqueries/s\t60", "UDP, mix do, saturated\tknot-onlinesign\tqueries/s\t10",
		"Random names with DO, three times the signing capacity\tmeridian-signed\tflood: answered %\t99.5",
		"Random names with DO, three times the signing capacity\tmeridian-signed\tquiet: p99 ms\t2",
		"Random names with DO, three times the signing capacity\tmeridian-signed\tflood: p99 ms\t5",
		"UDP, mix none, half of saturation, without pauses of the generator\tmeridian\tp50 µs\t30", "UDP, mix none, half of saturation, without pauses of the generator\tnsd\tp50 µs\t30",
		"TCP, 16 connections\tmeridian\tqueries/s\t10", "TCP, 16 connections\tpdns-static\tqueries/s\t20",
		"Start, 1000 names\tmeridian\tMiB after the load\t43", "Start, 1000 names\tmeridian\tms to the first answer\t1500",
		"Start, 1,000,000 names on one pool\tmeridian\tpeak MiB\t953",
	)
	want := `
### Ratios

Of Meridian's medians to the others'; of stops and losses the largest.

| | to reach | measured | |
|---|---|---|---|
| UDP, mix none, saturated: queries/s / nsd | ≥ 1.10 | 1.1 | reached |
| UDP, mix none, saturated: CPU µs/query / nsd | ≤ 0.90 | 0.95 | missed |
| UDP, mix none, saturated: queries/s / echo | ≥ 0.85 | 0.917 | reached |
| UDP, mix ecs, saturated: queries/s / knot-geo | ≥ 1.25 | 1.11 | missed |
| UDP, mix ecs, saturated: queries/s / without subnets | ≥ 0.95 | 0.909 | missed |
| UDP, mix none, saturated: meridian-signed: queries/s / meridian | ≥ 0.98 | 0.9 | missed |
| UDP, mix do, saturated: meridian-signed: queries/s / nsd-signed | ≥ 1.00 | 1.5 | reached |
| UDP, mix do, saturated: meridian-signed: queries/s / knot-onlinesign | ≥ 10.00 | 9 | missed |
| Random names with DO, three times the signing capacity: flood: answered % | ≥ 99.00 | 99.5 | reached |
| Random names with DO, three times the signing capacity: p99 / quiet | ≤ 2.00 | 2.5 | missed |
| UDP, mix none, half of saturation, without pauses of the generator: p50 µs / nsd | ≤ 1.00 | 1 | reached |
| TCP, 16 connections: queries/s / pdns-static | ≥ 1.00 | 0.5 | missed |
| Start, 1000 names: MiB after the load | < 100 | 43 | reached |
| Start, 1000 names: ms to the first answer | < 1500 | 1500 | missed |
| Start, 1,000,000 names on one pool: peak MiB | < 953.7 | 953 | reached |
`
	if _, ratios, _ := strings.Cut(got, "\n### Ratios"); "\n### Ratios"+ratios != want {
		t.Errorf("got:\n%s\nwant:\n%s", ratios, want)
	}
}

func TestUnsaturatedRatioIsMarked(t *testing.T) {
	const test = "UDP, mix none, saturated\t"
	got := tableOf(t,
		test+"meridian\tqueries/s\t120", test+"nsd\tqueries/s\t100", test+"echo\tqueries/s\t140",
		test+"meridian\tCPU µs/query\t1", test+"nsd\tCPU µs/query\t2",
		test+"meridian\tcore %\t99", test+"nsd\tcore %\t80", test+"echo\tcore %\t96",
	)
	for _, want := range []string{
		`queries/s / nsd | ≥ 1.10 | 1.2 | reached \* |`, "CPU µs/query / nsd | ≤ 0.90 | 0.5 | reached |",
		"queries/s / echo | ≥ 0.85 | 0.857 | reached |", `\* of a server that was not saturated`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestStopsAndLossesCountAtTheirWorst(t *testing.T) {
	got := tableOf(t,
		"9 names, 5 queries/s\tquiet\tlost %\t1", "9 names, 5 queries/s\treloads\tlost %\t0", "9 names, 5 queries/s\treloads\tlost %\t0.1",
		"9 names, 5 queries/s\treloads\tlongest stop ms\t0.2", "9 names, 5 queries/s\treloads\tlongest stop ms\t0.3", "9 names, 5 queries/s\treloads\tlongest stop ms\t1.2",
		"9 names, saturated\treloads\tlost %\t3", "9 names, saturated\treloads\tlongest stop ms\t0.4",
	)
	for _, want := range []string{
		"| 9 names, 5 queries/s, reloads: longest stop ms | < 1 | 1.2 | missed |",
		"| 9 names, 5 queries/s, reloads: lost % | ≤ 0.00 | 0.1 | missed |",
		"| 9 names, saturated, reloads: longest stop ms | < 1 | 0.4 | reached |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "quiet: ") || strings.Contains(got, "saturated, reloads: lost") {
		t.Errorf("a row for what has no aim in\n%s", got)
	}
}

func TestUnusedCoreIsMarked(t *testing.T) {
	got := tableOf(t, "udp\tnsd\tcore %\t94", "udp\tnsd\tcore %\t94.9", "udp\tnsd\tcore %\t99", "udp\tknot\tcore %\t95", "udp\tknot\tqueries/s\t5")
	for _, want := range []string{`| nsd | 94.9 (94–99) \* |  |`, "| knot | 95 | 5 |", `\* less than 95 % of the core`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestRatiosGoByTheNamesOfTheScripts checks that the scripts use the names of the ratios.
func TestRatiosGoByTheNamesOfTheScripts(t *testing.T) {
	var scripts strings.Builder
	for _, file := range []string{"../run", "../tail", "../harness.sh"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	names := []string{
		core, queries, cpu, lost, afterLoad, peak, firstReply, stop, tcp, start, startMany, startOne, startMost, randomDO,
		"p50 µs", "p99 µs", udpTest("$2", "saturated"), udpTest("$2", ownLatency),
	}
	for _, name := range names {
		if !strings.Contains(scripts.String(), `"`+name+`"`) {
			t.Errorf("no script measures %q", name)
		}
	}
	for _, peer := range []string{own, "nsd", "echo", ownSigned, "gdnsd", "knot-geo", "knot-subnet", "pdns-static", "nsd-signed", "knot-signed", "knot-onlinesign", "pdns-onlinesign"} {
		if _, err := os.Stat("../peers/" + peer); err != nil {
			t.Errorf("ratios to %s: %v", peer, err)
		}
	}
}
