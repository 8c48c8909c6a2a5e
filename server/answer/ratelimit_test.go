package answer

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
	"meridian/server/limit"
)

// limited returns paths of a server with a limit of 10 answers a second, 20 at once.
func limited(t *testing.T, more string) *paths {
	t.Helper()
	return newPaths(answertest.World(t, "nsid: test", "nsid: test, rate_limit: {rate: 10, instant: 20"+more+"}"))
}

// flood asks n times from a source at one time, and returns how many queries got a whole answer, TC, BADCOOKIE and none.
func flood(t *testing.T, r *Responder, n int, query *dns.Msg, source string, stream bool) (whole, tc, badCookie, none int) {
	t.Helper()
	packet, from := answertest.Packed(t, query), netip.MustParseAddr(source)
	for range n {
		out := r.Respond(nil, packet, from, stream)
		var m dns.Msg
		switch {
		case len(out) == 0:
			none++
			continue
		case m.Unpack(out) != nil:
			t.Fatalf("answer %x", out)
		}
		switch {
		case m.Truncated && len(m.Answer)+len(m.Ns) == 0 && len(out) <= len(packet):
			tc++
		case m.Rcode == dns.RcodeBadCookie:
			badCookie++
		default:
			whole++
		}
	}
	return whole, tc, badCookie, none
}

func TestRateLimit(t *testing.T) {
	www := answertest.Ask("www.example.com.", dns.TypeA)
	malformed := answertest.Ask("www.example.com.", dns.TypeA)
	malformed.Question = append(malformed.Question, malformed.Question[0])
	notify, version, signed, nsid := www.Copy(), answertest.WithOptions(www.Copy()), www.Copy(), answertest.WithOptions(www.Copy(), answertest.RawOption(dns.EDNS0NSID))
	notify.Opcode = dns.OpcodeNotify
	version.IsEdns0().SetVersion(1)
	signed.SetTsig("key.example.", dns.HmacSHA256, 300, time.Now().Unix())
	for _, c := range []struct {
		name, more, source string
		query              *dns.Msg
		stream             bool
		want               string // the answers to 100 queries beyond the first 30, which are within the limit
	}{
		{"truncated", "", "198.51.100.7", www, false, "0 100 0 0"},
		{"IPv6", "", "2001:db8::7", www, false, "0 100 0 0"},
		{"every fourth is truncated", ", slip: 4", "198.51.100.7", www, false, "0 25 0 75"},
		{"dropped", ", slip: 0", "198.51.100.7", www, false, "0 0 0 100"},
		{"with a client cookie", "", "198.51.100.7", withCookie("www.example.com.", dns.TypeA, []byte("12345678")), false, "0 0 100 0"},
		{"malformed", "", "198.51.100.7", malformed, false, "0 0 0 100"},
		{"NOTIFY", "", "198.51.100.7", notify, false, "0 0 0 100"},
		{"unknown EDNS version", "", "198.51.100.7", version, false, "0 0 0 100"},
		{"signed", "", "198.51.100.7", signed, false, "0 0 0 100"},
		{"with NSID", "", "198.51.100.7", nsid, false, "0 100 0 0"},
		{"another name", "", "198.51.100.7", answertest.Ask("www.example.org.", dns.TypeA), false, "0 100 0 0"},
		{"by TCP", "", "198.51.100.7", www, true, "100 0 0 0"},
		{"exempt", ", exempt: [198.51.100.0/24]", "198.51.100.7", www, false, "100 0 0 0"},
		{"not exempt", ", exempt: [198.51.101.0/24]", "198.51.100.7", www, false, "0 100 0 0"},
		{"dry run", ", dry_run: true", "198.51.100.7", www, false, "100 0 0 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := limited(t, c.more).wire
			flood(t, r, 30, c.query, c.source, c.stream)
			whole, tc, badCookie, none := flood(t, r, 100, c.query, c.source, c.stream)
			if got := fmt.Sprint(whole, tc, badCookie, none); got != c.want {
				t.Errorf("whole, TC, BADCOOKIE and none: %s, want %s", got, c.want)
			}
		})
	}
}

// TestBadCookieIsLimited floods a server that requires cookies with client cookies from a forged source: BADCOOKIE counts
// against the limit, and has only the cookie that the query has not.
func TestBadCookieIsLimited(t *testing.T) {
	p := limited(t, ", slip: 4}, cookies: {require: true")
	query := withCookie("www.example.com.", dns.TypeA, []byte("12345678"))
	query.IsEdns0().Option = append(query.IsEdns0().Option, answertest.RawOption(dns.EDNS0NSID))
	if out := p.wire.Respond(nil, answertest.Packed(t, query), netip.MustParseAddr(cookieClient), false); len(out) != query.Len()+limit.CookieSize-limit.ClientCookieSize-optionHead {
		t.Errorf("an answer of %d octets to a query of %d", len(out), query.Len())
	}
	flood(t, p.wire, 30, query, cookieClient, false)
	if whole, tc, badCookie, none := flood(t, p.wire, 100, query, cookieClient, false); badCookie != 25 || none != 75 {
		t.Errorf("whole %d, TC %d, BADCOOKIE %d, none %d; want 25 BADCOOKIE, 75 none", whole, tc, badCookie, none)
	}
	if whole, _, _, _ := flood(t, p.wire, 10, query, "192.0.2.7", true); whole != 10 {
		t.Errorf("over TCP, %d answers of 10", whole)
	}
}

