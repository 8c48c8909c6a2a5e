package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"meridian/server/answer"
	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// openSlots returns n slots with a pipe; the test acts as run.
func openSlots(t *testing.T, n int) *tcpSlots {
	t.Helper()
	s := newTCPSlots(n)
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// passed waits for a slot in the pipe.
func passed(t *testing.T, s *tcpSlots) {
	t.Helper()
	_ = s.in.SetReadDeadline(time.Now().Add(eventTimeout))
	if _, err := s.in.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(eventTimeout); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", eventTimeout, what)
		}
	}
}

// TestContendedSlotPassesThroughPoller checks that a waiting connection continues only
// after the poller has returned the slot.
func TestContendedSlotPassesThroughPoller(t *testing.T) {
	s := openSlots(t, 1)
	if s.acquire(false) {
		t.Fatal("a free slot was waited for")
	}
	got := make(chan bool)
	go func() { got <- s.acquire(false) }()
	eventually(t, "a second connection waits", func() bool { return s.free.Load() == -1 })
	s.release()
	if len(s.ready) != 0 {
		t.Error("the slot was passed on directly")
	}
	passed(t, s)
	s.ready <- struct{}{}
	if !<-got {
		t.Error("acquire does not report that the network was polled")
	}
	s.release()
	if s.free.Load() != 1 {
		t.Errorf("%d slots are free at the end", s.free.Load())
	}
}

// TestPipeliningAllowsNetworkPolls checks that a pipelining connection answers at
// most slotWork queries before the poller has returned, with and without other connections.
func TestPipeliningAllowsNetworkPolls(t *testing.T) {
	const count = 5 * slotWork
	s := New(answertest.World(t), Options{})
	s.tcpSlots = openSlots(t, 1)
	server, client := streamPair(t)
	if _, err := client.Write(bytes.Repeat(framed(answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA))), count)); err != nil {
		t.Fatal(err)
	}
	c := newStream(s, server)
	go c.run()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for before := uint64(0); before < count-slotWork; {
		passed(t, s.tcpSlots)
		answered := s.Counters().TCP
		if answered-before > slotWork {
			t.Fatalf("%d queries answered before the network was polled, want at most %d", answered-before, slotWork)
		}
		before = answered
		s.tcpSlots.ready <- struct{}{}
	}
}

func TestSlotsAllocateNothing(t *testing.T) {
	s := openSlots(t, 1)
	go s.run()
	if n := testing.AllocsPerRun(100, func() { s.acquire(true); s.release() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestClientsThatDoNotReadHoldNoResponder checks that the server needs only one responder for
// each slot, for any number of such clients.
func TestClientsThatDoNotReadHoldNoResponder(t *testing.T) {
	const clients, queries = 40, 8
	snapshot := answertest.World(t)
	snapshot.Config.Server.TCP.Idle = time.Minute
	s := listen(t, snapshot, false, "127.0.0.1:0")
	s.tcpSlots = newTCPSlots(2)
	t.Cleanup(running(t, s))
	together := bytes.Repeat(framed(answertest.Packed(t, answertest.Ask("big.example.com.", dns.TypeTXT))), queries)
	for i := range clients {
		conn := dial(t, "tcp", s.Addrs()[0]).(*net.TCPConn)
		_ = conn.SetReadBuffer(1)
		t.Cleanup(func() { conn.Close() })
		for range 200 {
			if _, err := conn.Write(together); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the client's queries are answered", func() bool { return s.Counters().TCP > uint64(i*queries) })
	}
	const rehearsals = 1 // answers hot queries ahead
	responders := s.Responders()
	if most := len(s.listeners[0].udp) + cap(s.tcpSlots.ready) + rehearsals; responders > most {
		t.Errorf("%d responders for %d clients that do not read, want at most %d", responders, clients, most)
	}
}

// pipelined sends queries with ids from 0, some of them long, in pieces of random size, and
// closes its direction.
func pipelined(t *testing.T, conn *net.TCPConn, random *rand.Rand, count int) {
	var all []byte
	for i := range count {
		query := answertest.Ask([]string{"www.example.com.", "mail.example.com.", "alias.example.com."}[i%3], dns.TypeA)
		if random.IntN(20) == 0 {
			query = answertest.WithOptions(query, &dns.EDNS0_PADDING{Padding: make([]byte, random.IntN(9000))})
		}
		query.Id = uint16(i)
		all = append(all, framed(answertest.Packed(t, query))...)
	}
	for len(all) > 0 {
		n := min(len(all), 1+random.IntN(5000))
		if _, err := conn.Write(all[:n]); err != nil {
			t.Error(err)
			return
		}
		all = all[n:]
	}
	_ = conn.CloseWrite()
}

// TestPipelinedAnswersAreCompleteAndInOrder uses connections that compete for one slot; their
// clients send pieces of random size and close their direction after the last query.
func TestPipelinedAnswersAreCompleteAndInOrder(t *testing.T) {
	const clients, count = 8, 400
	s := listen(t, answertest.World(t), false, "127.0.0.1:0")
	s.tcpSlots = newTCPSlots(1)
	defer running(t, s)()
	var all sync.WaitGroup
	for i := range uint64(clients) {
		conn := dial(t, "tcp", s.Addrs()[0]).(*net.TCPConn)
		all.Go(func() { pipelined(t, conn, rand.New(rand.NewPCG(i, 0)), count) })
		all.Go(func() {
			for id := range count {
				answer, err := (&dns.Conn{Conn: conn}).ReadMsg()
				if err != nil || int(answer.Id) != id || len(answer.Answer) == 0 {
					t.Errorf("client %d: answer %d: %v, %v", i, id, answer, err)
					return
				}
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("client %d, behind the last answer: %v, want the end", i, err)
			}
		})
	}
	all.Wait()
}

// TestReceivedQueriesAreAnsweredAtShutdown uses connections that compete for the slots while the
// server ends.
func TestReceivedQueriesAreAnsweredAtShutdown(t *testing.T) {
	const clients, count = 8, 400
	s := listen(t, answertest.World(t), false, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	query := answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA))
	var queries []byte
	for id := range count {
		binary.BigEndian.PutUint16(query, uint16(id))
		queries = append(queries, framed(query)...)
	}
	var conns []net.Conn
	for range clients {
		conn := dial(t, "tcp", s.Addrs()[0])
		if _, err := conn.Write(framed(query)); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn) // it is accepted
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		if _, err := conn.Write(queries); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		for id := range count {
			if answer := readFrame(t, conn); int(answer.Id) != id {
				t.Fatalf("answer %d is to query %d", id, answer.Id)
			}
		}
	}
}

// TestResetDuringWrite checks that a reset ends only its own connection.
func TestResetDuringWrite(t *testing.T) {
	s := serve(t, answertest.World(t), false, "127.0.0.1:0")
	queries := bytes.Repeat(framed(answertest.Packed(t, answertest.Ask("big.example.com.", dns.TypeTXT))), 200)
	for range 50 {
		conn := dial(t, "tcp", s.Addrs()[0]).(*net.TCPConn)
		if _, err := conn.Write(queries); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn)
		_ = conn.SetLinger(0)
		conn.Close()
	}
	eventually(t, "all connections are closed", func() bool { return s.Counters().Connections[answer.TCP].Open == 0 })
	conn := dial(t, "tcp", s.Addrs()[0])
	if _, err := conn.Write(framed(answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA)))); err != nil {
		t.Fatal(err)
	}
	readFrame(t, conn)
	if free := s.tcpSlots.free.Load(); free < 0 || free > int64(cap(s.tcpSlots.ready)) {
		t.Errorf("%d slots are free", free)
	}
}
