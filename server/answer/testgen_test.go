package answer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/server/limit"
	"meridian/snapshot"
)

// generator generates random data from parts that occur often.
type generator struct {
	*rand.Rand
	cookies *limit.Cookies // of the server; nil: not known
	from    netip.Addr     // the source of the next query; invalid: not known
}

func pick[T any](m generator, from ...T) T { return from[m.IntN(len(from))] }

// sometimes returns text in one of the given number of cases, otherwise "".
func (m generator) sometimes(odds int, text string) string {
	if m.IntN(odds) == 0 {
		return text
	}
	return ""
}

const (
	madeRegions = 4
	// poolCount is the number of pools, at least one of each policy. Those from nesting on may
	// contain earlier ones. Of the last four, two answer external names, and two names of ours.
	poolCount = 14
	nesting   = 5
	abroad    = poolCount - 4
	inside    = poolCount - 2
)

// World generates a configuration with pools of all policies and nested zones, a master file and
// a latency file.
func (m generator) world(t *testing.T) *snapshot.Snapshot {
	var b strings.Builder
	fmt.Fprintf(&b, "server: {listen: [\"127.0.0.1:0\"], nsid: %q, udp_size: %d, ecs: %v, udp_size_without_cookie: %d, cookies: {require: %v}, rotate: %v%s%s}\n",
		strings.Repeat("n", pick(m, 1, 200, 255)), pick(m, 512, 520, 600, 1232, 4096), m.IntN(8) > 0, pick(m, 0, 0, 512, 700), m.IntN(4) == 0, m.IntN(2) == 0, m.sometimes(2, ", ecs_from: [9.0.0.0/8, 10.0.0.0/7, 12.0.0.0/9, \"2001:db8::/33\"]"),
		m.sometimes(2, pick(m, ", report_agent: agent.example.com", ", report_agent: agent.c.example.com", ", report_agent: agent.example.net")))
	m.geo(&b)
	fmt.Fprintf(&b, "latency: {file: %q, samples: 10}\n", m.roundTrips(t))
	b.WriteString("checks:\n  c: {type: tcp, port: 1, slow_start: 1m}\nloads:\n")
	for i := range madeRegions {
		fmt.Fprintf(&b, "  l%d: {type: json, url: \"http://192.0.2.250/%d\", load: used}\n", i, i)
	}
	b.WriteString("pools:\n")
	for i, policy := range m.policies() {
		m.pool(&b, i, policy)
	}
	b.WriteString("views:\n  v0: {match: {network: [10.0.0.0/9, \"2001:db8::/46\"]}}\n  v1: {match: {network: [10.16.0.0/13, 11.0.0.0/8]}}\n")
	b.WriteString("zones:\n  example.com:\n    file: example.com.zone\n    ttl: 30\n    names:\n")
	fmt.Fprintf(&b, "      \"@\": {pool: q%d, ttl: %d}\n", m.IntN(nesting), m.IntN(1000))
	for i := range poolCount {
		pool, https := fmt.Sprintf("q%d", i), m.https()
		if i < abroad && https == "" && m.IntN(2) == 0 {
			pool = fmt.Sprintf("{A: q%d, AAAA: q%d}", i, m.IntN(abroad))
		}
		fmt.Fprintf(&b, "      p%d: {pool: %s, answers: %d, ttl: %s%s%s%s}\n", i, pool, m.IntN(4), m.ttl(), https, m.sometimes(6, fmt.Sprintf(", ecs: %v", m.IntN(2) == 0)), m.views())
	}
	for _, name := range []string{`"*.p1"`, "a.p2", `"*.b.p3"`} {
		fmt.Fprintf(&b, "      %s: {pool: q%d, ttl: %d%s}\n", name, m.IntN(poolCount), m.IntN(1000), m.https())
	}
	b.WriteString("  d.e.example.com:\n    nameservers: {ns.d.e.example.com: [192.0.2.1]}\n    contact: h@example.com\n    names:\n      a: {pool: q0}\n")
	b.WriteString(pick(m, "", "    deny: [10.0.0.0/8]\n", "    allow: [10.0.0.0/7, \"2001:db8::/32\"]\n    deny: [10.0.0.0/9, \"2001:db8:1::/48\"]\n    ttl: 1\n"))
	return answertest.Build(t, b.String(), m.zone())
}

