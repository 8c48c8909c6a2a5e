package answer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const tsigSecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="

// keyedWorld returns answertest.World with the TSIG key "xfr".
func keyedWorld(t *testing.T, edits ...string) *snapshot.Snapshot {
	t.Helper()
	file := filepath.Join(t.TempDir(), "xfr.key")
	if err := os.WriteFile(file, []byte(tsigSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	return answertest.World(t, append(edits, "\nzones:", "\ntsig: {xfr: {secret_file: "+file+"}}\nzones:")...)
}

// signedQuery returns a query that miekg/dns has signed with a secret, with its MAC.
func signedQuery(t *testing.T, query *dns.Msg, name, secret string, at int64) (packet []byte, mac string) {
	t.Helper()
	query.SetTsig(name, dns.HmacSHA256, 300, at)
	packet, mac, err := dns.TsigGenerate(query, secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return packet, mac
}

// TestSignedQueriesGetSignedAnswers asks for names of every kind, and one that does not fit into UDP, and checks that the
// answers are those to the same query without a signature.
func TestSignedQueriesGetSignedAnswers(t *testing.T) {
	p := newPaths(keyedWorld(t))
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
	}{
		{"www.example.com.", dns.TypeA, dns.RcodeSuccess},
		{"nothing.example.com.", dns.TypeA, dns.RcodeNameError},
		{"big.example.com.", dns.TypeTXT, dns.RcodeSuccess},
		{"example.org.", dns.TypeA, dns.RcodeRefused},
		{"version.bind.", dns.TypeTXT, dns.RcodeRefused},
	} {
		for _, stream := range []bool{false, true} {
			plain := answertest.WithOptions(answertest.Ask(c.name, c.qtype))
			want := exchange(t, p, answertest.Packed(t, plain), "198.51.100.7", stream)
			packet, mac := signedQuery(t, plain.Copy(), "XFR.", tsigSecret, p.time.Unix())
			octets := p.full.Respond(nil, packet, answertest.BenchSource, stream)
			if err := dns.TsigVerify(append([]byte(nil), octets...), tsigSecret, mac, false); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			answer := new(dns.Msg)
			if err := answer.Unpack(octets); err != nil {
				t.Fatal(err)
			}
			if answer.Rcode != c.rcode || len(answer.Answer) != len(want.Answer) || answer.Truncated != want.Truncated || len(answer.Extra) != len(want.Extra)+1 {
				t.Errorf("%s, stream %v: %v\nwithout a signature: %v", c.name, stream, answer, want)
			}
			if !stream && len(octets) > 1232 {
				t.Errorf("%s: %d octets", c.name, len(octets))
			}
		}
	}
}

func TestBadSignaturesAreNOTAUTH(t *testing.T) {
	p := newPaths(keyedWorld(t))
	now := p.time.Unix()
	const other = "YW5vdGhlciBzZWNyZXQ="
	for _, c := range []struct {
		name   string
		key    string
		secret string
		at     int64
		opcode int
		rcode  int
		code   uint16
		signed bool
	}{
		{"unknown key", "other.", tsigSecret, now, dns.OpcodeQuery, dns.RcodeNotAuth, dns.RcodeBadKey, false},
		{"wrong secret", "xfr.", other, now, dns.OpcodeQuery, dns.RcodeNotAuth, dns.RcodeBadSig, false},
		{"too old", "xfr.", tsigSecret, now - 301, dns.OpcodeQuery, dns.RcodeNotAuth, dns.RcodeBadTime, true},
		{"opcode not served", "xfr.", tsigSecret, now, dns.OpcodeStatus, dns.RcodeNotImplemented, 0, true},
		{"wrong secret, opcode not served", "xfr.", other, now, dns.OpcodeStatus, dns.RcodeNotAuth, dns.RcodeBadSig, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			query := answertest.Ask("www.example.com.", dns.TypeA)
			query.Opcode = c.opcode
			packet, _ := signedQuery(t, query, c.key, c.secret, c.at)
			answer := exchange(t, p, packet, "198.51.100.7", true)
			rr := answer.IsTsig()
			if answer.Rcode != c.rcode || len(answer.Answer) > 0 || rr == nil || rr.Error != c.code || (rr.MACSize > 0) != c.signed {
				t.Errorf("%v", answer)
			}
		})
	}
}

// TestTruncatedAnswerWithoutDNSSECSignatureHasTSIG asks for a signature that is missing, and cannot be postponed.
func TestTruncatedAnswerWithoutDNSSECSignatureHasTSIG(t *testing.T) {
	file := filepath.Join(t.TempDir(), "xfr.key")
	if err := os.WriteFile(file, []byte(tsigSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	built := answertest.Build(t, strings.Replace(signedYAML, "\nzones:", "\ntsig: {xfr: {secret_file: "+file+"}}\nzones:", 1), signedZoneText)
	p := newPaths(built)
	p.full.Postpone = func([]byte, uint64) bool { return false }
	query := answertest.WithOptions(answertest.Ask("example.com.", dns.TypeSOA))
	query.IsEdns0().SetDo()
	packet, mac := signedQuery(t, query, "xfr.", tsigSecret, p.time.Unix())
	octets := p.full.Respond(nil, packet, answertest.BenchSource, false)
	if err := dns.TsigVerify(append([]byte(nil), octets...), tsigSecret, mac, false); err != nil {
		t.Errorf("%v in % x", err, octets)
	}
}

const signedYAML = `
server: {listen: ["127.0.0.1:0"]}
dnssec: {keys: keys}
zones: {example.com: {dnssec: default, file: example.com.zone}}
`

const signedZoneText = "$TTL 300\n@ SOA ns.example.net. h 1 2 3 4 5\n@ NS ns.example.net.\n"
