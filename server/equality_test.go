package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/health"
	"meridian/zones"
)

// TestBothPathsAgree makes random worlds, verdicts and queries, and compares
// the wire path with the full path octet by octet.
func TestBothPathsAgree(t *testing.T) {
	worlds, queries := 6, 3000
	if testing.Short() {
		worlds, queries = 2, 1000
	}
	for range worlds {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			made := maker{rand.New(rand.NewPCG(seed, 0))}
			snapshot := made.world(t)
			p := newPaths(snapshot)
			taken := 0
			for i := range queries {
				if i%500 == 0 {
					made.turnVerdicts(snapshot)
				}
				p.draw = made.Uint64()
				if p.compare(t, made.query(), made.source(), made.IntN(4) == 0) {
					taken++
				}
				if t.Failed() {
					return
				}
			}
			if taken < queries/2 {
				t.Errorf("only %d of %d queries took the wire path: this compares little", taken, queries)
			}
		})
	}
}

// compare asks both ways, and reports whether the wire path was taken.
func (p *paths) compare(t *testing.T, packet []byte, source netip.Addr, stream bool) (taken bool) {
	t.Helper()
	before := bytes.Clone(packet)
	fast := p.wire.Respond([]byte("before"), packet, source, stream)
	slow := p.full.Respond([]byte("before"), packet, source, stream)
	if !bytes.Equal(before, packet) {
		t.Errorf("the query was changed\nfrom %x\nto   %x", before, packet)
	}
	if !bytes.Equal(fast, slow) {
		t.Errorf("query %x from %s (stream %v), draw %d\nwire %s\nfull %s", packet, source, stream, p.draw, readable(fast), readable(slow))
	}
	for _, answer := range [][]byte{fast, slow} {
		answer = answer[len("before"):]
		checkAnswer(t, packet, answer, stream)
		if len(answer) > 0 {
			p.checkSize(t, answer, stream)
		}
	}
	if n := p.wire.server.Counters().Panics; n != 0 {
		t.Errorf("query %x: panicked", packet)
	}
	return p.wire.query.packet != nil && len(fast) > len("before") && p.wire.query.plain()
}

// checkAnswer holds an answer to what is true of all.
func checkAnswer(t *testing.T, query, answer []byte, stream bool) {
	t.Helper()
	silent := len(query) < headerSize || query[2]&flagQR != 0
	if silent != (len(answer) == 0) {
		t.Errorf("query %x: answer %x", query, answer)
	}
	if silent {
		return
	}
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		t.Errorf("query %x: answer %x: %v", query, answer, err)
	}
	if !m.Response || m.RecursionAvailable || m.AuthenticatedData || m.Zero {
		t.Errorf("query %x: flags of %s", query, &m)
	}
	if len(m.Question) == 1 && !bytes.HasPrefix(answer[headerSize:], query[headerSize:headerSize+questionSize(answer)]) {
		t.Errorf("query %x: question of %x", query, answer)
	}
}

// checkSize holds the answer to the last query to what the client takes.
func (p *paths) checkSize(t *testing.T, answer []byte, stream bool) {
	t.Helper()
	q := &p.full.query
	limit := 512
	switch {
	case stream:
		limit = 65535
	case q.edns.present:
		limit = max(limit, min(int(q.edns.size), p.full.server.current.Load().config.UDPSize))
	}
	if len(answer) > limit {
		t.Errorf("query %x: answer of %d octets, the client takes %d", q.packet, len(answer), limit)
	}
}

// questionSize is how long the question of a message is.
func questionSize(m []byte) int {
	end, _ := skipName(m, headerSize)
	return end + 4 - headerSize
}

func readable(answer []byte) string {
	var m dns.Msg
	if err := m.Unpack(answer[len("before"):]); err != nil {
		return fmt.Sprintf("%x: %v", answer, err)
	}
	return fmt.Sprintf("%x\n%s", answer, &m)
}

// maker makes random things, of parts that meet each other often.
type maker struct{ *rand.Rand }

func pick[T any](m maker, from ...T) T { return from[m.IntN(len(from))] }

