package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The names of tests and metrics in the results of bench/run and bench/tail.
const (
	own        = "meridian"
	ownSigned  = "meridian-signed"
	queries    = "queries/s"
	cpu        = "CPU µs/query"
	lost       = "lost %"
	afterLoad  = "MiB after the load"
	peak       = "peak MiB"
	firstReply = "ms to the first answer"
	stop       = "longest stop ms"
	reloads    = "reloads"
	tcp        = "TCP, 16 connections"
	start      = "Start, 1000 names"
	startMany  = "Start, 100,000 names"
	startOne   = "Start, 100,000 names on one pool"
	startMost  = "Start, 1,000,000 names on one pool"
	randomDO   = "Random names with DO, three times the signing capacity"
	quietP99   = "quiet: p99 ms"
	floodP99   = "flood: p99 ms"
	floodShare = "flood: answered %"
)

// gigabyte is 1 GB in MiB.
const gigabyte = 1e9 / (1 << 20)

// results holds all tests of a run.
type results []*test

// of returns the values of all rounds; none if it was not measured.
func (r results) of(name, peer, metric string) []float64 {
	for _, t := range r {
		if t.name == name {
			return t.values[[2]string{peer, metric}]
		}
	}
	return nil
}

// aim is one figure of Meridian and its target.
type aim struct {
	what  string
	got   float64
	most  bool // got may be at most want; else at least
	want  float64
	below bool // or must be less than it
	loose bool // a rate compared is of a server that was not saturated
}

func (a aim) reached() bool {
	switch {
	case a.below:
		return a.got < a.want
	case a.most:
		return a.got <= a.want
	}
	return a.got >= a.want
}

func (a aim) bound() string {
	switch {
	case a.below:
		return fmt.Sprintf("< %.4g", a.want)
	case a.most:
		return fmt.Sprintf("≤ %.2f", a.want)
	}
	return fmt.Sprintf("≥ %.2f", a.want)
}

// printRatios prints every aim with results.
func (r results) printRatios(to io.Writer) {
	aims := slices.Concat(r.udp(), r.subnets(), r.signed(), r.latency(), r.others(), r.tail())
	if len(aims) == 0 {
		return
	}
	fmt.Fprint(to, "\n### Ratios\n\nOf Meridian's medians to the others'; of stops and losses the largest.\n\n| | to reach | measured | |\n|---|---|---|---|\n")
	for _, a := range aims {
		verdict := "missed"
		if a.reached() {
			verdict = "reached"
		}
		if a.loose {
			verdict += ` \*`
		}
		fmt.Fprintf(to, "| %s | %s | %s | %s |\n", a.what, a.bound(), short(a.got), verdict)
	}
	if slices.ContainsFunc(aims, func(a aim) bool { return a.loose }) {
		fmt.Fprintln(to, "\n\\* of a server that was not saturated: this says nothing yet")
	}
}

// loose reports whether the rate of a peer was not its own limit.
func (r results) loose(test, peer, metric string) bool {
	return metric == queries && mark(core, r.of(test, peer, core)) != ""
}

// udp adds the aims without client subnets: compared with static answers, and the kernel alone.
func (r results) udp() (aims []aim) {
	for _, mix := range []string{"none", "edns"} {
		test := udpTest(mix, "saturated")
		aims = slices.Concat(
			aims,
			r.ratio(test, queries, own, "nsd", aim{want: 1.10}),
			r.ratio(test, cpu, own, "nsd", aim{most: true, want: 0.90}),
			r.ratio(test, queries, own, "echo", aim{want: 0.85}),
		)
	}
	return aims
}

// subnets adds the aims with random client subnets: compared with the fastest peer that
// balances by them (one row names it), and with Meridian without client subnets.
func (r results) subnets() []aim {
	test := udpTest("ecs", "saturated")
	steers := r.fastest(test, "gdnsd", "knot-geo", "knot-subnet")
	aims := r.ratio(test, queries, own, steers, aim{want: 1.25})
	with, without := r.of(test, own, queries), r.of(udpTest("none", "saturated"), own, queries)
	if len(with) > 0 && len(without) > 0 {
		aims = append(aims, aim{
			what: test + ": " + queries + " / without subnets", got: median(with) / median(without), want: 0.95,
			loose: r.loose(test, own, queries) || r.loose(udpTest("none", "saturated"), own, queries),
		})
	}
	return aims
}