// TestValidCookieIsNotLimited floods with forged queries from the address of a client that has a cookie.
func TestValidCookieIsNotLimited(t *testing.T) {
	p := limited(t, "")
	valid := learnCookie(t, p, cookieClient)
	flood(t, p.wire, 100, answertest.Ask("www.example.com.", dns.TypeA), cookieClient, false)
	if whole, tc, badCookie, none := flood(t, p.wire, 100, withCookie("www.example.com.", dns.TypeA, valid), cookieClient, false); whole != 100 {
		t.Errorf("whole %d, TC %d, BADCOOKIE %d, none %d", whole, tc, badCookie, none)
	}
	if whole, _, _, _ := flood(t, p.wire, 10, answertest.Ask("www.example.com.", dns.TypeA), "192.0.2.7", false); whole != 10 {
		t.Errorf("another client got %d answers of 10", whole)
	}
}

func TestRateLimitEnds(t *testing.T) {
	p := limited(t, "")
	www := answertest.Ask("www.example.com.", dns.TypeA)
	flood(t, p.wire, 100, www, cookieClient, false)
	p.time = p.time.Add(time.Second)
	if whole, tc, _, _ := flood(t, p.wire, 100, www, cookieClient, false); whole < 10 || whole > 12 || tc != 100-whole {
		t.Errorf("after a second of 10 answers, %d whole answers and %d with TC", whole, tc)
	}
}

// TestWorkersShareTheRate floods all workers from one source, and checks the bound of the documentation: a quarter more than
// the rate.
func TestWorkersShareTheRate(t *testing.T) {
	packet, source := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), netip.MustParseAddr(cookieClient)
	const step, seconds = 20 * time.Millisecond, 2
	for _, c := range []struct {
		rate, workers int
		listen        string
	}{{20, 8, `"127.0.0.1:0"`}, {20, 1, `"127.0.0.1:0"`}, {400, 8, `"127.0.0.1:0"`}, {2000, 4, `"127.0.0.1:0", "[::1]:0"`}} {
		p := newPaths(answertest.World(t, "workers: 1", fmt.Sprintf("workers: %d, rate_limit: {rate: %d, instant: 100}", c.workers, c.rate), `"127.0.0.1:0"]`, c.listen+"]"))
		engine := p.wire.engine
		responders := make([]*Responder, c.workers*len(engine.Settings().Listen))
		for i := range responders {
			responders[i] = engine.Responder()
		}
		for range seconds * int(time.Second/step) {
			for _, r := range responders {
				for range 3 + c.rate/100 {
					r.Respond(nil, packet, source, false)
				}
			}
			p.time = p.time.Add(step)
		}
		counted := engine.Counters()
		whole, least := counted.Queries-counted.RateTruncated, uint64(c.rate*seconds)
		if most := least*5/4 + 100 + 1; whole < least || whole > most {
			t.Errorf("rate %d, %d workers: %d answers of %d in %d s, want %d to %d", c.rate, len(responders), whole, counted.Queries, seconds, least, most)
		}
	}
}

// TestRateIsCounted checks that each action is counted, and that without a limit nothing is.
func TestRateIsCounted(t *testing.T) {
	www := answertest.Ask("www.example.com.", dns.TypeA)
	p := newPaths(answertest.World(t, "nsid: test", "rate_limit: {instant: 10}"))
	if p.wire.engine.current.Load().rates != nil || p.wire.engine.LimitedNetwork().IsValid() {
		t.Error("without a limit, queries are counted: this costs each of them more")
	}
	if whole, _, _, _ := flood(t, p.wire, 200, www, cookieClient, false); whole != 200 {
		t.Errorf("without a limit, %d of 200 queries got an answer", whole)
	}
	p = limited(t, ", dry_run: true")
	flood(t, p.wire, 200, www, cookieClient, false)
	if n := p.wire.engine.Counters().RateDryRun; n < 170 || n > 190 {
		t.Errorf("a dry run counted %d answers of 200 over the limit of 20", n)
	}
	p = limited(t, ", slip: 2")
	whole, tc, _, none := flood(t, p.wire, 100, www, cookieClient, false)
	_, _, badCookie, _ := flood(t, p.wire, 2, withCookie("www.example.com.", dns.TypeA, []byte("12345678")), cookieClient, false)
	c := p.wire.engine.Counters()
	if whole == 0 || tc == 0 || badCookie != 1 || c.RateTruncated != uint64(tc) || c.RateDropped != uint64(none)+1 || c.RateBadCookie != 1 || c.RateDryRun != 0 || c.Dropped != c.RateDropped {
		t.Errorf("whole %d, TC %d, none %d; counted %+v", whole, tc, none, c)
	}
	if c.Queries != 102 {
		t.Errorf("counted %d queries, want 102", c.Queries)
	}
}

// TestReloadKeepsRates checks that a reload with the same limit does not give a flood a new burst.
func TestReloadKeepsRates(t *testing.T) {
	p := limited(t, "")
	www := answertest.Ask("www.example.com.", dns.TypeA)
	flood(t, p.wire, 100, www, cookieClient, false)
	p.wire.engine.Replace(answertest.World(t, "nsid: test", "nsid: other, rate_limit: {rate: 10, instant: 20}"))
	if whole, _, _, _ := flood(t, p.wire, 100, www, cookieClient, false); whole != 0 {
		t.Errorf("after a reload, %d whole answers", whole)
	}
	p.wire.engine.Replace(answertest.World(t, "nsid: test", "rate_limit: {rate: 10, instant: 30}"))
	if whole, _, _, _ := flood(t, p.wire, 100, www, cookieClient, false); whole == 0 {
		t.Error("after a reload with another limit, no whole answer")
	}
}

func TestLimitedAnswersAllocateNothing(t *testing.T) {
	for _, slip := range []string{"", ", slip: 0"} {
		r := limited(t, slip).wire
		out := make([]byte, 0, 4096)
		for name, query := range answertest.BenchQueries(t) {
			if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
				t.Errorf("%s%s: %v allocations a query", name, slip, n)
			}
		}
	}
}