// world makes a configuration with a few pools and nested zones, and one
// master file.
func (m maker) world(t *testing.T) *zones.Snapshot {
	var b strings.Builder
	fmt.Fprintf(&b, "server: {listen: [\"127.0.0.1:0\"], nsid: %q}\ngeo:\n  networks:\n", strings.Repeat("n", pick(m, 1, 200, 255)))
	for i := range 12 {
		fmt.Fprintf(&b, "    %d.%d.0.0/%d: {region: r%d}\n", 10+i/4, 16*(i%4), 12+m.IntN(5), m.IntN(4))
	}
	for i := range 4 {
		fmt.Fprintf(&b, "    2001:db8:%x::/%d: {region: r%d}\n", i+1, 48, m.IntN(4))
	}
	b.WriteString("regions:\n")
	for i := range 4 {
		fmt.Fprintf(&b, "  r%d: {location: [%d, %d], bias: %d}\n", i, m.IntN(160)-80, m.IntN(340)-170, m.IntN(100)-50)
	}
	b.WriteString("checks:\n  c: {type: tcp, port: 1}\npools:\n")
	const pools = 6
	for i := range pools {
		m.pool(&b, i)
	}
	b.WriteString("zones:\n  example.com:\n    file: example.com.zone\n    ttl: 30\n    names:\n")
	fmt.Fprintf(&b, "      \"@\": {pool: q%d, ttl: %d}\n", m.IntN(2), m.IntN(1000))
	for _, name := range []string{"p0", "p1", "p2", "p3", "p4", "p5", `"*.p1"`, "a.p2", `"*.b.p3"`} {
		fmt.Fprintf(&b, "      %s: {pool: q%d, answers: %d, ttl: %d%s}\n", name, m.IntN(pools), m.IntN(4), m.IntN(1000), m.https())
	}
	b.WriteString("  d.e.example.com:\n    nameservers: {ns.d.e.example.com: [192.0.2.1]}\n    contact: h@example.com\n    names:\n      a: {pool: q0}\n")
	return build(t, b.String(), m.zone())
}

// https makes the HTTPS record of half of the names.
func (m maker) https() string {
	if m.IntN(2) == 0 {
		return ""
	}
	return ", https: " + pick(m, "{}", "{alpn: [h2, h3], port: 8443}", "{alpn: [h3], no_default_alpn: true, priority: 65535}")
}

// pool makes pool qN; the last two nest the ones before them.
func (m maker) pool(b *strings.Builder, n int) {
	policy := pick(m, "proximity", "weighted", "round-robin", "failover")
	fmt.Fprintf(b, "  q%d:\n    policy: %s\n    check: c\n    answers: %d\n    fail_open: %v\n    members:\n", n, policy, m.IntN(3), m.IntN(2) == 0)
	for i := range 1 + m.IntN(5) {
		region := ""
		if policy == "proximity" || m.IntN(2) == 0 {
			region = fmt.Sprintf("region: r%d, ", m.IntN(4))
		}
		if n >= 4 && m.IntN(2) == 0 {
			fmt.Fprintf(b, "      - {name: m%d, %spool: q%d}\n", i, region, m.IntN(4))
			continue
		}
		if n >= 2 && m.IntN(4) == 0 {
			target := pick(m, "www.example.org.", "host.example.net.", "a.example.com.", "p4.example.com.", "p5.example.com.", "nothing.example.com.", "n.cut.example.com.")
			if n < 4 {
				target = pick(m, "www.example.org.", strings.Repeat(strings.Repeat("o", 60)+".", 3))
			}
			fmt.Fprintf(b, "      - {name: m%d, %scname: %s, weight: %d}\n", i, region, target, m.IntN(4))
			continue
		}
		v4, v6 := fmt.Sprintf("192.0.2.%d", 10*n+i+1), fmt.Sprintf(`"2001:db8::%d"`, 10*n+i+1)
		addrs := pick(m, v4, v6, v4+", "+v6)
		fmt.Fprintf(b, "      - {name: m%d, %saddresses: [%s], weight: %d, enabled: %v}\n", i, region, addrs, m.IntN(4), m.IntN(6) > 0)
	}
}

// zone makes a master file: at each of a set of names, one kind of thing.
func (m maker) zone() string {
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
	fmt.Fprintf(&b, "tree DNAME %s\nover DNAME %s\n", pick(m, "w", "a", "cut", "example.org.", "p1", "tree2"), strings.Repeat(strings.Repeat("o", 60)+".", 3))
	b.WriteString("tree2 DNAME tree\n")
	return b.String()
}

func (m maker) turnVerdicts(snapshot *zones.Snapshot) {
	var turns []health.Turn
	for i, target := range snapshot.Pools.Targets() {
		turns = append(turns, health.Turn{Index: i, Target: target, To: pick(m, health.Up, health.Up, health.Down)})
	}
	snapshot.Pools.Apply(turns)
}

