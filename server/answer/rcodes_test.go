package answer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// exchange asks both paths, which must agree, and returns the answer; nil if there is none.
func exchange(t *testing.T, p *paths, packet []byte, source string, stream bool) *dns.Msg {
	t.Helper()
	from := netip.MustParseAddr(source)
	fast := p.wire.Respond(nil, packet, from, stream)
	slow := p.full.Respond(nil, packet, from, stream)
	if !bytes.Equal(fast, slow) {
		t.Errorf("the paths differ\nwire %x\nfull %x", fast, slow)
	}
	if len(fast) == 0 {
		return nil
	}
	p.checkSize(t, fast, stream)
	m := new(dns.Msg)
	if err := m.Unpack(fast); err != nil {
		t.Fatalf("answer %x: %v", fast, err)
	}
	return m
}

// TestOutcomeOfUnusualQueries has one case for each row of Responder.reply's table, and for each kind
// of FORMERR.
func TestOutcomeOfUnusualQueries(t *testing.T) {
	usual := func() *dns.Msg { return answertest.Ask("www.example.com.", dns.TypeA) }
	octets := func(m *dns.Msg, edit func([]byte) []byte) []byte { return edit(answertest.Packed(t, m)) }
	with := func(edit func(*dns.Msg)) []byte { m := usual(); edit(m); return answertest.Packed(t, m) }
	record := func(rr dns.RR) []byte { return with(func(m *dns.Msg) { m.Extra = append(m.Extra, rr) }) }
	class := func(name string, class, qtype uint16) []byte {
		return with(func(m *dns.Msg) { m.Question[0] = dns.Question{Name: name, Qtype: qtype, Qclass: class} })
	}
	opt := func(options ...dns.EDNS0) []byte {
		return answertest.Packed(t, answertest.WithOptions(usual(), options...))
	}
	typed := func(qtype uint16) []byte { return answertest.Packed(t, answertest.Ask("www.example.com.", qtype)) }
	bare := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 1232}}
	named := &dns.OPT{Hdr: dns.RR_Header{Name: "a.", Rrtype: dns.TypeOPT, Class: 1232}}
	const silence = -1
	snapshot := answertest.World(t)

	for name, c := range map[string]struct {
		packet []byte
		want   int
	}{
		"usual":                     {answertest.Packed(t, usual()), dns.RcodeSuccess},
		"empty":                     {nil, silence},
		"header cut":                {answertest.Packed(t, usual())[:11], silence},
		"answer":                    {with(func(m *dns.Msg) { m.Response = true }), silence},
		"header only":               {answertest.Packed(t, usual())[:12], dns.RcodeFormatError},
		"no question":               {with(func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		"two questions":             {with(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		"question cut":              {answertest.Packed(t, usual())[:20], dns.RcodeFormatError},
		"question of pointers":      {octets(usual(), func(p []byte) []byte { p[12], p[13] = 0xc0, 0; return p }), dns.RcodeFormatError},
		"label type 01":             {octets(usual(), func(p []byte) []byte { p[12] |= 0x40; return p }), dns.RcodeFormatError},
		"octets behind the message": {append(answertest.Packed(t, usual()), 0), dns.RcodeFormatError},
		"record promised":           {octets(usual(), func(p []byte) []byte { p[11] = 1; return p }), dns.RcodeFormatError},
		"name too long":             {append(append(make([]byte, 5, 400), append([]byte{1, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{1, 'a'}, 128)...)...), 0, 0, 1, 0, 1), dns.RcodeFormatError},
		"two OPT records":           {with(func(m *dns.Msg) { m.Extra = []dns.RR{bare, bare} }), dns.RcodeFormatError},
		"OPT of a name":             {record(named), dns.RcodeFormatError},
		"OPT cut":                   {octets(answertest.WithOptions(usual()), func(p []byte) []byte { return p[:len(p)-1] }), dns.RcodeFormatError},
		"option longer than OPT":    {octets(answertest.WithOptions(usual(), answertest.RawOption(65001, 1, 2)), func(p []byte) []byte { p[len(p)-3] = 9; return p }), dns.RcodeFormatError},
		"EDNS version 1":            {with(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		"cookie":                    {opt(answertest.RawOption(dns.EDNS0EXPIRE)), dns.RcodeSuccess},
		"option nobody knows":       {opt(answertest.RawOption(65001, 1, 2, 3)), dns.RcodeSuccess},
		"another additional record": {record(&dns.A{Hdr: dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeA, Class: 1}, A: []byte{1, 2, 3, 4}}), dns.RcodeSuccess},
		"TSIG":                      {record(aTSIG(dns.ClassANY)), dns.RcodeNotAuth},
		"TSIG of class IN":          {record(aTSIG(dns.ClassINET)), dns.RcodeFormatError},
		"TSIG before OPT":           {with(func(m *dns.Msg) { m.Extra = []dns.RR{aTSIG(dns.ClassANY), bare} }), dns.RcodeFormatError},
		"notify":                    {with(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), dns.RcodeNotAuth},
		"update":                    {with(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		"opcode 15, malformed":      {octets(usual(), func(p []byte) []byte { p[2] |= 15 << 3; return p[:15] }), dns.RcodeNotImplemented},
		"AXFR":                      {typed(dns.TypeAXFR), dns.RcodeRefused},
		"IXFR":                      {typed(dns.TypeIXFR), dns.RcodeRefused},
		"MAILB":                     {typed(dns.TypeMAILB), dns.RcodeNotImplemented},
		"TKEY":                      {typed(dns.TypeTKEY), dns.RcodeNotImplemented},
		"type 0":                    {typed(0), dns.RcodeFormatError},
		"type OPT":                  {typed(dns.TypeOPT), dns.RcodeFormatError},
		"type 200":                  {typed(200), dns.RcodeFormatError},
		"type 65280":                {typed(65280), dns.RcodeSuccess},
		"class ANY":                 {class("www.example.com.", dns.ClassANY, dns.TypeA), dns.RcodeRefused},
		"class HS":                  {class("www.example.com.", dns.ClassHESIOD, dns.TypeA), dns.RcodeRefused},
		"version.bind":              {class("VERSION.bind.", dns.ClassCHAOS, dns.TypeTXT), dns.RcodeSuccess},
		"version.bind ANY":          {class("version.bind.", dns.ClassCHAOS, dns.TypeANY), dns.RcodeSuccess},
		"version.bind A":            {class("version.bind.", dns.ClassCHAOS, dns.TypeA), dns.RcodeRefused},
		"authors.bind":              {class("authors.bind.", dns.ClassCHAOS, dns.TypeTXT), dns.RcodeRefused},
		"id.server":                 {class("id.server.", dns.ClassCHAOS, dns.TypeTXT), dns.RcodeSuccess},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPaths(snapshot)
			got := silence
			answer := exchange(t, p, c.packet, "198.51.100.7", false)
			if answer != nil {
				got = answer.Rcode
			}
			if got != c.want {
				t.Errorf("rcode %d, want %d: %v", got, c.want, answer)
			}
			counters := p.wire.engine.Counters()
			if counters.Panics != 0 || counters.Queries != 2 || got == silence && counters.Dropped != 2 || got != silence && counters.Rcodes[got] != 2 {
				t.Errorf("counters %+v", counters)
			}
		})
	}
}

func aTSIG(class uint16) *dns.TSIG {
	return &dns.TSIG{
		Hdr:       dns.RR_Header{Name: "key.", Rrtype: dns.TypeTSIG, Class: class},
		Algorithm: dns.HmacSHA256, TimeSigned: 1700000000, Fudge: 300, MACSize: 4, MAC: "01020304", OrigId: 77,
	}
}

func TestTSIGIsAnsweredWithBADKEYUnsigned(t *testing.T) {
	p := newPaths(answertest.World(t))
	query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA))
	query.Extra = append(query.Extra, aTSIG(dns.ClassANY))
	answer := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", true)
	tsig := answer.IsTsig()
	if tsig == nil || tsig.Error != dns.RcodeBadKey || tsig.MACSize != 0 || tsig.Hdr.Name != "key." || tsig.OrigId != 77 || tsig.TimeSigned != 1700000000 {
		t.Errorf("TSIG of the answer: %v", tsig)
	}
	if len(answer.Answer) != 0 || answer.IsEdns0() == nil {
		t.Errorf("answer: %v", answer)
	}
}

func TestHeaderBitsOfAnswers(t *testing.T) {
	p := newPaths(answertest.World(t))
	for _, name := range []string{"www.example.com.", "alias.example.com.", "www.example.org."} {
		for bits := range 16 {
			query := answertest.WithOptions(answertest.Ask(name, dns.TypeA))
			query.RecursionDesired, query.CheckingDisabled = bits&1 != 0, bits&2 != 0
			query.AuthenticatedData, query.Zero = bits&4 != 0, bits&8 != 0
			query.Truncated, query.RecursionAvailable, query.Authoritative = bits&4 != 0, bits&8 != 0, bits&4 != 0
			answer := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", false)
			if answer.Id != query.Id || !answer.Response || answer.RecursionDesired != query.RecursionDesired || answer.CheckingDisabled != query.CheckingDisabled {
				t.Errorf("%s: %v to %v", name, answer, query)
			}
			if answer.RecursionAvailable || answer.AuthenticatedData || answer.Zero || answer.Truncated || answer.Authoritative != (name != "www.example.org.") {
				t.Errorf("%s: %v to %v", name, answer, query)
			}
		}
	}
}

func TestEDNSOfAnswers(t *testing.T) {
	p := newPaths(answertest.World(t))
	if opt := exchange(t, p, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), "198.51.100.7", false).IsEdns0(); opt != nil {
		t.Errorf("OPT without having been asked: %v", opt)
	}
	query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0EXPIRE))
	opt := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", false).IsEdns0()
	if opt.UDPSize() != 1232 || opt.Do() || opt.Version() != 0 || len(opt.Option) != 0 {
		t.Errorf("OPT: %v", opt)
	}
	query = answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0NSID))
	query.IsEdns0().SetDo()
	opt = exchange(t, p, answertest.Packed(t, query), "198.51.100.7", false).IsEdns0()
	if !opt.Do() || len(opt.Option) != 1 || opt.Option[0].String() != "74657374" {
		t.Errorf("OPT: %v", opt)
	}
}

