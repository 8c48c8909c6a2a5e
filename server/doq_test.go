package server

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"meridian/config"
	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/server/encrypted"
	"meridian/snapshot"
)

// serveQUIC serves DNS over QUIC and returns the address.
func serveQUIC(t *testing.T, snapshot *snapshot.Snapshot) (*Server, netip.AddrPort) {
	t.Helper()
	snapshot.Config.Server.ListenQUIC = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := serve(t, snapshot, false, "127.0.0.1:0")
	return s, s.EncryptedAddrs()[answer.DoQ][0]
}

// dialQUIC connects to a server of DNS over QUIC.
func dialQUIC(t *testing.T, to netip.AddrPort, c *tls.Config) *quic.Conn {
	t.Helper()
	conn, err := tryQUIC(t, to, c)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func tryQUIC(t *testing.T, to netip.AddrPort, c *tls.Config) (*quic.Conn, error) {
	c = c.Clone()
	if c.NextProtos == nil {
		c.NextProtos = []string{"doq"}
	}
	conn, err := quic.DialAddr(t.Context(), to.String(), c, &quic.Config{HandshakeIdleTimeout: eventTimeout, MaxIdleTimeout: eventTimeout})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	}
	return conn, err
}

// quicQuery returns a query for QUIC, with ID 0, in a frame.
func quicQuery(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	m.Id = 0
	return framed(answertest.Packed(t, m))
}

// sendQUIC sends bytes in a stream of their own, and its end.
func sendQUIC(t *testing.T, conn *quic.Conn, sent []byte) *quic.Stream {
	t.Helper()
	stream := openQUIC(t, conn, sent)
	_ = stream.Close()
	return stream
}

// openQUIC sends bytes in a stream, without its end.
func openQUIC(t *testing.T, conn *quic.Conn, sent []byte) *quic.Stream {
	t.Helper()
	stream, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SetDeadline(time.Now().Add(eventTimeout))
	if _, err := stream.Write(sent); err != nil {
		t.Fatal(err)
	}
	return stream
}

// askQUIC returns the answer to a query.
func askQUIC(t *testing.T, conn *quic.Conn, m *dns.Msg) *dns.Msg {
	t.Helper()
	return readQUIC(t, sendQUIC(t, conn, quicQuery(t, m)))
}

// readQUIC reads the only message of a stream.
func readQUIC(t *testing.T, stream io.Reader) *dns.Msg {
	t.Helper()
	frame, err := io.ReadAll(stream)
	m := new(dns.Msg)
	if err == nil && (len(frame) < 2 || int(binary.BigEndian.Uint16(frame)) != len(frame)-2) {
		err = errors.New("wrong length")
	}
	if err == nil {
		err = m.Unpack(frame[2:])
	}
	if err != nil {
		t.Fatalf("%v, %x", err, frame)
	}
	return m
}

// quicEnd returns the error code that ends a connection.
func quicEnd(t *testing.T, conn *quic.Conn) quic.ApplicationErrorCode {
	t.Helper()
	select {
	case <-conn.Context().Done():
	case <-time.After(eventTimeout):
		t.Fatal("the connection does not end")
	}
	var end *quic.ApplicationError
	if err := context.Cause(conn.Context()); !errors.As(err, &end) || !end.Remote {
		t.Fatalf("the connection ends with %v", err)
	}
	return end.ErrorCode
}

func TestQUICAnswersQueriesOfManyStreams(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveQUIC(t, snapshot)
	for _, name := range []string{"dns.example", "other.example"} {
		conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: name})
		var streams []*quic.Stream
		for range 20 {
			streams = append(streams, sendQUIC(t, conn, quicQuery(t, answertest.Ask("www.example.com.", dns.TypeA))))
		}
		for _, stream := range streams {
			if m := readQUIC(t, stream); len(m.Answer) != 1 || m.Id != 0 {
				t.Errorf("%s: %v", name, m)
			}
		}
		_ = conn.CloseWithError(0, "")
	}
	awaitConnections(t, s, answer.DoQ, func(c answer.Connections) bool {
		return c.Accepted == 2 && c.Handshakes == 2 && c.FailedHandshakes == 0 && c.Open == 0
	})
	if n := s.Counters(); n.Encrypted() != 40 || n.UDP != 0 || n.TCP != 0 {
		t.Errorf("counters %+v", n)
	}
}

