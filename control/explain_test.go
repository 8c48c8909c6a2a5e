package control

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

func TestExplainMatchesServing(t *testing.T) {
	snapshot := answertest.World(t)
	r := server.New(snapshot, server.Options{}).Responder()
	for _, name := range []string{"www", "six.www", "alias", "mail", "nothing", "a.sub", "gone", "x.tree", "a.t", "loop"} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeANY, dns.TypeAXFR} {
			query := answertest.Ask(name+".example.com.", qtype)
			query = answertest.WithOptions(query, answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 51, 100))
			var reply dns.Msg
			if err := reply.Unpack(r.Respond(nil, answertest.Packed(t, query), netip.MustParseAddr("203.0.113.9"), true)); err != nil {
				t.Fatal(err)
			}
			e := Explain(snapshot, answer.ExplainQuery{
				Name: dnsname.Name(name + ".example.com."), Type: qtype,
				Client: netip.MustParsePrefix("198.51.100.0/24"), Resolver: netip.MustParseAddr("203.0.113.9"),
			})
			if e.Rcode != dns.RcodeToString[reply.Rcode] || len(e.Answers) != len(reply.Answer) {
				t.Fatalf("%s %d: explained %+v, served %v", name, qtype, e, &reply)
			}
			for i, rr := range reply.Answer {
				if got := e.Answers[i]; got.Name != rr.Header().Name || got.TTL != rr.Header().Ttl || !strings.HasSuffix(rr.String(), got.Data) {
					t.Errorf("%s %d: explained %+v, served %v", name, qtype, got, rr)
				}
			}
			if subnet := reply.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); int(subnet.SourceScope) != e.Scope {
				t.Errorf("%s %d: explained scope %d, served %d", name, qtype, e.Scope, subnet.SourceScope)
			}
		}
	}
}

func TestExplainReportsDecidingClient(t *testing.T) {
	snapshot, off := answertest.World(t), answertest.World(t, "server: {", "server: {ecs: false, ")
	ecs, resolver := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("203.0.113.9")
	private := netip.MustParsePrefix("10.0.0.0/16")
	for _, c := range []struct {
		what                  string
		asked                 answer.ExplainQuery
		off                   bool
		client, source, reply string
	}{
		{"client subnet", answer.ExplainQuery{Client: ecs, Resolver: resolver}, false, "198.51.100.0/24", "ecs", "192.0.2.1"},
		{"client subnet alone", answer.ExplainQuery{Client: ecs}, false, "198.51.100.0/24", "ecs", "192.0.2.1"},
		{"private subnet", answer.ExplainQuery{Client: private, Resolver: resolver}, false, "203.0.113.9", "resolver", "192.0.2.3"},
		{"private subnet alone", answer.ExplainQuery{Client: private}, false, "10.0.0.0", "default", "192.0.2.1"},
		{"resolver", answer.ExplainQuery{Resolver: resolver}, false, "203.0.113.9", "resolver", "192.0.2.3"},
		{"nobody", answer.ExplainQuery{}, false, "0.0.0.0", "default", "192.0.2.1"},
		{"ecs: false", answer.ExplainQuery{Client: ecs, Resolver: resolver}, true, "203.0.113.9", "resolver", "192.0.2.3"},
	} {
		t.Run(c.what, func(t *testing.T) {
			from := snapshot
			if c.off {
				from = off
			}
			c.asked.Name, c.asked.Type = "www.example.com.", dns.TypeA
			e := Explain(from, c.asked)
			if e.Client != c.client || e.Source != c.source || len(e.Answers) != 1 || e.Answers[0].Data != c.reply {
				t.Errorf("%+v", e)
			}
			if len(e.Steps) != 3 || e.Location.From == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestExplainReportsReasonForEmptyAnswer(t *testing.T) {
	snapshot := answertest.World(t)
	for _, c := range []struct {
		name  dnsname.Name
		qtype uint16
		why   string
	}{
		{"www.example.com.", dns.TypeA, ""},
		{"www.example.com.", dns.TypeMX, `www.example.com. is bound to pool "near", which has no records of type MX`},
		{"far.example.com.", dns.TypeAAAA, `pool "far": "X" was drawn, which has no IPv6 address, nor has another of the pool`},
		{"gone.example.com.", dns.TypeA, `pool "gone" is not live (no member can be eligible), and it has no fallback. All its members are disabled, drained, forced down, unresolved or of weight 0, so the answer is NODATA`},
		{"text.example.com.", dns.TypeA, "text.example.com. has no records of type A"},
		{"nothing.example.com.", dns.TypeA, "nothing.example.com. does not exist, nor any name below it"},
		{"dangle.example.com.", dns.TypeA, "nothing.example.com. does not exist, nor any name below it"},
		{"a.sub.example.com.", dns.TypeA, "a.sub.example.com. is delegated to other servers"},
		{"example.org.", dns.TypeRRSIG, "no zone of the configuration contains example.org."},
		{"example.org.", dns.TypeA, "no zone of the configuration contains example.org."},
		{"www.example.com.", dns.TypeAXFR, "a zone is transferred to the servers of its transfer.out only, by its name and over TCP; meridian explain does not ask for transfers"},
		{"www.example.com.", dns.TypeMAILA, "type MAILA is not answered"},
	} {
		e := Explain(snapshot, answer.ExplainQuery{Name: c.name, Type: c.qtype, Client: netip.MustParsePrefix("198.51.100.7/32")})
		why := strings.NewReplacer(`"a" was`, `"X" was`, `"b" was`, `"X" was`).Replace(e.Why)
		if why != c.why {
			t.Errorf("%s %d: got %s\nwant %s", c.name, c.qtype, why, c.why)
		}
	}
}

func TestExplainReportsSourcesAndPoolAnswers(t *testing.T) {
	e := Explain(answertest.World(t), answer.ExplainQuery{Name: "alias.example.com.", Type: dns.TypeA, Client: netip.MustParsePrefix("198.51.100.7/32")})
	if len(e.PoolAnswers) != 1 || e.PoolAnswers[0].Pool != "near" || e.PoolAnswers[0].Mode != "normal" || e.PoolAnswers[0].By != "near" {
		t.Errorf("asked %+v", e.PoolAnswers)
	}
	if len(e.Sources) != 3 || !e.Sources[0].Placed || e.Sources[0].Network != "198.51.100.0/24" || e.Sources[0].Says != `region "us"` || e.Sources[1].Placed {
		t.Errorf("sources %+v", e.Sources)
	}
}

func TestExplanationJSONHasNoNull(t *testing.T) {
	text, err := json.Marshal(Explain(answertest.World(t), answer.ExplainQuery{Name: "www.example.org.", Type: dns.TypeA}))
	if err != nil || strings.Contains(string(text), "null") || !strings.Contains(string(text), `"rcode":"REFUSED"`) {
		t.Errorf("%s %v", text, err)
	}
}

func TestExplainedDrawIsReadAgain(t *testing.T) {
	for _, draw := range []uint64{0, 7, 1<<64 - 1} {
		e := Explain(answertest.World(t), answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA, Draw: &draw})
		again, err := ExplainParams{Name: "www.example.com", Draw: e.Draw}.Parse()
		if err != nil || *again.Draw != draw {
			t.Errorf("draw %d is written %q and read as %v, %v", draw, e.Draw, again.Draw, err)
		}
	}
}