func TestTruncationKeepsQuestionAndOPT(t *testing.T) {
	p := newPaths(answertest.World(t))
	query := answertest.WithOptions(answertest.Ask("big.example.com.", dns.TypeTXT), answertest.RawOption(dns.EDNS0NSID))
	for _, c := range []struct {
		size   uint16
		stream bool
		tc     bool
	}{{0, false, true}, {512, false, true}, {4096, false, true}, {4096, true, false}, {512, true, false}} {
		query.IsEdns0().SetUDPSize(c.size)
		answer := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", c.stream)
		if answer.Truncated != c.tc || c.tc != (len(answer.Answer) == 0) {
			t.Errorf("size %d, stream %v: %v", c.size, c.stream, answer)
		}
		if len(answer.Question) != 1 || answer.IsEdns0() == nil || len(answer.IsEdns0().Option) != 1 {
			t.Errorf("size %d, stream %v: %v", c.size, c.stream, answer)
		}
	}
	if n := p.wire.engine.Counters().Truncated; n != 6 {
		t.Errorf("%d answers counted as truncated, want 6", n)
	}
}

// TestTruncationIsExact tries sizes around that of the whole answer; owners at the root
// are shorter.
func TestTruncationIsExact(t *testing.T) {
	usual := newPaths(answertest.World(t, "server: {", "server: {udp_size: 4096, "))
	var members strings.Builder
	for i := range 50 {
		fmt.Fprintf(&members, "{name: m%d, addresses: [192.0.2.%d]}, ", i, i)
	}
	root := newPaths(answertest.Build(t, `
server: {listen: ["127.0.0.1:0"], udp_size: 4096}
regions: {us: {location: [39, -77]}}
pools: {web: {policy: weighted, answers: 0, members: [`+members.String()+`]}}
zones: {.: {file: example.com.zone, names: {"@": {pool: web}}}}
`, "$ORIGIN .\n$TTL 300\n. SOA ns. h. 1 2 3 4 5\n. NS ns.\nns. A 192.0.2.1\n"+
		". TXT "+strings.Repeat("x", 200)+"\n. TXT "+strings.Repeat("y", 200)+"\n. TXT "+strings.Repeat("z", 200)+"\n"))
	for _, c := range []struct {
		paths *paths
		name  string
		qtype uint16
	}{{usual, "big.example.com.", dns.TypeTXT}, {root, ".", dns.TypeTXT}, {root, ".", dns.TypeA}} {
		query := answertest.WithOptions(answertest.Ask(c.name, c.qtype))
		whole := len(c.paths.wire.Respond(nil, answertest.Packed(t, query), answertest.BenchSource, true))
		for size := whole - 2; size <= whole+2; size++ {
			query.IsEdns0().SetUDPSize(uint16(size))
			if answer := exchange(t, c.paths, answertest.Packed(t, query), "198.51.100.7", false); answer.Truncated != (size < whole) {
				t.Errorf("%s: %d octets into %d: truncated %v", c.name, whole, size, answer.Truncated)
			}
		}
	}
}