func TestQUICPadsAnswers(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveQUIC(t, snapshot)
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	m := answertest.Ask("www.example.com.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 10)}}
	if answer, _ := io.ReadAll(sendQUIC(t, conn, quicQuery(t, m))); len(answer) != 2+468 {
		t.Errorf("%d octets", len(answer))
	}
}

func TestQUICRefusesOtherProtocols(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveQUIC(t, snapshot)
	for _, protocols := range [][]string{{"h3"}, {"dot"}, {}} {
		_, err := tryQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example", NextProtos: protocols})
		if err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%q: %v", protocols, err)
		}
	}
	awaitConnections(t, s, answer.DoQ, func(c answer.Connections) bool { return c.FailedHandshakes == 3 && c.Open == 0 })
}

// TestQUICEndsConnectionsOfOddClients violates the protocol in each way of RFC 9250 4.3.3.
func TestQUICEndsConnectionsOfOddClients(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveQUIC(t, snapshot)
	query := quicQuery(t, answertest.Ask("www.example.com.", dns.TypeA))
	numbered := append([]byte(nil), query...)
	numbered[3] = 1
	keepalive := answertest.Ask("www.example.com.", dns.TypeA)
	keepalive.SetEdns0(1232, false)
	keepalive.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	for what, sent := range map[string][]byte{
		"a message ID":             numbered,
		"the end within a query":   query[:9],
		"two queries":              append(append([]byte(nil), query...), query...),
		"an empty stream":          nil,
		"a TCP keepalive option":   quicQuery(t, keepalive),
		"a query without a header": {0, 3, 1, 2, 3},
	} {
		conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
		sendQUIC(t, conn, sent)
		if code := quicEnd(t, conn); code != encrypted.DoQProtocolError {
			t.Errorf("%s: the connection ends with %d", what, code)
		}
	}
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	if _, err := conn.OpenUniStream(); err == nil {
		t.Error("a client may open a stream with one direction")
	}
}

// TestQUICAbandonsStreams sends queries that are not answered, and one that is.
func TestQUICAbandonsStreams(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, at := serveQUIC(t, snapshot)
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	query := quicQuery(t, answertest.Ask("www.example.com.", dns.TypeA))
	cancelled := openQUIC(t, conn, query[:10])
	cancelled.CancelWrite(encrypted.DoQCancelled)
	for _, c := range []struct {
		what   string
		stream *quic.Stream
		code   quic.StreamErrorCode
	}{
		{"a query that is too large", openQUIC(t, conn, append([]byte{0x13, 0}, make([]byte, 0x1300)...)), encrypted.DoQExcessiveLoad},
		{"a cancelled query", cancelled, encrypted.DoQCancelled},
	} {
		_, err := io.ReadAll(c.stream)
		var end *quic.StreamError
		if !errors.As(err, &end) || !end.Remote || end.ErrorCode != c.code {
			t.Errorf("%s: %v, want %d", c.what, err, c.code)
		}
	}
	if m := askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA)); len(m.Answer) != 1 {
		t.Errorf("after abandoned streams: %v", m)
	}
}

// TestQUICAbandonsStalledStreams leaves out the end of queries.
func TestQUICAbandonsStalledStreams(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveQUIC(t, snapshot)
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA)) // the handshake, which has this limit as well, is complete
	swapSettings(t, s, snapshot, func(c *config.Server) { c.Encrypted.Query = 50 * time.Millisecond })
	query := quicQuery(t, answertest.Ask("www.example.com.", dns.TypeA))
	for _, sent := range [][]byte{query[:1], query[:10], query} {
		_, err := io.ReadAll(openQUIC(t, conn, sent))
		var end *quic.StreamError
		if !errors.As(err, &end) || !end.Remote || end.ErrorCode != encrypted.DoQUnspecified {
			t.Errorf("%x without its end: %v", sent, err)
		}
	}
}

// TestQUICTransfersZones fetches a zone in one stream.
func TestQUICTransfersZones(t *testing.T) {
	snapshot := transferWorld(t)
	secured, roots := encryptedWorld(t)
	snapshot.Certificates, snapshot.Config.Server.Encrypted = secured.Certificates, secured.Config.Server.Encrypted
	s, at := serveQUIC(t, snapshot)
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	for zone, want := range map[string]int{"sub.example.com.": dns.RcodeSuccess, "secret.example.com.": dns.RcodeRefused} {
		m := readQUIC(t, sendQUIC(t, conn, quicQuery(t, asked{zone: zone}.message())))
		if m.Rcode != want || (want == dns.RcodeSuccess) != (len(m.Answer) > 2) {
			t.Errorf("%s: %v", zone, m)
		}
	}
	if n := s.Counters(); n.TransfersSent != 1 || n.TransfersRefused != 1 {
		t.Errorf("counters %+v", n)
	}
}

