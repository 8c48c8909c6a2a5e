package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// eventTimeout is the maximum time that a test waits for an event.
const eventTimeout = time.Minute

// serve runs a server with snapshot on addrs until the test ends.
func serve(t *testing.T, snapshot *snapshot.Snapshot, portable bool, addrs ...string) *Server {
	t.Helper()
	s := listen(t, snapshot, portable, addrs...)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func listen(t *testing.T, snapshot *snapshot.Snapshot, portable bool, addrs ...string) *Server {
	t.Helper()
	listenOn(snapshot, addrs...)
	s := NewEmpty(Options{}) // as the daemon does: the sockets are bound before the snapshot is built
	s.portable = portable
	if err := s.Bind(&snapshot.Config.Server); err != nil {
		t.Fatal(err)
	}
	s.Begin(snapshot)
	return s
}

// listenOn sets the listen addresses of a snapshot before it is served.
func listenOn(snapshot *snapshot.Snapshot, addrs ...string) {
	snapshot.Config.Server.Listen = nil
	for _, a := range addrs {
		snapshot.Config.Server.Listen = append(snapshot.Config.Server.Listen, netip.MustParseAddrPort(a))
	}
}

func dial(t *testing.T, network string, to netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(eventTimeout))
	return conn
}

// askUDP queries once; a connected socket accepts only packets from its peer.
func askUDP(t *testing.T, conn net.Conn, query []byte) *dns.Msg {
	t.Helper()
	if _, err := conn.Write(query); err != nil {
		t.Fatal(err)
	}
	return readUDP(t, conn)
}

func readUDP(t *testing.T, conn net.Conn) *dns.Msg {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(buf[:n]); err != nil {
		t.Fatal(err)
	}
	return m
}

func framed(queries ...[]byte) []byte {
	var b []byte
	for _, q := range queries {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(q))), q...)
	}
	return b
}

func readFrame(t *testing.T, conn net.Conn) *dns.Msg {
	t.Helper()
	m, err := (&dns.Conn{Conn: conn}).ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bothWays runs a test with batches and with the portable path.
func bothWays(t *testing.T, test func(t *testing.T, portable bool)) {
	t.Run("batches", func(t *testing.T) { test(t, false) })
	t.Run("portable", func(t *testing.T) { test(t, true) })
}

func TestAnswersUseQueriedAddress(t *testing.T) {
	snapshot := answertest.World(t)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	bothWays(t, func(t *testing.T, portable bool) {
		s := serve(t, snapshot, portable, "0.0.0.0:0", "[::]:0", "127.0.0.1:0", "[::1]:0")
		addrs := s.Addrs()
		for _, to := range []netip.AddrPort{
			netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addrs[0].Port()),
			netip.AddrPortFrom(netip.MustParseAddr("127.0.0.77"), addrs[0].Port()),
			netip.AddrPortFrom(netip.IPv6Loopback(), addrs[1].Port()),
			addrs[2], addrs[3],
		} {
			for _, network := range []string{"udp", "tcp"} {
				conn := dial(t, network, to)
				var answer *dns.Msg
				if network == "udp" {
					answer = askUDP(t, conn, query)
				} else {
					if _, err := conn.Write(framed(query)); err != nil {
						t.Fatal(err)
					}
					answer = readFrame(t, conn)
				}
				if len(answer.Answer) != 1 {
					t.Errorf("%s %s: %v", network, to, answer)
				}
			}
		}
		if c := s.Counters(); c.UDP != 5 || c.TCP != 5 || c.Queries != 10 || c.Connections[answer.TCP].Accepted != 5 {
			t.Errorf("counters %+v", c)
		}
	})
}