// TestLongNSIDAfterLongQuestion checks that a question and an NSID fit in exactly 512 octets,
// and not with one octet more.
func TestLongNSIDAfterLongQuestion(t *testing.T) {
	for _, c := range []struct {
		nsid int
		tc   bool // NSID is present, and there is no room for anything else
	}{{512 - 253 - optFixed - optionHead, true}, {512 - 253 - optFixed - optionHead + 1, false}, {255, false}} {
		p := newPaths(answertest.World(t, "nsid: test", "nsid: "+strings.Repeat("n", c.nsid)))
		for _, zone := range []string{"example.com.", "example.org."} {
			name := strings.Repeat(strings.Repeat("l", 55)+".", 4) + zone
			query := answertest.WithOptions(answertest.Ask(name, dns.TypeA), answertest.RawOption(dns.EDNS0NSID))
			query.IsEdns0().SetUDPSize(512)
			answer := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", false)
			if has := slices.ContainsFunc(answer.IsEdns0().Option, isNSID); has != c.tc || zone == "example.com." && answer.Truncated != c.tc {
				t.Errorf("%s, NSID of %d: %v", zone, c.nsid, answer)
			}
			if answer := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", true); !slices.ContainsFunc(answer.IsEdns0().Option, isNSID) {
				t.Errorf("%s, NSID of %d, by TCP: %v", zone, c.nsid, answer)
			}
		}
	}
}

