package server

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"meridian/server/answer/answertest"
)

// TestQUICAnswersWhileAQueryArrives begins a query, and has another one answered before it sends the rest.
func TestQUICAnswersWhileAQueryArrives(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveQUIC(t, snapshot)
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	query := quicQuery(t, answertest.Ask("www.example.com.", dns.TypeA))
	for cut := 1; cut <= len(query); cut += 7 {
		slow := openQUIC(t, conn, query[:cut])
		if m := askQUIC(t, conn, answertest.Ask("text.example.com.", dns.TypeTXT)); len(m.Answer) != 1 {
			t.Errorf("a query next to %d octets of another: %v", cut, m)
		}
		if _, err := slow.Write(query[cut:]); err != nil {
			t.Fatal(err)
		}
		_ = slow.Close()
		if m := readQUIC(t, slow); len(m.Answer) != 1 {
			t.Errorf("a query in pieces of %d octets and the rest: %v", cut, m)
		}
	}
}

// TestQUICAnswersDoNotWaitForWindows asks for answers that the client does not take at once, because they are large or it
// allows few octets, before one that it takes.
func TestQUICAnswersDoNotWaitForWindows(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveQUIC(t, snapshot)
	for _, window := range []uint64{20, 1 << 10, 1 << 20} {
		conn, err := quic.DialAddr(t.Context(), at.String(), &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"doq"}},
			&quic.Config{HandshakeIdleTimeout: eventTimeout, MaxIdleTimeout: eventTimeout, InitialStreamReceiveWindow: window})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			big := sendQUIC(t, conn, quicQuery(t, answertest.Ask("big.example.com.", dns.TypeTXT)))
			small := sendQUIC(t, conn, quicQuery(t, answertest.Ask("www.example.com.", dns.TypeA)))
			if m := readQUIC(t, small); len(m.Answer) != 1 {
				t.Errorf("window %d: the small answer is %v", window, m)
			}
			if m := readQUIC(t, big); len(m.Answer) != 1 || m.Len() < 2000 {
				t.Errorf("window %d: the large answer has %d records, %d octets", window, len(m.Answer), m.Len())
			}
		}
		_ = conn.CloseWithError(0, "")
	}
}

// TestQUICAnswersAfterALoss loses the packet with the beginning of a query, so that its end arrives first.
func TestQUICAnswersAfterALoss(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveQUIC(t, snapshot)
	relay := newRecordingRelay(t, at)
	relay.pass()
	to := relay.client.LocalAddr().String()
	conn, err := quic.DialAddr(t.Context(), to, &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: []string{"doq"}},
		&quic.Config{HandshakeIdleTimeout: eventTimeout, MaxIdleTimeout: eventTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseWithError(0, "") }()
	askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA)) // the handshake has ended
	long := answertest.Ask("www.example.com.", dns.TypeA)
	long.SetEdns0(1232, false)
	long.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: bytes.Repeat([]byte{1}, 3000)}}
	for range 3 {
		relay.lose.Store(1)
		stream := sendQUIC(t, conn, quicQuery(t, long))
		next := sendQUIC(t, conn, quicQuery(t, answertest.Ask("text.example.com.", dns.TypeTXT)))
		_ = stream.SetDeadline(time.Now().Add(eventTimeout))
		if m := readQUIC(t, stream); len(m.Answer) != 1 {
			t.Errorf("the query of three packets: %v", m)
		}
		if m := readQUIC(t, next); len(m.Answer) != 1 {
			t.Errorf("the query after it: %v", m)
		}
	}
}
