package main

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone signs answers for a test.
type zone struct {
	key    *dns.DNSKEY
	signer crypto.Signer
}

func newZone(t *testing.T) zone {
	t.Helper()
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return zone{key, private.(crypto.Signer)}
}

func (z zone) sign(t *testing.T, rrs ...dns.RR) []dns.RR {
	t.Helper()
	now := uint32(time.Now().Unix())
	sig := &dns.RRSIG{Hdr: dns.RR_Header{Ttl: 60}, Algorithm: z.key.Algorithm, KeyTag: z.key.KeyTag(), SignerName: "example.com.", Inception: now - 3600, Expiration: now + 3600}
	if err := sig.Sign(z.signer, rrs); err != nil {
		t.Fatal(err)
	}
	return append(rrs, sig)
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// TestBogusAnswersAreCounted has a server with a valid answer, a valid denial, and one answer for each error.
func TestBogusAnswersAreCounted(t *testing.T) {
	z, other := newZone(t), newZone(t)
	a := func(name string) dns.RR { return record(t, name+".example.com. 60 A 192.0.2.1") }
	expired := z.sign(t, a("expired"))
	expired[1].(*dns.RRSIG).Expiration -= 7200
	answers := map[string]*dns.Msg{
		"valid":     {Answer: z.sign(t, a("valid"))},
		"denied":    {Ns: z.sign(t, record(t, "denied.example.com. 60 NSEC \\000.denied.example.com. RRSIG NSEC"))},
		"unsigned":  {Answer: []dns.RR{a("unsigned")}},
		"expired":   {Answer: expired},
		"other":     {Answer: other.sign(t, a("other"))},
		"changed":   {Answer: append([]dns.RR{record(t, "changed.example.com. 60 A 192.0.2.2")}, z.sign(t, a("changed"))[1])},
		"unproven":  {},
		"truncated": {MsgHdr: dns.MsgHdr{Truncated: true}},
		"failed":    {MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}},
	}
	mux := dns.NewServeMux()
	mux.HandleFunc(".", func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg)
		name, _, _ := strings.Cut(q.Question[0].Name, ".")
		if q.Question[0].Qtype == dns.TypeDNSKEY {
			answer.Answer = z.sign(t, z.key)
		} else if known := answers[name]; known != nil {
			*answer = *known
		}
		rcode, truncated := answer.Rcode, answer.Truncated
		answer.SetReply(q)
		answer.Rcode, answer.Truncated = rcode, truncated
		_ = w.WriteMsg(answer)
	})
	var file []byte
	for name := range answers {
		for range 2 { // the second one is not asked
			file = frame(t, file, name+".example.com.")
		}
	}
	path := filepath.Join(t.TempDir(), "queries")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, notes bytes.Buffer
	if err := run([]string{serve(t, mux), "example.com", path, "100"}, &out, &notes); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "9\t7\t") {
		t.Errorf("%q, want 9 answers, 7 bogus\n%s", out.String(), notes.String())
	}
	for name := range answers {
		valid := name == "valid" || name == "denied"
		if valid == strings.Contains(notes.String(), name+".example.com.") {
			t.Errorf("%s: valid %v\n%s", name, valid, notes.String())
		}
	}
}

func TestWrongArgumentsAreErrors(t *testing.T) {
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, []byte{0, 40, 1, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"a:1", "z", "file", "none"}, {"a:1", "z", "file", "0"}, {"a:1", "z", cut, "1"}, {"a:1", "z", "/nothing", "1"}} {
		if err := run(args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// frame appends a query to a file of queries.
func frame(t *testing.T, file []byte, name string) []byte {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	query.SetEdns0(1232, true)
	packet, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(file, uint16(len(packet))), packet...)
}

// serve answers over UDP until the test ends.
func serve(t *testing.T, handler dns.Handler) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}
