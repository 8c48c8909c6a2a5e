package answer

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
	"meridian/server/limit"
)

const cookieClient = "198.51.100.7"

// withCookie returns a query with a COOKIE option.
func withCookie(name string, qtype uint16, cookie []byte) *dns.Msg {
	return answertest.WithOptions(answertest.Ask(name, qtype), answertest.RawOption(dns.EDNS0COOKIE, cookie...))
}

// cookieIn returns the cookie of an answer; nil if it has none.
func cookieIn(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			data, err := hex.DecodeString(c.Cookie)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	return nil
}

// learnCookie returns a valid cookie of a client.
func learnCookie(t *testing.T, p *paths, client string) []byte {
	t.Helper()
	cookie := cookieIn(t, exchange(t, p, answertest.Packed(t, withCookie("www.example.com.", dns.TypeA, []byte("12345678"))), client, false))
	if len(cookie) != limit.CookieSize {
		t.Fatalf("cookie %x", cookie)
	}
	return cookie
}

// TestCookies has one case for each kind of cookie, with and without require, over UDP and TCP.
func TestCookies(t *testing.T) {
	for _, require := range []string{"false", "true"} {
		p := newPaths(answertest.World(t, "nsid: test", "nsid: test, cookies: {require: "+require+"}"))
		valid := learnCookie(t, p, cookieClient)
		old := learnCookie(t, p, cookieClient)
		p.time = p.time.Add(40 * time.Minute)
		young := learnCookie(t, p, cookieClient)
		for _, c := range []struct {
			name    string
			cookie  []byte
			refused bool // if a cookie is required
			same    bool // the answer has the cookie of the query
			formErr bool
		}{
			{"client cookie", []byte("12345678"), true, false, false},
			{"valid", young, false, true, false},
			{"valid, old", old, false, false, false},
			{"of another client", learnCookie(t, p, "198.51.100.8"), true, false, false},
			{"longest", make([]byte, 40), true, false, false},
			{"shortest", make([]byte, 16), true, false, false},
			{"no octets", []byte{}, false, false, true},
			{"7 octets", valid[:7], false, false, true},
			{"9 octets", valid[:9], false, false, true},
			{"15 octets", valid[:15], false, false, true},
			{"41 octets", make([]byte, 41), false, false, true},
		} {
			t.Run("require="+require+"/"+c.name, func(t *testing.T) {
				for _, stream := range []bool{false, true} {
					answer := exchange(t, p, answertest.Packed(t, withCookie("www.example.com.", dns.TypeA, c.cookie)), cookieClient, stream)
					cookie, want, records := cookieIn(t, answer), dns.RcodeSuccess, 1
					switch {
					case c.formErr:
						want, records = dns.RcodeFormatError, 0
					case c.refused && require == "true" && !stream:
						want, records = dns.RcodeBadCookie, 0
					}
					if answer.Rcode != want || len(answer.Answer) != records {
						t.Errorf("stream %v: %v", stream, answer)
					}
					if c.formErr {
						if cookie != nil {
							t.Errorf("stream %v: cookie %x", stream, cookie)
						}
						continue
					}
					if same := string(cookie) == string(c.cookie); same != c.same || len(cookie) != limit.CookieSize {
						t.Errorf("stream %v: cookie %x to %x", stream, cookie, c.cookie)
					}
					again := exchange(t, p, answertest.Packed(t, withCookie("www.example.com.", dns.TypeA, cookie)), cookieClient, false)
					if again.Rcode != dns.RcodeSuccess {
						t.Errorf("stream %v: with the cookie of the answer %v", stream, again)
					}
				}
			})
		}
	}
}

// TestCookieWithoutQuestion asks for a cookie alone (RFC 7873 5.4).
func TestCookieWithoutQuestion(t *testing.T) {
	p := newPaths(answertest.World(t))
	for name, c := range map[string]struct {
		cookie []byte
		rcode  int
	}{
		"new":     {[]byte("12345678"), dns.RcodeSuccess},
		"valid":   {learnCookie(t, p, cookieClient), dns.RcodeSuccess},
		"invalid": {make([]byte, 24), dns.RcodeBadCookie},
	} {
		query := withCookie("www.example.com.", dns.TypeA, c.cookie)
		query.Question = nil
		answer := exchange(t, p, answertest.Packed(t, query), cookieClient, false)
		if answer.Rcode != c.rcode || len(answer.Question) != 0 || len(cookieIn(t, answer)) != limit.CookieSize {
			t.Errorf("%s: %v", name, answer)
		}
	}
	query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA))
	query.Question = nil
	if answer := exchange(t, p, answertest.Packed(t, query), cookieClient, false); answer.Rcode != dns.RcodeFormatError {
		t.Errorf("without a cookie: %v", answer)
	}
}

