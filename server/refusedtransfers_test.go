package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
	"meridian/snapshot"
)

// lockedLog is a log that is read while the server writes it.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// refused returns the lines about refused transfers, without what is before the zone.
func (l *lockedLog) refused() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, found := range regexp.MustCompile(`(?m)level=INFO msg="transfer refused" (.*)$`).FindAllStringSubmatch(l.text.String(), -1) {
		lines = append(lines, found[1])
	}
	return lines
}

// serveLogged runs a server with a log until the test ends.
func serveLogged(t *testing.T, world *snapshot.Snapshot) (*Server, *lockedLog) {
	t.Helper()
	log := new(lockedLog)
	s := New(world, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, log
}

// TestRefusedTransfersAreLogged asks for transfers that are refused, over TCP, where each is logged with its reason, and over UDP,
// where the source may be forged.
func TestRefusedTransfersAreLogged(t *testing.T) {
	s, log := serveLogged(t, transferWorld(t))
	wrong := base64.StdEncoding.EncodeToString([]byte("another secret"))
	for _, c := range []struct{ zone, key, secret, want string }{
		{"example.com.", "", "", `key="" rcode=REFUSED reason="the request is not signed, and transfer.out wants the key xfr."`},
		{"example.com.", "other.", tsigSecret, `key=other. rcode=REFUSED reason="transfer.out wants the key xfr."`},
		{"secret.example.com.", "xfr.", tsigSecret, `key=xfr. rcode=REFUSED reason="the zone has no transfer.out"`},
		{"refused.example.com.", "", "", `key="" rcode=REFUSED reason="the zone has transfer.pools: refuse, and balanced names"`},
		{"www.example.com.", "", "", `key="" rcode=REFUSED reason="no zone has this name"`},
		{"example.com.", "xfr.", wrong, `key=xfr. rcode=NOTAUTH reason="BADSIG: the client has another secret of the key"`},
		{"example.com.", "typo.", wrong, `key=typo. rcode=NOTAUTH reason="BADKEY: tsig has no such key, or has it with another algorithm"`},
	} {
		for _, network := range []string{"udp", "tcp"} {
			before := len(log.refused())
			conn := &dns.Conn{Conn: dial(t, network, s.Addrs()[0]), TsigSecret: map[string]string{c.key: c.secret}}
			_ = conn.SetDeadline(time.Now().Add(eventTimeout))
			if err := conn.WriteMsg(asked{zone: c.zone, key: c.key}.message()); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ReadMsg(); err != nil && !errors.Is(err, dns.ErrAuth) { // NOTAUTH
				t.Fatal(err)
			}
			conn.Close()
			want := []string{"zone=" + c.zone + " client=127.0.0.1 transport=tcp " + c.want}
			if network == "udp" {
				want = []string{}
			}
			if got := log.refused()[before:]; !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", network, got, want)
			}
		}
	}
	for range 4 * maxRefusalsOfClient {
		_ = rcodeOver(t, &dns.Conn{Conn: dial(t, "tcp", s.Addrs()[0])}, "example.com.")
	}
	if got := len(log.refused()); got < maxRefusalsOfClient || got > 3*maxRefusalsOfClient {
		t.Errorf("%d lines of a client", got) // a minute may end during the test
	}
}

// TestRefusedTransfersOverTLSAreLogged asks for a zone that needs a certificate.
func TestRefusedTransfersOverTLSAreLogged(t *testing.T) {
	world, dir := securedWorld(t)
	s, log := serveLogged(t, world)
	const head = `zone=certified.example. client=127.0.0.1 transport=`
	check := func(want string) {
		t.Helper()
		lines := log.refused()
		if len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], head+want) {
			t.Errorf("%q, want the last to begin with %s", lines, head+want)
		}
	}
	_ = rcodeOver(t, &dns.Conn{Conn: dial(t, "tcp", s.Addrs()[0])}, "certified.example.")
	check(`tcp key="" rcode=REFUSED reason="transfer.out wants tls, and the connection is not encrypted"`)
	for cert, want := range map[string]string{"": "the client has sent no certificate", "other.example": "the certificate of the client: x509: "} {
		conn := dialTLS(t, s.EncryptedAddrs()[answer.DoT][0], settingsOf(t, dir, cert, 0, "dot"))
		_ = rcodeOver(t, &dns.Conn{Conn: conn}, "certified.example.")
		check(`dot key="" rcode=REFUSED reason="` + want)
	}
	conn := dialQUIC(t, s.EncryptedAddrs()[answer.DoQ][0], settingsOf(t, dir, "", 0, "doq"))
	_ = readQUIC(t, sendQUIC(t, conn, quicQuery(t, asked{zone: "certified.example."}.message())))
	check(`doq key="" rcode=REFUSED reason="the client has sent no certificate"`)
}

// TestRefusedTransfersAreLoggedForAllClients has one client cause many lines, and then others.
func TestRefusedTransfersAreLoggedForAllClients(t *testing.T) {
	var f refusals
	now := time.Unix(1e9, 0)
	count := func(client netip.Addr, tries int) (n int) {
		for range tries {
			if f.due(client, now) {
				n++
			}
		}
		return n
	}
	client := netip.MustParseAddr("192.0.2.1")
	if n := count(client, 1000); n != maxRefusalsOfClient {
		t.Errorf("%d lines of a client", n)
	}
	clients := 1
	for other := client.Next(); clients < 100 && count(other, 1) == 1; other = other.Next() {
		clients++
	}
	if clients != maxRefusalClients {
		t.Errorf("%d clients", clients)
	}
	now = now.Add(time.Minute)
	if n := count(client, 1000); n != maxRefusalsOfClient {
		t.Errorf("%d lines of a client in the next minute", n)
	}
}
