package keys

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnssec"
)

// parentServer serves answers over UDP and TCP on one port of loopback.
func parentServer(t *testing.T, answer func(network string, reply *dns.Msg)) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := packets.LocalAddr().String()
	stream, err := net.Listen("tcp", address)
	if err != nil {
		packets.Close()
		t.Skipf("SKIPPED: port of %s is taken over TCP: %v", address, err)
	}
	handler := func(network string) dns.HandlerFunc {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			reply := new(dns.Msg).SetReply(q)
			reply.Authoritative = true
			if answer(network, reply); reply.Id == q.Id {
				w.WriteMsg(reply)
			}
		}
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler("udp")}, {Listener: stream, Handler: handler("tcp")}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return netip.MustParseAddrPort(address)
}

func TestAskNeedsAllServersOfTheParent(t *testing.T) {
	made, err := dnssec.Generate(zoneName, 257, dnssec.ECDSAP256SHA256)
	if err != nil {
		t.Fatal(err)
	}
	k := &Key{Key: made}
	ds := &dns.DS{
		Hdr:    dns.RR_Header{Name: "Example.COM.", Rrtype: dns.TypeDS, Class: dns.ClassINET, Ttl: 60},
		KeyTag: k.Tag, Algorithm: k.Algorithm, DigestType: 2, Digest: hex.EncodeToString(k.DS(dnssec.SHA256)[4:]),
	}
	honest := parentServer(t, func(_ string, reply *dns.Msg) { reply.Answer = []dns.RR{ds} })
	truncating := parentServer(t, func(network string, reply *dns.Msg) {
		reply.Answer, reply.Truncated = []dns.RR{ds}, network == "udp"
	})
	lying := parentServer(t, func(_ string, reply *dns.Msg) {
		other := *ds
		other.Digest = strings.Repeat("00", 32)
		reply.Answer = []dns.RR{&other}
	})
	without := parentServer(t, func(string, *dns.Msg) {})
	recursive := parentServer(t, func(_ string, reply *dns.Msg) { reply.Answer, reply.Authoritative = []dns.RR{ds}, false })
	failing := parentServer(t, func(_ string, reply *dns.Msg) { reply.Rcode = dns.RcodeServerFailure })
	endless := parentServer(t, func(_ string, reply *dns.Msg) {
		for range maxDS + 1 {
			reply.Answer = append(reply.Answer, ds)
		}
	})
	silent := parentServer(t, func(_ string, reply *dns.Msg) { reply.Id++ })
	tests := []struct {
		name    string
		servers []netip.AddrPort
		want    string // of the error, else of Describe
	}{
		{"all have it", []netip.AddrPort{honest, truncating}, "all servers have the DS of key"},
		{"one has none", []netip.AddrPort{honest, without}, "some servers have a DS with the tag of key"},
		{"none has it", []netip.AddrPort{without}, "no server has the DS of a key"},
		{"one lies", []netip.AddrPort{honest, lying}, "some servers have a DS with the tag of key"},
		{"one is a resolver", []netip.AddrPort{honest, recursive}, "it is not a server of the parent zone"},
		{"one fails", []netip.AddrPort{failing, honest}, "response code SERVFAIL for the DS of example.com."},
		{"one answers without end", []netip.AddrPort{endless}, "65 records in the answer, at most 64 are possible"},
		{"one is silent", []netip.AddrPort{honest, silent}, "server " + silent.String() + " of the parent"},
		{"no server", nil, "parent.servers has no server to ask"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if test.name == "one is silent" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			view, err := Ask(ctx, test.servers, zoneName)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = view.Describe([]*Key{k})
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