func isNSID(option dns.EDNS0) bool { return option.Option() == dns.EDNS0NSID }

// TestTSIGThatDoesNotFitIsLeftOut signs with names that alone are 512 octets.
func TestTSIGThatDoesNotFitIsLeftOut(t *testing.T) {
	p := newPaths(answertest.World(t))
	long := strings.Repeat(strings.Repeat("k", 62)+".", 4)
	query := answertest.Ask("www.example.com.", dns.TypeA)
	tsig := aTSIG(dns.ClassANY)
	tsig.Hdr.Name, tsig.Algorithm = long, long
	query.Extra = append(query.Extra, tsig)
	for _, stream := range []bool{false, true} {
		answer := exchange(t, p, answertest.Packed(t, query), "198.51.100.7", stream)
		if answer.Rcode != dns.RcodeNotAuth || answer.Truncated || (answer.IsTsig() != nil) != stream {
			t.Errorf("stream %v: %v", stream, answer)
		}
	}
}

// TestAddressesBeyondAFrameAreLeftOut checks that an answer longer than a TCP frame has as many
// of the addresses as fit.
func TestAddressesBeyondAFrameAreLeftOut(t *testing.T) {
	const count = 3000
	var members strings.Builder
	for i := range count {
		fmt.Fprintf(&members, "      - {name: m%d, addresses: [10.1.%d.%d, \"2001:db8::%x\"]}\n", i, i>>8, i&0xff, i)
	}
	p := newPaths(answertest.World(t,
		"  gone:\n", "  many:\n    policy: weighted\n    answers: 0\n    members:\n"+members.String()+"  gone:\n",
		"      www: {pool: near}", "      www: {pool: many}"))
	for _, c := range []struct {
		name  string
		qtype uint16
		all   bool
	}{{"www", dns.TypeA, true}, {"www", dns.TypeAAAA, false}, {"alias", dns.TypeAAAA, false}, {"chain", dns.TypeAAAA, false}} {
		for _, options := range [][]dns.EDNS0{{}, {answertest.RawOption(dns.EDNS0NSID)}, {answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 51, 100)}} {
			query := answertest.Packed(t, answertest.WithOptions(answertest.Ask(c.name+".example.com.", c.qtype), options...))
			if answer := exchange(t, p, query, "198.51.100.7", false); !answer.Truncated || len(answer.Answer) != 0 {
				t.Errorf("%s by UDP: %d records, truncated %v", c.name, len(answer.Answer), answer.Truncated)
			}
			whole := p.wire.Respond(nil, query, answertest.BenchSource, true)
			answer := exchange(t, p, query, "198.51.100.7", true)
			if answer.Truncated || len(whole) < MaxSize-100 && !c.all || c.all && len(answer.Answer) != count {
				t.Errorf("%s by TCP: %d octets, %d records, truncated %v", c.name, len(whole), len(answer.Answer), answer.Truncated)
			}
		}
	}
}

