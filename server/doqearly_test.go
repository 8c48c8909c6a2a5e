//go:build !race

// The client of quic-go v0.65.0 has a data race while a connection with early data completes its handshake, which the race
// detector reports.

package server

import (
	"crypto/tls"
	"testing"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// TestQUICAnswersEarlyQueries resumes a session, with and without early data.
func TestQUICAnswersEarlyQueries(t *testing.T) {
	for _, early := range []bool{false, true} {
		snapshot, roots := encryptedWorld(t)
		snapshot.Config.Server.Encrypted.EarlyData = early
		s, at := serveQUIC(t, snapshot)
		config := &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"doq"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i, name := range []string{"www.example.com.", "mail.example.com."} {
			conn, err := quic.DialAddrEarly(t.Context(), at.String(), config, nil)
			if err != nil {
				t.Fatal(err)
			}
			other := answertest.Ask(name, dns.TypeA)
			other.Opcode = dns.OpcodeStatus // it waits for the end of the handshake
			for _, c := range []struct {
				query *dns.Msg
				rcode int
			}{{answertest.Ask(name, dns.TypeA), dns.RcodeSuccess}, {other, dns.RcodeNotImplemented}} {
				if m := askQUIC(t, conn, c.query); m.Rcode != c.rcode {
					t.Errorf("%s, early data %v: %v", name, early, m)
				}
			}
			if got := conn.ConnectionState().Used0RTT; got != (early && i == 1) {
				t.Errorf("connection %d, early data %v: used %v", i, early, got)
			}
			_ = conn.CloseWithError(0, "")
		}
		awaitConnections(t, s, answer.DoQ, func(c answer.Connections) bool {
			return c.Handshakes+c.FailedHandshakes == 2 && c.Open == 0
		})
	}
}