// TestQUICRefusesUpdates sends an update that a client may make over TCP, and then a query over TCP: the update is not
// kept for it.
func TestQUICRefusesUpdates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(tsigSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	snapshot := answertest.World(t, "\nzones:", fmt.Sprintf("\nstate: %q\ntsig: {k: {secret_file: %q}}\nzones:", t.TempDir(), file),
		"  example.com:\n", "  example.com:\n    update: [{key: k, names: [\"*\"]}]\n")
	secured, roots := encryptedWorld(t)
	snapshot.Certificates, snapshot.Config.Server.Encrypted = secured.Certificates, secured.Config.Server.Encrypted
	snapshot.Config.Server.Workers = 1
	snapshot.Config.Server.ListenQUIC = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := listen(t, snapshot, false, "127.0.0.1:0")
	s.UseUpdates(func(*answer.Update) answer.UpdateOutcome {
		t.Error("an update over QUIC is made")
		return answer.UpdateOutcome{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-served })
	update := new(dns.Msg).SetUpdate("example.com.")
	update.Id = 0
	update.SetTsig("k.", dns.HmacSHA256, 300, time.Now().Unix())
	packed, _, err := dns.TsigGenerate(update, tsigSecret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	conn := dialQUIC(t, s.EncryptedAddrs()[answer.DoQ][0], &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	if m := readQUIC(t, sendQUIC(t, conn, framed(packed))); m.Rcode != dns.RcodeRefused {
		t.Errorf("the update: %v", m)
	}
	over := dial(t, "tcp", s.Addrs()[0])
	query := answertest.Ask("www.example.com.", dns.TypeANY) // the slow path
	_, _ = over.Write(framed(answertest.Packed(t, query)))
	if m := readFrame(t, over); m.Rcode != dns.RcodeSuccess {
		t.Errorf("a query after it: %v", m)
	}
}

// TestQUICRefusesStreamsBeyondTheShare opens streams without a query, more than all connections together may have.
func TestQUICRefusesStreamsBeyondTheShare(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Max, snapshot.Config.Server.Encrypted.Query = 2, time.Minute
	s, at := serveQUIC(t, snapshot)
	first := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	l := s.listeners[1].conns.(*doqListener)
	for range streamShare * 2 {
		openQUIC(t, first, []byte{0})
	}
	counterpart.Await(t, func() error {
		if n := l.streams.all.Load(); n != streamShare*2 {
			return fmt.Errorf("%d streams", n)
		}
		return nil
	})
	_, err := io.ReadAll(openQUIC(t, first, []byte{0}))
	var refused *quic.StreamError
	if !errors.As(err, &refused) || refused.ErrorCode != encrypted.DoQExcessiveLoad {
		t.Errorf("a stream beyond the share: %v", err)
	}
	second := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	if m := askQUIC(t, second, answertest.Ask("www.example.com.", dns.TypeA)); len(m.Answer) != 1 {
		t.Errorf("another client: %v", m)
	}
	_ = first.CloseWithError(0, "")
	counterpart.Await(t, func() error {
		if n := l.streams.all.Load(); n != 0 {
			return fmt.Errorf("%d streams after the end of their connection", n)
		}
		return nil
	})
}

func TestHandshakesLeaveRoomForOthers(t *testing.T) {
	limits := &config.Encrypted{Max: 12, PerClient: 8}
	h := newHandshakes()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	begin := func(client netip.Addr, crowded bool, want uint64, by connLimit) {
		t.Helper()
		if got := h.crowded(client, limits); got != crowded {
			t.Errorf("%s with %d of %d: crowded %v", client, h.byClient[client], h.all, got)
		}
		if limit, refused := h.begin(client, limits); refused != want || refused > 0 && limit != by {
			t.Errorf("%s with %d of %d: refused %d by %s", client, h.byClient[client], h.all, refused, limit)
		}
	}
	for i := range limits.PerClient {
		begin(a, i >= 2, 0, 0) // a quarter of 8
	}
	begin(a, true, 1, limitPerClient)
	for range 4 {
		begin(b, true, 0, 0) // of 12, more than a quarter are taken
	}
	begin(b, true, 1, limitMax)
	begin(b, true, 2, limitMax)
	h.end(a)
	begin(b, true, 0, 0)
	for range 7 {
		h.end(a)
	}
	for range 5 {
		h.end(b)
	}
	if h.all != 0 || len(h.byClient) != 0 || h.crowded(a, limits) {
		t.Errorf("after the end of all: %+v", h)
	}
}

// TestQUICVerifiesAddressesWhenCrowded connects while handshakes of other clients have not ended.
func TestQUICVerifiesAddressesWhenCrowded(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	s, at := serveQUIC(t, snapshot)
	l := s.listeners[1].conns.(*doqListener)
	for i := range 25 { // a quarter of the limit
		l.handshakes.begin(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), l.limits())
	}
	conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA))
	for i := range 75 {
		l.handshakes.begin(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}), l.limits())
	}
	if _, err := tryQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"}); err == nil || !strings.Contains(err.Error(), "CONNECTION_REFUSED") {
		t.Errorf("with as many handshakes as the limit: %v", err)
	}
}