// TestSecondCookieIsIgnored checks that the first of several cookies counts (RFC 7873 4).
func TestSecondCookieIsIgnored(t *testing.T) {
	p := newPaths(answertest.World(t, "nsid: test", "cookies: {require: true}"))
	valid := answertest.RawOption(dns.EDNS0COOKIE, learnCookie(t, p, cookieClient)...)
	other := answertest.RawOption(dns.EDNS0COOKIE, 1, 2, 3, 4, 5, 6, 7, 8)
	for rcode, options := range map[int][]dns.EDNS0{dns.RcodeSuccess: {valid, other}, dns.RcodeBadCookie: {other, valid}} {
		query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), options...)
		if answer := exchange(t, p, answertest.Packed(t, query), cookieClient, false); answer.Rcode != rcode {
			t.Errorf("want rcode %d: %v", rcode, answer)
		}
	}
}

func TestUDPSizeWithoutCookie(t *testing.T) {
	p := newPaths(answertest.World(t, "nsid: test", "udp_size: 4096, udp_size_without_cookie: 600"))
	valid := learnCookie(t, p, cookieClient)
	for _, c := range []struct {
		name      string
		query     *dns.Msg
		stream    bool
		truncated bool
	}{
		{"no cookie", answertest.WithOptions(answertest.Ask("big.example.com.", dns.TypeTXT)), false, true},
		{"no cookie, TCP", answertest.WithOptions(answertest.Ask("big.example.com.", dns.TypeTXT)), true, false},
		{"client cookie", withCookie("big.example.com.", dns.TypeTXT, valid[:8]), false, true},
		{"invalid", withCookie("big.example.com.", dns.TypeTXT, make([]byte, 24)), false, true},
		{"valid", withCookie("big.example.com.", dns.TypeTXT, valid), false, false},
		{"small", answertest.WithOptions(answertest.Ask("mail.example.com.", dns.TypeTXT)), false, false},
	} {
		c.query.IsEdns0().SetUDPSize(4096)
		answer := exchange(t, p, answertest.Packed(t, c.query), cookieClient, c.stream)
		if answer.Truncated != c.truncated || (len(answer.Answer) == 0) != c.truncated {
			t.Errorf("%s: %v", c.name, answer)
		}
		if answer.IsEdns0().UDPSize() != 4096 {
			t.Errorf("%s: UDP size %d", c.name, answer.IsEdns0().UDPSize())
		}
	}
}

func TestCookiesAreCounted(t *testing.T) {
	p := newPaths(answertest.World(t))
	valid := learnCookie(t, p, cookieClient)
	r := p.wire
	before := r.engine.Counters().Cookies
	for cookie, times := range map[string]int{"12345678": 1, string(valid): 2, string(make([]byte, 24)): 3} {
		for range times {
			r.Respond(nil, answertest.Packed(t, withCookie("www.example.com.", dns.TypeA, []byte(cookie))), netip.MustParseAddr(cookieClient), false)
		}
	}
	after := r.engine.Counters().Cookies
	for result, want := range []uint64{1, 2, 3} {
		if got := after[result] - before[result]; got != want {
			t.Errorf("%s: counted %d, want %d", limit.CookieResult(result), got, want)
		}
	}
}

// TestReloadKeepsRandomSecret checks that cookies are valid after a reload.
func TestReloadKeepsRandomSecret(t *testing.T) {
	p := newPaths(answertest.World(t))
	valid := learnCookie(t, p, cookieClient)
	p.wire.engine.Replace(answertest.World(t, "nsid: test", "cookies: {require: true}"))
	if answer := exchange(t, p, answertest.Packed(t, withCookie("www.example.com.", dns.TypeA, valid)), cookieClient, false); answer.Rcode != dns.RcodeSuccess {
		t.Errorf("%v", answer)
	}
}

func BenchmarkRespondNewCookie(b *testing.B) { benchmarkRespond(b, "NewCookie") }

// BenchmarkRespondCookie measures BenchmarkRespondBalanced with a valid cookie.
func BenchmarkRespondCookie(b *testing.B) {
	r := newEngine(answertest.World(b), nil).Responder()
	var cookie [limit.CookieSize]byte
	r.engine.cookies.Check(&cookie, []byte("12345678"), answertest.BenchSource, time.Now().Unix())
	query := answertest.Packed(b, withCookie("www.example.com.", dns.TypeA, cookie[:]))
	out := make([]byte, 0, 4096)
	r.Acquire()
	defer r.Release()
	b.ReportAllocs()
	for b.Loop() {
		out = r.Answer(out[:0], query, answertest.BenchSource, false)
	}
}