// geo generates regions, some with a check and a load source, and networks in them.
func (m generator) geo(b *strings.Builder) {
	b.WriteString("geo:\n  groups: {near: [DE, NL]}\n  networks:\n    13.0.0.0/12: {subdivision: US-CA}\n")
	for i := range 12 {
		place := pick(m, fmt.Sprintf("region: r%d", m.IntN(madeRegions)), "country: "+pick(m, "DE", "NL", "US"), "continent: "+pick(m, "AS", "EU"))
		fmt.Fprintf(b, "    %d.%d.0.0/%d: {%s}\n", 10+i/4, 16*(i%4), 12+m.IntN(5), place)
	}
	for i := range 4 {
		fmt.Fprintf(b, "    2001:db8:%x::/%d: {region: r%d}\n", i+1, 48, m.IntN(madeRegions))
	}
	b.WriteString("regions:\n")
	for i := range madeRegions {
		check := m.sometimes(3, fmt.Sprintf(", check: c, addresses: [192.0.2.%d, 192.0.2.%d]", 240+i, 1+m.IntN(60)))
		load := m.sometimes(3, fmt.Sprintf(", load: l%d, capacity: 100", i))
		fmt.Fprintf(b, "  r%d: {location: [%d, %d], bias: %d%s%s}\n", i, m.IntN(160)-80, m.IntN(340)-170, m.IntN(100)-50, check, load)
	}
}

