//go:build !race

// The client of quic-go v0.65.0 has a data race while a connection with early data completes its handshake, which the race
// detector reports.

package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"meridian/counterpart"
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

// TestQUICAnswersOnlyReplayedQueries records early data, a query and a message that may change something, and sends it again to
// nodes with the same tickets. A node with early data answers the query again, as the reference says, and nothing else; one
// without answers nothing.
func TestQUICAnswersOnlyReplayedQueries(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.EarlyData = true
	from, first := serveQUIC(t, snapshot)
	relay := newRecordingRelay(t, first)
	config := &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"doq"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	conn := dialQUIC(t, first, config)
	askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA)) // with the answer, the client has a ticket
	_ = conn.CloseWithError(0, "")
	conn, err := quic.DialAddrEarly(t.Context(), relay.client.LocalAddr().String(), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	changing := answertest.Ask("www.example.com.", dns.TypeSOA)
	changing.Opcode = dns.OpcodeNotify
	_ = openQUIC(t, conn, quicQuery(t, changing)).Close()
	query := openQUIC(t, conn, quicQuery(t, answertest.Ask("mail.example.com.", dns.TypeA)))
	_ = query.Close()
	counterpart.Await(t, func() error {
		if n := from.Counters(); n.Encrypted() != 2 {
			return fmt.Errorf("%d messages answered, want one of each connection", n.Encrypted())
		}
		return nil
	})
	relay.pass()
	if _, err := io.ReadAll(query); err != nil || !conn.ConnectionState().Used0RTT {
		t.Fatalf("%v, early data used: %v", err, conn.ConnectionState().Used0RTT)
	}
	_ = conn.CloseWithError(0, "")

	for early, want := range map[bool]uint64{true: 1, false: 0} {
		other := answertest.World(t)
		other.Certificates, other.Config.Server.Encrypted = snapshot.Certificates, snapshot.Config.Server.Encrypted
		limits := &other.Config.Server.Encrypted
		limits.EarlyData, limits.Query = early, time.Second // the handshake then fails
		s, second := serveQUIC(t, other)
		relay.replay(t, second)
		counterpart.Await(t, func() error {
			n := s.Counters()
			if failed := n.Connections[answer.DoQ].FailedHandshakes; n.Encrypted() < want || want == 0 && failed == 0 {
				return fmt.Errorf("early data %v: %d messages answered, %d failed handshakes", early, n.Encrypted(), failed)
			}
			return nil
		})
		if n := s.Counters(); n.Encrypted() != want || n.NotifiesAccepted+n.NotifiesRefused != 0 {
			t.Errorf("early data %v: %d messages answered, %d notifications; want %d and 0", early, n.Encrypted(), n.NotifiesAccepted+n.NotifiesRefused, want)
		}
	}
}