func TestAnswerKeepsCaseOfQuestion(t *testing.T) {
	p := newPaths(answertest.World(t))
	for _, name := range []string{"wWw.ExAmPlE.cOm.", "Q.T.eXample.com.", "ALIAS.example.COM.", "NOTHING.EXAMPLE.COM.", "a.SUB.Example.com.", "X.tree.EXAMPLE.com."} {
		answer := exchange(t, p, answertest.Packed(t, answertest.Ask(name, dns.TypeA)), "198.51.100.7", false)
		if answer.Question[0].Name != name {
			t.Errorf("question %s came back as %s", name, answer.Question[0].Name)
		}
		for _, rr := range answer.Answer[:min(1, len(answer.Answer))] {
			if owner := rr.Header().Name; !strings.HasSuffix(name, owner) {
				t.Errorf("question %s: owner %s", name, owner)
			}
		}
	}
}

func TestAliases(t *testing.T) {
	p := newPaths(answertest.World(t))
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string // types and owners of the answer, then of the authority section
	}{
		{"alias", dns.TypeA, dns.RcodeSuccess, "CNAME alias A www"},
		{"chain", dns.TypeAAAA, dns.RcodeSuccess, "CNAME chain CNAME alias AAAA www"},
		{"chain", dns.TypeCNAME, dns.RcodeSuccess, "CNAME chain"},
		{"chain", dns.TypeANY, dns.RcodeSuccess, "CNAME chain"},
		{"chain", dns.TypeMX, dns.RcodeSuccess, "CNAME chain CNAME alias / SOA @"},
		{"away", dns.TypeA, dns.RcodeSuccess, "CNAME away"},
		{"loop", dns.TypeA, dns.RcodeSuccess, "CNAME loop CNAME pool"},
		{"dangle", dns.TypeA, dns.RcodeNameError, "CNAME dangle / SOA @"},
		{"tocut", dns.TypeA, dns.RcodeSuccess, "CNAME tocut / NS sub NS sub"},
		{"x.wc", dns.TypeA, dns.RcodeSuccess, "CNAME x.wc A www"},
		{"x.tree", dns.TypeA, dns.RcodeSuccess, "DNAME tree CNAME x.tree A x.near.t"},
		{"x.tree", dns.TypeCNAME, dns.RcodeSuccess, "DNAME tree CNAME x.tree"},
		{"x.tree", dns.TypeANY, dns.RcodeSuccess, "DNAME tree CNAME x.tree"},
		{"tree", dns.TypeDNAME, dns.RcodeSuccess, "DNAME tree"},
		{strings.Repeat("a", 63) + ".over", dns.TypeA, dns.RcodeSuccess, "DNAME over CNAME " + strings.Repeat("a", 63) + ".over"},
		{strings.Repeat(strings.Repeat("a", 40)+".", 4) + "over", dns.TypeA, dns.RcodeYXDomain, "DNAME over"},
	} {
		answer := exchange(t, p, answertest.Packed(t, answertest.Ask(c.name+".example.com.", c.qtype)), "198.51.100.7", true)
		if got := outline(answer); got != c.want || answer.Rcode != c.rcode || !answer.Authoritative {
			t.Errorf("%s %s: %s\n%v\nwant %s", c.name, dns.TypeToString[c.qtype], got, answer, c.want)
		}
	}
}

