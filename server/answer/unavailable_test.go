package answer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const secondaryConfig = `
zones:
  example.com:
    file: example.com.zone
  copied.test:
    primaries: [{address: 192.0.2.1}, {address: 192.0.2.2, key: xfr}]
`

const aliasZone = `$TTL 300
@ SOA ns.example.net. host 7 7200 3600 604800 60
@ NS ns.example.net.
away CNAME www.copied.test.
`

// copied returns a snapshot with a copy of zone copied.test that was confirmed at a time; zero: without one.
func copiedWorld(t *testing.T, confirmed time.Time) *snapshot.Snapshot {
	t.Helper()
	s := answertest.Build(t, strings.Replace(secondaryConfig, ", key: xfr", "", 1), aliasZone)
	if confirmed.IsZero() {
		return s
	}
	return answertest.WithCopy(t, s, "copied.test.", confirmed,
		"copied.test. 300 IN SOA ns.example.net. host.copied.test. 9 60 60 3600 60", "copied.test. 300 IN NS ns.example.net.", "www.copied.test. 300 IN A 192.0.2.80")
}

func TestZoneWithoutDataIsServfail(t *testing.T) {
	for name, c := range map[string]struct {
		confirmed time.Time
		rcode     int
		ede       uint16
		why       string
	}{
		"no copy yet": {time.Time{}, dns.RcodeServerFailure, dns.ExtendedErrorCodeNotReady, "no primary has sent zone copied.test. yet"},
		"expired":     {time.Now().Add(-2 * time.Hour), dns.RcodeServerFailure, dns.ExtendedErrorCodeInvalidData, "zone copied.test. has expired: no primary has confirmed it for the time in its SOA record"},
		"current":     {time.Now(), dns.RcodeSuccess, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := copiedWorld(t, c.confirmed)
			p := newPaths(s)
			for _, owner := range []string{"www.copied.test.", "copied.test.", "WWW.copied.test."} {
				qtype := dns.TypeA
				if !strings.Contains(strings.ToLower(owner), "www") {
					qtype = dns.TypeSOA
				}
				got := exchange(t, p, answertest.Packed(t, answertest.WithOptions(answertest.Ask(owner, qtype))), "198.51.100.7", false)
				if got.Rcode != c.rcode || extendedError(got) != c.ede || (len(got.Answer) == 1) != (c.rcode == dns.RcodeSuccess) {
					t.Errorf("%s: %v, want rcode %d and extended error %d", owner, got, c.rcode, c.ede)
				}
			}
			got := exchange(t, p, answertest.Packed(t, answertest.Ask("away.example.com.", dns.TypeA)), "198.51.100.7", false)
			if got.Rcode != dns.RcodeSuccess || len(got.Answer) == 0 {
				t.Errorf("an alias to the zone: %v", got)
			}
			traced := Trace(s, ExplainQuery{Name: "www.copied.test.", Type: dns.TypeA})
			if traced.Why != c.why {
				t.Errorf("explained as %q, want %q", traced.Why, c.why)
			}
			if c.why == "" && (len(traced.Notes) != 1 || traced.Notes[0] != "zone copied.test. is a copy of serial 9 from 192.0.2.1:53") {
				t.Errorf("notes %q", traced.Notes)
			}
		})
	}
}

// extendedError returns the extended error of an answer; 0: none.
func extendedError(msg *dns.Msg) uint16 {
	if opt := msg.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return 0
}

// TestNotificationsOfPrimariesAreAccepted has cases for each row of answerNotify's table.
func TestNotificationsOfPrimariesAreAccepted(t *testing.T) {
	s := keyedWorld(t, "  example.com:\n", "  copied.test: {primaries: [{address: 192.0.2.1}, {address: 192.0.2.2, key: xfr}]}\n  example.com:\n")
	p := newPaths(s)
	var notified []dnsname.Name
	p.full.engine.OnNotify(func(name dnsname.Name) { notified = append(notified, name) })
	for name, c := range map[string]struct {
		zone, source, key string
		rcode             int
	}{
		"from a primary":              {"Copied.test.", "192.0.2.1", "", dns.RcodeSuccess},
		"from another server":         {"copied.test.", "192.0.2.3", "", dns.RcodeRefused},
		"without the key":             {"copied.test.", "192.0.2.2", "", dns.RcodeRefused},
		"with the key":                {"copied.test.", "192.0.2.2", "xfr.", dns.RcodeSuccess},
		"below the zone":              {"www.copied.test.", "192.0.2.1", "", dns.RcodeNotAuth},
		"of another zone":             {"example.org.", "192.0.2.1", "", dns.RcodeNotAuth},
		"of a zone without primaries": {"example.com.", "192.0.2.1", "", dns.RcodeRefused},
	} {
		notified = nil
		query := new(dns.Msg).SetNotify(c.zone)
		packet := answertest.Packed(t, query)
		if c.key != "" {
			packet, _ = signedQuery(t, query, c.key, tsigSecret, p.time.Unix())
		}
		got := new(dns.Msg)
		if err := got.Unpack(p.full.Respond(nil, packet, netip.MustParseAddr(c.source), false)); err != nil {
			t.Fatal(err)
		}
		accepted := c.rcode == dns.RcodeSuccess
		if got.Rcode != c.rcode || got.Opcode != dns.OpcodeNotify || got.Authoritative != accepted {
			t.Errorf("%s: %v, want rcode %d", name, got, c.rcode)
		}
		if (len(notified) == 1) != accepted || accepted && notified[0] != "copied.test." {
			t.Errorf("%s: notified of %q", name, notified)
		}
	}
}