// signed adds the aims of a signed zone: without DO compared with an unsigned one; with DO compared with answers that
// were signed beforehand, and with servers that sign each answer; and of its cached answers next to random names.
func (r results) signed() (aims []aim) {
	for _, mix := range []string{"none", "ecs"} {
		aims = append(aims, r.ratio(udpTest(mix, "saturated"), queries, ownSigned, own, aim{want: 0.98})...)
	}
	for _, peer := range []string{"nsd-signed", "knot-signed"} {
		aims = append(aims, r.ratio(udpTest("do", "saturated"), queries, ownSigned, peer, aim{want: 1})...)
	}
	for _, peer := range []string{"knot-onlinesign", "pdns-onlinesign"} {
		aims = append(aims, r.ratio(udpTest("do", "saturated"), queries, ownSigned, peer, aim{want: 10})...)
	}
	if answered := r.of(randomDO, ownSigned, floodShare); len(answered) > 0 {
		aims = append(aims, aim{what: randomDO + ": " + floodShare, got: median(answered), want: 99})
	}
	quiet, flood := r.of(randomDO, ownSigned, quietP99), r.of(randomDO, ownSigned, floodP99)
	if len(quiet) > 0 && len(flood) > 0 && median(quiet) > 0 {
		aims = append(aims, aim{what: randomDO + ": p99 / quiet", got: median(flood) / median(quiet), most: true, want: 2})
	}
	return aims
}

// ownLatency is the test of latency that leaves the pauses of the generator out.
const ownLatency = "half of saturation, without pauses of the generator"

// latency adds the aims for answer times at a rate that all servers get.
func (r results) latency() (aims []aim) {
	for _, mix := range []string{"none", "edns", "ecs"} {
		for _, quantile := range []string{"p50 µs", "p99 µs"} {
			aims = slices.Concat(aims, r.ratio(udpTest(mix, ownLatency), quantile, own, "nsd", aim{most: true, want: 1}))
		}
	}
	return aims
}

func (r results) others() []aim {
	return slices.Concat(
		r.ratio(tcp, queries, own, "pdns-static", aim{want: 1}),
		r.figure(start, afterLoad, 100),
		r.figure(start, firstReply, 1500),
		r.figure(startMany, firstReply, 2500),
		r.figure(startOne, firstReply, 2500),
		r.figure(startMost, firstReply, 5000),
		r.figure(startMost, peak, gigabyte),
	)
}

// tail adds the aims for pauses, and for reloads at a rate that the server can sustain.
func (r results) tail() (aims []aim) {
	for _, t := range r {
		for _, way := range t.peers {
			if stops := r.of(t.name, way, stop); len(stops) > 0 {
				aims = append(aims, aim{what: t.name + ", " + way + ": " + stop, got: slices.Max(stops), below: true, want: 1})
			}
		}
		if losses := r.of(t.name, reloads, lost); len(losses) > 0 && !strings.HasSuffix(t.name, "saturated") {
			aims = append(aims, aim{what: t.name + ", " + reloads + ": " + lost, got: slices.Max(losses), most: true})
		}
	}
	return aims
}

func udpTest(mix, at string) string { return "UDP, mix " + mix + ", " + at }

// ratio returns a with the ratio of the median of one of Meridian's configurations to the peer's; none if one is missing.
func (r results) ratio(test, metric, of, peer string, a aim) []aim {
	ours, theirs := r.of(test, of, metric), r.of(test, peer, metric)
	if len(ours) == 0 || len(theirs) == 0 || median(theirs) == 0 {
		return nil
	}
	a.what = test + ": " + metric + " / " + peer
	a.got = median(ours) / median(theirs)
	if of != own {
		a.what = test + ": " + of + ": " + metric + " / " + peer
	}
	a.loose = r.loose(test, of, metric) || r.loose(test, peer, metric)
	return []aim{a}
}

// figure returns an aim for a figure of Meridian that must be less than want.
func (r results) figure(test, metric string, want float64) []aim {
	ours := r.of(test, own, metric)
	if len(ours) == 0 {
		return nil
	}
	return []aim{{what: test + ": " + metric, got: median(ours), below: true, want: want}}
}

// fastest returns the peer with the highest median; the first if none was measured.
func (r results) fastest(test string, peers ...string) string {
	rate := func(peer string) float64 {
		if values := r.of(test, peer, queries); len(values) > 0 {
			return median(values)
		}
		return 0
	}
	return slices.MaxFunc(peers, func(a, b string) int { return cmp.Compare(rate(a), rate(b)) })
}