func (m maker) source() netip.Addr {
	if m.IntN(3) == 0 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", m.IntN(6), m.IntN(9)))
	}
	return netip.AddrFrom4([4]byte{byte(9 + m.IntN(6)), byte(m.Uint32()), 0, 1})
}

// query makes a query; one in ten is broken somewhere.
func (m maker) query() []byte {
	q := new(dns.Msg)
	q.Id = uint16(m.Uint32())
	q.RecursionDesired, q.CheckingDisabled, q.AuthenticatedData = m.IntN(2) == 0, m.IntN(2) == 0, m.IntN(2) == 0
	if m.IntN(20) == 0 {
		q.Opcode = m.IntN(16)
	}
	q.Question = []dns.Question{{Name: m.name(), Qtype: m.qtype(), Qclass: dns.ClassINET}}
	if m.IntN(20) == 0 {
		q.Question[0].Qclass = pick(m, uint16(dns.ClassCHAOS), dns.ClassANY, 0)
	}
	if m.IntN(3) > 0 {
		q.Extra = append(q.Extra, m.opt())
	}
	packet, err := q.Pack()
	if err != nil {
		panic(err)
	}
	if m.IntN(10) == 0 {
		packet = m.broken(packet)
	}
	return packet
}

func (m maker) name() string {
	labels := []string{"a", "b", "c", "x", "y", "z", "w", "v", "u", "p0", "p1", "p2", "p3", "p4", "cut", "tree", "over", "ns1", "n", "d", "e", "tree2", strings.Repeat("l", 63)}
	var b strings.Builder
	for range m.IntN(4) {
		b.WriteString(pick(m, labels...) + ".")
	}
	b.WriteString(pick(m, "example.com.", "example.com.", "example.com.", "example.com.", "d.e.example.com.", "xample.com.", "com."))
	name := []byte(b.String())
	for i := range name {
		if m.IntN(3) == 0 {
			name[i] = bytes.ToUpper(name[i : i+1])[0]
		}
	}
	return string(name)
}

func (m maker) qtype() uint16 {
	if m.IntN(30) == 0 {
		return uint16(m.IntN(300))
	}
	return pick(m, dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS,
		dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypeANY, dns.TypeHTTPS, dns.TypeHTTPS, uint16(65280))
}

func (m maker) opt() *dns.OPT {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(pick(m, uint16(0), 512, 600, 1232, 4096, 65535))
	if m.IntN(2) == 0 {
		opt.SetDo()
	}
	if m.IntN(40) == 0 {
		opt.SetVersion(1)
	}
	if m.IntN(4) == 0 {
		opt.Option = append(opt.Option, rawOption(dns.EDNS0NSID))
	}
	if m.IntN(4) == 0 {
		opt.Option = append(opt.Option, rawOption(dns.EDNS0COOKIE, 1, 2, 3, 4, 5, 6, 7, 8))
	}
	if m.IntN(2) == 0 {
		opt.Option = append(opt.Option, rawOption(dns.EDNS0SUBNET, m.subnet()...))
	}
	return opt
}

// subnet makes the data of a client-subnet option, sound for the most part.
func (m maker) subnet() []byte {
	addr, family := m.source(), byte(familyIPv4)
	if m.IntN(8) == 0 {
		addr = netip.MustParseAddr(pick(m, "10.1.2.3", "192.168.1.1", "127.0.0.1", "0.0.0.0", "fe80::1", "::1", "fd00::1", "::ffff:11.16.0.1", "::ffff:192.168.0.0"))
	}
	if addr.Is6() {
		family = familyIPv6
	}
	prefix, _ := addr.Prefix(m.IntN(addr.BitLen() + 1))
	data := append([]byte{0, family, byte(prefix.Bits()), 0}, prefix.Addr().AsSlice()[:(prefix.Bits()+7)/8]...)
	if m.IntN(15) == 0 {
		data[m.IntN(len(data))] ^= 1 << m.IntN(8)
	}
	return data
}

// broken cuts, prolongs or changes a packet.
func (m maker) broken(packet []byte) []byte {
	switch m.IntN(3) {
	case 0:
		return packet[:m.IntN(len(packet)+1)]
	case 1:
		return append(packet, byte(m.Uint32()))
	}
	packet[m.IntN(len(packet))] ^= 1 << m.IntN(8)
	return packet
}
