package server

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// drainBound is the time limit of the tests; the machine may be busy.
const drainBound = 4 * drainTime

// ends runs end and reports an error if it takes longer than drainBound.
func ends(t *testing.T, what string, end func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() { defer close(ended); end() }()
	select {
	case <-ended:
	case <-time.After(drainBound):
		t.Errorf("%s takes longer than %v", what, drainBound)
		<-ended
	}
}

// running starts a server that ends when the returned function is called.
func running(t *testing.T, s *Server) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	return func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// TestWorkersDrainTogether checks that workers with full sockets end at the same time, not one
// after the other.
func TestWorkersDrainTogether(t *testing.T) {
	snapshot := answertest.World(t)
	snapshot.Config.Server.Workers = 8
	s := listen(t, snapshot, false, "127.0.0.1:0")
	end := running(t, s)
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	var quiet atomic.Bool
	flooding := make(chan struct{})
	conns := make([]net.Conn, 64) // the kernel distributes them over the workers
	for i := range conns {
		conns[i] = dial(t, "udp", s.Addrs()[0])
	}
	go func() {
		defer close(flooding)
		for !quiet.Load() {
			for _, conn := range conns {
				_, _ = conn.Write(query) // refused once the sockets are closed
			}
		}
	}()
	for range 100 {
		readUDP(t, conns[0])
	}
	ends(t, "the end under a flood", end)
	quiet.Store(true)
	<-flooding
}

// unread opens a TCP connection that sends queries as long as the server receives them, and reads
// nothing.
func unread(t *testing.T, s *Server) {
	t.Helper()
	conn := dial(t, "tcp", s.Addrs()[0])
	queries := bytes.Repeat(framed(answertest.Packed(t, answertest.Ask("big.example.com.", dns.TypeTXT))), 1000)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := conn.Write(queries); err != nil {
			return // the server blocks in a write
		}
	}
}

func TestSlowReadersDelayNeitherReloadNorShutdown(t *testing.T) {
	first, second := answertest.World(t), answertest.World(t)
	first.Config.Server.TCP.Idle = time.Minute
	s := listen(t, first, false, "127.0.0.1:0")
	end := running(t, s)
	unread(t, s)
	listenOn(second, "127.0.0.2:0")
	ends(t, "the reload", func() {
		if _, err := s.Swap(second); err != nil {
			t.Error(err)
		}
	})
	unread(t, s)
	ends(t, "the end", end)
}

// TestSlowReadersGetOneDeadline checks that a client that reads slowly gets no more time than one
// that reads nothing.
func TestSlowReadersGetOneDeadline(t *testing.T) {
	snapshot := answertest.World(t)
	snapshot.Config.Server.TCP.Idle = time.Minute
	s := listen(t, snapshot, false, "127.0.0.1:0")
	end := running(t, s)
	conn := dial(t, "tcp", s.Addrs()[0])
	go func() {
		// As much as the server accepts: it stops reading when it cannot write.
		queries := bytes.Repeat(framed(answertest.Packed(t, answertest.Ask("big.example.com.", dns.TypeTXT))), 1000)
		for {
			if _, err := conn.Write(queries); err != nil {
				return
			}
		}
	}()
	for range 100 {
		readFrame(t, conn)
	}
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			if _, err := conn.Read(make([]byte, streamChunk)); err != nil {
				return
			}
		}
	}()
	ends(t, "the end", end)
}