// outline returns the types and owners of an answer.
func outline(m *dns.Msg) string {
	var words []string
	add := func(rrs []dns.RR) {
		for _, rr := range rrs {
			owner := strings.TrimSuffix(rr.Header().Name, "example.com.")
			if owner = strings.TrimSuffix(owner, "."); owner == "" {
				owner = "@"
			}
			words = append(words, dns.TypeToString[rr.Header().Rrtype], owner)
		}
	}
	add(m.Answer)
	if len(m.Ns) > 0 {
		words = append(words, "/")
	}
	add(m.Ns)
	return strings.Join(words, " ")
}

func TestSynthesizedCNAMEHasTheTTLOfItsDNAME(t *testing.T) {
	p := newPaths(answertest.World(t))
	answer := exchange(t, p, answertest.Packed(t, answertest.Ask("X.y.Tree.example.com.", dns.TypeA)), "198.51.100.7", false)
	cname := answer.Answer[1].(*dns.CNAME)
	if cname.Hdr.Ttl != 300 || cname.Target != "X.y.near.t.example.com." {
		t.Errorf("synthesized %v", cname)
	}
}

func TestANYReturnsOneRRset(t *testing.T) {
	p := newPaths(answertest.World(t))
	for name, want := range map[string]string{
		"mail.example.com.":    "A mail", // smaller than its TXT
		"www.example.com.":     "A www",
		"gone.example.com.":    "/ SOA @",
		"er.example.com.":      "/ SOA @",
		"q.wild.example.com.":  "TXT q.wild",
		"a.sub.example.com.":   "/ NS sub NS sub",
		"nothing.example.com.": "/ SOA @",
	} {
		if got := outline(exchange(t, p, answertest.Packed(t, answertest.Ask(name, dns.TypeANY)), "198.51.100.7", false)); got != want {
			t.Errorf("%s ANY: %s, want %s", name, got, want)
		}
	}
}

func TestOwnersPointToQuestion(t *testing.T) {
	p := newPaths(answertest.World(t))
	for _, name := range []string{"www.example.com.", "a.b.t.example.com."} {
		query := answertest.Packed(t, answertest.Ask(name, dns.TypeA))
		answer := p.wire.Respond(nil, query, answertest.BenchSource, false)
		if got := binary.BigEndian.Uint16(answer[len(query):]); got != 0xc00c {
			t.Errorf("%s: owner %#x, want a pointer to the question", name, got)
		}
		if len(answer) != len(query)+16 {
			t.Errorf("%s: answer of %d octets, want %d", name, len(answer), len(query)+16)
		}
	}
}

func TestPanicIsAnsweredSERVFAILAndCounted(t *testing.T) {
	s := newEngine(answertest.World(t), func() uint64 { panic("a fault of ours") })
	r := s.Responder()
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	out := r.Respond([]byte("before"), query, answertest.BenchSource, false)
	var m dns.Msg
	if err := m.Unpack(out[len("before"):]); err != nil || m.Rcode != dns.RcodeServerFailure || len(m.Question) != 1 {
		t.Errorf("%v: %v", err, &m)
	}
	out = r.Respond(nil, answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA)), answertest.BenchSource, false)
	if err := m.Unpack(out); err != nil || len(m.Answer) != 1 {
		t.Errorf("after a panic: %v: %v", err, &m)
	}
	if c := s.Counters(); c.Panics != 1 || c.Rcodes[dns.RcodeServerFailure] != 1 {
		t.Errorf("counters %+v", c)
	}
}

// TestOPTIsAnsweredForAnyQuestionCount checks that an answer has an OPT record if the query has
// one, even with no or two questions (RFC 6891 6.1.1).
func TestOPTIsAnsweredForAnyQuestionCount(t *testing.T) {
	p := newPaths(answertest.World(t))
	for n := range 3 {
		m := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA))
		m.Question = []dns.Question{m.Question[0], m.Question[0]}[:n]
		want := dns.RcodeFormatError
		if n == 1 {
			want = dns.RcodeSuccess
		}
		answer := exchange(t, p, answertest.Packed(t, m), "198.51.100.7", false)
		if answer.Rcode != want || answer.IsEdns0() == nil {
			t.Errorf("%d questions with an OPT record got %v", n, answer)
		}
	}
}