// TestQueriesBeforeServeAndAtShutdownAreAnswered sends more than one batch before Serve, then
// serves with a context that has ended.
func TestQueriesBeforeServeAndAtShutdownAreAnswered(t *testing.T) {
	snapshot := answertest.World(t)
	bothWays(t, func(t *testing.T, portable bool) {
		s := listen(t, snapshot, portable, "127.0.0.1:0")
		udp, tcp := dial(t, "udp", s.Addrs()[0]), dial(t, "tcp", s.Addrs()[0])
		const count = 200
		query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
		for i := range count {
			binary.BigEndian.PutUint16(query, uint16(i))
			if _, err := udp.Write(query); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		if _, err := tcp.Write(framed(query)); err != nil {
			t.Fatal(err)
		}
		readFrame(t, tcp) // accepted
		if _, err := tcp.Write(framed(query, query)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		seen := map[uint16]bool{}
		for range count {
			seen[readUDP(t, udp).Id] = true
		}
		if len(seen) != count {
			t.Errorf("%d of %d queries answered", len(seen), count)
		}
		readFrame(t, tcp)
		readFrame(t, tcp)
		if _, err := tcp.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestUDPDropsNonQueries(t *testing.T) {
	snapshot := answertest.World(t)
	bothWays(t, func(t *testing.T, portable bool) {
		s := serve(t, snapshot, portable, "127.0.0.1:0")
		conn := dial(t, "udp", s.Addrs()[0])
		for _, junk := range [][]byte{{}, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 100)} {
			if _, err := conn.Write(junk); err != nil {
				t.Fatal(err)
			}
		}
		if answer := askUDP(t, conn, answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA))); answer.Rcode != dns.RcodeSuccess {
			t.Errorf("first to be answered: %v", answer)
		}
		if c := s.Counters(); c.Dropped != 3 || c.UDP != 4 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestTCPAnswersPipelinedQueriesInOrder(t *testing.T) {
	s := serve(t, answertest.World(t), false, "127.0.0.1:0")
	conn := dial(t, "tcp", s.Addrs()[0])
	var queries [][]byte
	const count = 500
	for i := range count {
		query := answertest.Ask([]string{"www.example.com.", "big.example.com.", "alias.example.com."}[i%3], dns.TypeTXT)
		query.Id = uint16(i)
		queries = append(queries, answertest.Packed(t, query))
	}
	go func() { _, _ = conn.Write(framed(queries...)) }()
	for i := range count {
		if answer := readFrame(t, conn); answer.Id != uint16(i) || answer.Truncated {
			t.Fatalf("answer %d: %v", i, answer)
		}
	}
}

func TestTCPAcceptsSplitFrames(t *testing.T) {
	s := serve(t, answertest.World(t), false, "127.0.0.1:0")
	conn := dial(t, "tcp", s.Addrs()[0])
	padded := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0PADDING, make([]byte, 9000)...))
	stream := framed(answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA)), answertest.Packed(t, padded), answertest.Packed(t, answertest.Ask("text.example.com.", dns.TypeTXT)))
	go func() {
		for piece := range slices.Chunk(stream, 7) {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	}()
	for range 3 {
		if answer := readFrame(t, conn); len(answer.Answer) != 1 {
			t.Errorf("%v", answer)
		}
	}
}

func TestTCPClosesOnNonDNS(t *testing.T) {
	s := serve(t, answertest.World(t), false, "127.0.0.1:0")
	conn := dial(t, "tcp", s.Addrs()[0])
	if _, err := conn.Write(append(framed(answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA))), 0, 2, 'h', 'i')); err != nil {
		t.Fatal(err)
	}
	readFrame(t, conn)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after a frame too short for DNS: %v, want the end", err)
	}
}

// TestTCPLimitClosesLongestIdle reaches a limit, and has all but one of the connections query
// again.
func TestTCPLimitClosesLongestIdle(t *testing.T) {
	for _, c := range []struct {
		limit          string
		max, perClient int
	}{{"max", 3, 10}, {"per_client", 10, 3}} {
		t.Run(c.limit, func(t *testing.T) {
			snapshot := answertest.World(t)
			snapshot.Config.Server.TCP.Max, snapshot.Config.Server.TCP.PerClient = c.max, c.perClient
			var log bytes.Buffer
			s := listen(t, snapshot, false, "127.0.0.1:0")
			s.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
			end := running(t, s)
			query := framed(answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA)))
			asks := func(conn net.Conn) {
				t.Helper()
				if _, err := conn.Write(query); err != nil {
					t.Fatal(err)
				}
				readFrame(t, conn)
			}
			var open []net.Conn
			for range 3 {
				open = append(open, dial(t, "tcp", s.Addrs()[0]))
				asks(open[len(open)-1])
			}
			idle := open[1]
			asks(open[0])
			asks(open[2])
			newest := dial(t, "tcp", s.Addrs()[0])
			asks(newest)
			if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the longest-idle connection: %v, want the end", err)
			}
			for _, conn := range []net.Conn{open[0], open[2], newest} {
				asks(conn)
			}
			if n := s.Counters().Connections[answer.TCP]; n.Evicted != 1 || n.Accepted != 4 {
				t.Errorf("counters %+v", n)
			}
			end()
			if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "transport=tcp limit="+c.limit+" ") {
				t.Errorf("log:\n%s", line)
			}
		})
	}
}

func TestTCPClosesIdleAndDrippingConnections(t *testing.T) {
	snapshot := answertest.World(t)
	snapshot.Config.Server.TCP.Idle = 100 * time.Millisecond
	s := serve(t, snapshot, false, "127.0.0.1:0")
	idle, dripping := dial(t, "tcp", s.Addrs()[0]), dial(t, "tcp", s.Addrs()[0])
	go func() {
		for range time.Tick(10 * time.Millisecond) {
			if _, err := dripping.Write([]byte{0xff}); err != nil {
				return
			}
		}
	}()
	for _, conn := range []net.Conn{idle, dripping} {
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("read: %v, want the end", err)
		}
	}
}

func TestTCPClosesClientsThatDoNotRead(t *testing.T) {
	snapshot := answertest.World(t)
	snapshot.Config.Server.TCP.Idle = 100 * time.Millisecond
	s := serve(t, snapshot, false, "127.0.0.1:0")
	conn := dial(t, "tcp", s.Addrs()[0])
	queries := bytes.Repeat(framed(answertest.Packed(t, answertest.Ask("big.example.com.", dns.TypeTXT))), 1000)
	for {
		if _, err := conn.Write(queries); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("the server went on waiting")
			}
			return
		}
	}
}

// streamPair returns both ends of a TCP connection.
func streamPair(t *testing.T) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client = dial(t, "tcp", l.Addr().(*net.TCPAddr).AddrPort()).(*net.TCPConn)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn), client
}