// roundTrips generates a latency file.
func (m generator) roundTrips(t *testing.T) string {
	var b strings.Builder
	for _, of := range []string{"10.0.0.0/10", "10.16.0.0/13", "11.0.0.0/8", "12.32.0.0/20", "2001:db8:2::/47", "DE", "US"} {
		for r := range madeRegions {
			if m.IntN(2) == 0 {
				fmt.Fprintf(&b, "%s,r%d,%d,%d\n", of, r, 1+m.IntN(200), 1+m.IntN(20))
			}
		}
	}
	name := filepath.Join(t.TempDir(), "latency.csv")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// policies returns the policies of the pools, each at least once.
func (m generator) policies() []string {
	all := []string{"proximity", "geolocation", "weighted", "round-robin", "failover", "hash", "latency", "fastest", "least-load", "all"}
	all = append(all, pick(m, all...), pick(m, all...), pick(m, all...), pick(m, all...))
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// https generates the HTTPS record of half of the names.
func (m generator) https() string {
	if m.IntN(2) == 0 {
		return ""
	}
	return ", https: " + pick(m, "{}", "{hints: false}", "{alpn: [h2, h3], port: 8443}", "{alpn: [h3], no_default_alpn: true, priority: 65535}")
}

// ttl generates one TTL, or another one for while the pool is degraded.
func (m generator) ttl() string {
	if m.IntN(2) == 0 {
		return fmt.Sprint(m.IntN(1000))
	}
	return fmt.Sprintf("{normal: %d, degraded: %d}", 500+m.IntN(500), 1+m.IntN(500))
}

// views generates other bindings of a third of the names, for the clients of views.
func (m generator) views() string {
	if m.IntN(3) > 0 {
		return ""
	}
	return fmt.Sprintf(", views: {v0: {pool: q%d, ttl: 7}%s}", m.IntN(abroad), m.sometimes(2, fmt.Sprintf(", v1: {pool: q%d, answers: %d}", m.IntN(abroad), m.IntN(4))))
}

// options generates keys of a pool that fit its policy.
func (m generator) options(n int, policy string) string {
	options := fmt.Sprintf("check: c, answers: %d, fail_open: %s", m.IntN(4), pick(m, "remaining", "all", "never")) +
		m.sometimes(4, pick(m, ", min_up: 1", ", min_up: 50%", ", min_up: 100%"))
	options += m.sometimes(3, ", dual_stack: together") + m.sometimes(8, fmt.Sprintf(", ecs: %v", m.IntN(2) == 0))
	if n > 0 {
		options += m.sometimes(4, fmt.Sprintf(", fallback: q%d", m.IntN(min(n, abroad))))
	}
	switch policy {
	case "geolocation":
		options += m.sometimes(2, pick(m, ", on_down: fence", ", on_down: open"))
	case "weighted":
		options += m.sometimes(2, ", sticky: "+pick(m, "true", "ttl"))
	case "round-robin":
		options += m.sometimes(3, ", sticky: "+pick(m, "true", "ttl"))
	case "failover":
		options += m.sometimes(2, ", trickle: 30%")
	case "hash":
		options += m.sometimes(2, ", hash: {ipv4: 20, ipv6: 33}")
	}
	if policy != "proximity" && policy != "latency" {
		options += m.sometimes(3, ", spread: region")
	}
	if policy != "geolocation" && policy != "least-load" {
		options += m.sometimes(2, ", shed: {low: 20%, high: 90%}")
	}
	return options
}

// pool generates pool qN.
func (m generator) pool(b *strings.Builder, n int, policy string) {
	fmt.Fprintf(b, "  q%d: {policy: %s, %s", n, policy, m.options(n, policy))
	matches := m.matches()
	var members strings.Builder
	hasDefault := false
	for i := range 1 + m.IntN(6) {
		fmt.Fprintf(&members, "      {name: m%d, weight: %d, enabled: %v, %s", i, m.IntN(4), m.IntN(8) > 0, m.serves(n, i))
		if policy == "proximity" || policy == "latency" || m.IntN(2) == 0 {
			fmt.Fprintf(&members, ", region: r%d", m.IntN(madeRegions))
		}
		if policy == "geolocation" {
			match := pick(m, matches...)
			hasDefault = hasDefault || match == "default"
			fmt.Fprintf(&members, ", match: %s", match)
		}
		members.WriteString("},\n")
	}
	if policy == "geolocation" && !hasDefault {
		b.WriteString(", default: nodata")
	}
	fmt.Fprintf(b, ", members: [\n%s    ]}\n", &members)
}

// serves generates the addresses of member i of pool qN, and its load source.
func (m generator) serves(n, i int) string {
	load := m.sometimes(2, fmt.Sprintf(", load: l%d, capacity: %d", m.IntN(madeRegions), 50+m.IntN(100)))
	switch {
	case n >= nesting && m.IntN(3) == 0:
		return fmt.Sprintf("pool: q%d%s", m.IntN(nesting), load)
	case n >= inside && m.IntN(2) == 0:
		return "cname: " + pick(m, "a.example.com.", "p4.example.com.", "p13.example.com.", "nothing.example.com.", "n.cut.example.com.")
	case n >= abroad && m.IntN(2) == 0:
		return "cname: " + pick(m, "www.example.org.", strings.Repeat(strings.Repeat("o", 60)+".", 3))
	}
	v4, v6 := fmt.Sprintf("192.0.2.%d", 6*n+i+1), fmt.Sprintf(`"2001:db8::%d"`, 6*n+i+1)
	addresses := pick(m, v4, v6, v4+", "+v6, v4+", "+v6, fmt.Sprintf("%s, 198.51.100.%d, %s", v4, 6*n+i+1, v6))
	if m.IntN(8) == 0 {
		return strings.TrimPrefix(m.records(n, i), ", ")
	}
	return "addresses: [" + addresses + "]" + load + m.sometimes(2, m.records(n, i))
}

// records generates the records of member i of pool qN.
func (m generator) records(n, i int) string {
	all := []string{
		fmt.Sprintf(`SRV: ["10 5 %d p0.example.com.", "20 5 443 host.example.org."]`, 100*n+i),
		fmt.Sprintf(`MX: ["%d p1.example.com."]`, m.IntN(2)),
		fmt.Sprintf(`SVCB: ["%d . alpn=h2 port=%d"]`, 1+m.IntN(3), 1000+i),
	}
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return ", records: {" + strings.Join(all[:1+m.IntN(3)], ", ") + "}"
}

// matches generates matches without common terms.
func (m generator) matches() []string {
	terms := []string{
		"network: 10.0.0.0/9", "network: 11.16.0.0/14", `network: "2001:db8:2::/47"`, "country: DE", "country: US",
		"subdivision: US-CA", "group: near", "continent: EU", "continent: AS",
	}
	m.Shuffle(len(terms), func(i, j int) { terms[i], terms[j] = terms[j], terms[i] })
	matches := []string{"default"}
	for _, term := range terms[:1+m.IntN(4)] {
		matches = append(matches, "{"+term+"}")
	}
	return matches
}

// zone generates a master file: at each of a set of names, one kind of data.
func (m generator) zone() string {
	var b strings.Builder
	b.WriteString("$ORIGIN example.com.\n$TTL 300\n@ 3600 IN SOA ns1 hostmaster 1 7200 3600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n@ TXT \"apex\"\n")
	for _, name := range []string{"a", "b", "c", "x.a", "y.a", "x.b", "a.x.c", "*.w", "*.a", "z", "*.v", "u"} {
		switch m.IntN(7) {
		case 0:
			fmt.Fprintf(&b, "%s CNAME %s\n", name, pick(m, "p0", "a", "b", "c", "z", "q.w", "n.cut", "www.example.org.", "n.tree", "d.e", "a.d.e", "nothing"))
		case 1:
			fmt.Fprintf(&b, "%s A 192.0.2.1\n%[1]s A 192.0.2.2\n%[1]s AAAA 2001:db8::1\n", name)
		case 2:
			for i := range m.IntN(30) + 1 {
				fmt.Fprintf(&b, "%s TXT %q\n", name, fmt.Sprint(i, strings.Repeat("t", 50)))
			}
		default:
			fmt.Fprintf(&b, "%s MX 10 mail\n%[1]s TYPE65280 \\# 3 abcdef\n", name)
		}
	}
	b.WriteString("cut NS ns.cut\ncut NS ns.example.net.\nns.cut A 192.0.2.9\nns.cut AAAA 2001:db8::9\n")
	for i := range m.IntN(20) {
		fmt.Fprintf(&b, "cut NS ns%d.cut\nns%[1]d.cut A 192.0.2.1%[1]d\n", i)
	}
	b.WriteString(m.sometimes(2, "cut DS 7 13 2 "+strings.Repeat("AB", 32)+"\n"))
	b.WriteString(m.sometimes(2, "d.e NS ns.d.e\nd.e DS 8 15 2 "+strings.Repeat("CD", 32)+"\n"))
	fmt.Fprintf(&b, "tree DNAME %s\nover DNAME %s\n", pick(m, "w", "a", "cut", "example.org.", "p1", "tree2", "g.tree", "g.tree2"), strings.Repeat(strings.Repeat("o", 60)+".", 3))
	b.WriteString("tree2 DNAME tree\n")
	return b.String()
}

// turn changes health states, shares, loads and overrides at random.
func (m generator) turn(snapshot *snapshot.Snapshot) {
	tree := snapshot.Pools
	var turns []health.Transition
	for i, target := range tree.Targets() {
		turn := health.Transition{Index: i, Target: target, To: pick(m, health.Up, health.Up, health.Down), Response: time.Duration(m.IntN(5)) * time.Millisecond}
		if turn.To == health.Up && m.IntN(3) == 0 {
			turn.SlowStartWeight = uint8(m.IntN(256))
		}
		turns = append(turns, turn)
	}
	if m.IntN(3) == 0 { // all are down: pools may fail open
		for i := range turns {
			turns[i].To, turns[i].SlowStartWeight = health.Down, health.FullWeight
		}
	}
	tree.Apply(turns)
	tree.SetOverrides(m.overrides(snapshot.Config))
	loads := make([]pools.Load, len(tree.LoadTargets()))
	for i := range loads {
		loads[i] = pools.Load{Load: float64(m.IntN(120)), At: time.Unix(int64(m.Uint32()), 0), Fresh: m.IntN(5) > 0}
	}
	tree.SetLoads(loads)
}

func (m generator) overrides(cfg *config.Config) []pools.Override {
	var all []pools.Override
	for range m.IntN(4) {
		p := &cfg.Pools[m.IntN(len(cfg.Pools))]
		o := pools.Override{Pool: p.Name, Member: p.Members[m.IntN(len(p.Members))].Name}
		if m.IntN(3) == 0 {
			o = pools.Override{Region: fmt.Sprintf("r%d", m.IntN(madeRegions))}
		}
		o.Kind = pick(m, pools.Drained, pools.ForcedUp, pools.ForcedDown)
		all = append(all, o)
	}
	return all
}