func TestClientsUseQUIC(t *testing.T) {
	snapshot, _ := encryptedWorld(t)
	ca := snapshot.Certificates.Pairs()[0].Cert
	s, _ := serveQUIC(t, snapshot)
	text := output(t, "kdig", "@127.0.0.1", "-p", port(s, answer.DoQ), "+tls-ca="+ca, "+tls-hostname=dns.example", "+quic", "+padding=128", "+retry=0", "www.example.com")
	for _, want := range []string{"NOERROR", "QUIC session (QUICv1)", ";; Received 468 B"} {
		if !strings.Contains(text, want) {
			t.Errorf("kdig does not print %q:\n%s", want, text)
		}
	}
}

func TestQUICClosesTheLongestIdleConnection(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.PerClient = 2
	s, at := serveQUIC(t, snapshot)
	var conns []*quic.Conn
	for range 3 {
		conn := dialQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"})
		if len(conns) < 2 {
			askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA))
		}
		conns = append(conns, conn)
	}
	if code := quicEnd(t, conns[0]); code != encrypted.DoQExcessiveLoad {
		t.Errorf("the first connection ends with %d", code)
	}
	awaitConnections(t, s, answer.DoQ, func(c answer.Connections) bool { return c.Evicted == 1 && c.Accepted == 3 && c.Open == 2 })
}

func TestQUICClosesIdleConnections(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.Encrypted.Idle = 300 * time.Millisecond
	_, at := serveQUIC(t, snapshot)
	var conn *quic.Conn
	var stream *quic.Stream
	for end := time.Now().Add(eventTimeout); stream == nil; { // the limit may end the handshake on a busy machine
		var err error
		if conn, err = tryQUIC(t, at, &tls.Config{RootCAs: roots, ServerName: "dns.example"}); err == nil {
			stream, err = conn.OpenStream()
		}
		if err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(eventTimeout); conn.Context().Err() == nil; { // packets without a query
		if time.Now().After(end) {
			t.Fatal("the connection does not end")
		}
		_, _ = stream.Write([]byte{1})
		select {
		case <-conn.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	var slow *quic.IdleTimeoutError // on a busy machine
	if errors.As(context.Cause(conn.Context()), &slow) {
		return
	}
	if code := quicEnd(t, conn); code != encrypted.DoQNoError {
		t.Errorf("the connection ends with %d", code)
	}
}

// TestQUICDrainsReceivedQueries stops a server with an open connection.
func TestQUICDrainsReceivedQueries(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	snapshot.Config.Server.ListenQUIC = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s := listen(t, snapshot, false, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	conn := dialQUIC(t, s.EncryptedAddrs()[answer.DoQ][0], &tls.Config{RootCAs: roots, ServerName: "dns.example"})
	askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA))
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if code := quicEnd(t, conn); code != encrypted.DoQNoError {
		t.Errorf("the connection ends with %d", code)
	}
	if c := s.Counters().Connections[answer.DoQ]; c.Open != 0 || c.Accepted != 1 {
		t.Errorf("counters %+v", c)
	}
}

// TestQUICUsesTicketsOfOtherNodes resumes the session of another server.
func TestQUICUsesTicketsOfOtherNodes(t *testing.T) {
	snapshot, roots := encryptedWorld(t)
	_, first := serveQUIC(t, snapshot)
	other := answertest.World(t)
	other.Certificates, other.Config.Server.Encrypted = snapshot.Certificates, snapshot.Config.Server.Encrypted
	_, second := serveQUIC(t, other)
	config := &tls.Config{RootCAs: roots, ServerName: "dns.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, at := range []netip.AddrPort{first, second} {
		conn := dialQUIC(t, at, config)
		askQUIC(t, conn, answertest.Ask("www.example.com.", dns.TypeA))
		if state := conn.ConnectionState(); state.TLS.DidResume != (i == 1) || state.Used0RTT {
			t.Errorf("connection %d: %+v", i, state)
		}
		_ = conn.CloseWithError(0, "")
	}
}
