//go:build unix

package handover

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// successorMode is the environment variable that makes the test binary a successor.
const successorMode = "HANDOVER_TEST_SUCCESSOR"

var (
	anyPort = netip.MustParseAddrPort("127.0.0.1:0")
	ready   = []byte("ready")
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(successorMode); mode != "" {
		if err := succeed(mode); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// succeed is what a successor does in a mode.
func succeed(mode string) error {
	p, err := Inherit()
	if err != nil {
		return err
	}
	switch mode {
	case "fails":
		p.Fail(errors.New("the reason"))
		return nil
	case "hangs":
		select {}
	}
	first, second := p.Sockets.Take(UDP, anyPort), p.Sockets.Take(UDP, anyPort)
	if len(first) != 2 || len(second) != 1 || p.Sockets.Take(UDP, anyPort) != nil || p.Sockets.Take(API, anyPort) != nil {
		return errors.New("wrong sockets")
	}
	state, err := p.Loaded(Loaded{Version: "2", Hash: "abc"})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go p.Receive(func(at netip.AddrPort, conn *net.TCPConn, received []byte) {
		defer close(done)
		_, _ = conn.Write(slices.Concat(state, received, []byte(at.String())))
		conn.Close()
	})
	conn, err := net.FilePacketConn(second[0])
	if err != nil {
		return err
	}
	if err := p.Ready(); err != nil {
		return err
	}
	defer func() { <-done }()
	in := make([]byte, 100)
	_, from, err := conn.ReadFrom(in)
	if err == nil {
		_, err = conn.WriteTo(ready, from)
	}
	return err
}

// sockets returns two groups of open sockets with the same configured address.
func sockets(t *testing.T) (groups []Open, last net.PacketConn) {
	t.Helper()
	for _, n := range []int{2, 1} {
		g := Open{Use: UDP, Address: anyPort}
		for range n {
			conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			g.Conns = append(g.Conns, conn.(syscall.Conn))
			last = conn
		}
		groups = append(groups, g)
	}
	return groups, last
}

func start(t *testing.T, mode string, groups []Open) *Successor {
	t.Helper()
	t.Setenv(successorMode, mode)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(program, groups)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (client net.Conn, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); accepted.Close() })
	return client, accepted.(*net.TCPConn)
}

func TestSuccessorGetsSocketsStateAndConnections(t *testing.T) {
	groups, last := sockets(t)
	s := start(t, "serves", groups)
	loaded, err := s.AwaitLoaded(t.Context())
	if err != nil || *loaded != (Loaded{"2", "abc"}) {
		t.Fatal(loaded, err)
	}
	if err := s.Continue(t.Context(), []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	client, server := tcpPair(t)
	at := netip.MustParseAddrPort("[::1]:53")
	if err := s.Pass(at, server, []byte("part"), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	server.Close() // the successor has it
	got := new(bytes.Buffer)
	if _, err := got.ReadFrom(client); err != nil || got.String() != `{"n":1}part[::1]:53` {
		t.Errorf("%q, %v", got, err)
	}
	// The socket still does not block: a read with a deadline returns.
	if err := last.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := last.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	asked, err := net.Dial("udp", last.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	answer := make([]byte, 10)
	if _, err := asked.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := asked.Read(answer); err != nil || !bytes.Equal(answer[:n], ready) {
		t.Error(string(answer[:n]), err)
	}
}

func TestFailureOfSuccessorIsExplained(t *testing.T) {
	for _, c := range []struct{ mode, want string }{
		{"fails", "the reason"},
		{"unknown", "exit status 1"}, // it gets no sockets
	} {
		s := start(t, c.mode, nil)
		if _, err := s.AwaitLoaded(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.mode, err, c.want)
		}
	}
	if _, err := Start("/nonexistent", nil); err == nil {
		t.Error("a missing program: no error")
	}
}

func TestWaitingForSuccessorEndsWithContext(t *testing.T) {
	s := start(t, "hangs", nil)
	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(late)
	if _, err := s.AwaitLoaded(ctx); !errors.Is(err, late) {
		t.Error(err)
	}
	s.Kill() // returns: the process has ended
}

// TestPassingConnectionsEndsAtTheDeadline passes connections to a successor that receives none, until its channel is full.
func TestPassingConnectionsEndsAtTheDeadline(t *testing.T) {
	s := start(t, "hangs", nil)
	_, server := tcpPair(t)
	deadline, received := time.Now().Add(100*time.Millisecond), make([]byte, maxReceived)
	for range 1000 {
		if err := s.Pass(anyPort, server, received, deadline); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("1000 connections are passed, and none is received")
}

func TestWithoutPredecessorNothingIsInherited(t *testing.T) {
	p, err := Inherit()
	if p != nil || err != nil {
		t.Fatal(p, err)
	}
	p.Fail(errors.New("no effect"))
	var none *Sockets
	if none.Take(UDP, anyPort) != nil || none.Close() != nil {
		t.Error("nil has sockets")
	}
}

func TestEnvironmentOfSuccessorNamesNoOtherProcess(t *testing.T) {
	got := inheritable([]string{"A=1", "LISTEN_PID=7", "LISTEN_FDS=1", "LISTEN_FDNAMES=x", "WATCHDOG_PID=7", "WATCHDOG_USEC=5", variable + "={}"})
	if want := []string{"A=1", "WATCHDOG_USEC=5"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(`{"version":1,"sockets":[{"use":"udp","address":"127.0.0.1:53","count":2}]}`)
	f.Add(`{"version":1,"sockets":[{"use":"udp","address":"127.0.0.1:53","count":-1}]}`)
	f.Add(`{"version":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		for _, s := range m.Sockets {
			if s.Count < 1 || s.Count > maxSockets {
				t.Errorf("%d sockets", s.Count)
			}
		}
	})
}

func FuzzDecodeConnection(f *testing.F) {
	whole, err := (&connection{netip.MustParseAddrPort("192.0.2.1:53"), []byte("x")}).encode()
	if err != nil {
		f.Fatal(err)
	}
	for n := range len(whole) + 1 {
		f.Add(whole[:n])
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		c, err := decodeConnection(packet)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err == nil && c.at.Addr().Zone() == "" && !bytes.Equal(again, packet) {
			t.Errorf("%x decodes to %v and encodes to %x", packet, c, again)
		}
	})
}
