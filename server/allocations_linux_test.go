package server

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/health"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// steady is a query with a snapshot.
type steady struct {
	name     string
	snapshot *snapshot.Snapshot
	query    []byte
}

// steadies returns BenchQueries, and queries of pools that fail open or have a slow start.
func steadies(t *testing.T) []steady {
	checked := func(turn health.Transition) *snapshot.Snapshot {
		const near = "pools:\n  near:\n    policy: proximity\n"
		s := answertest.World(t, near, "checks: {c: {type: tcp, port: 1}}\n"+near+"    check: c\n")
		var turns []health.Transition
		for i, target := range s.Pools.Targets() {
			turn.Index, turn.Target = i, target
			turns = append(turns, turn)
		}
		s.Pools.Apply(turns)
		return s
	}
	query := answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 203, 0, 113)))
	all := []steady{
		{"FailOpen", checked(health.Transition{To: health.Down}), query},
		{"SlowStart", checked(health.Transition{To: health.Up, SlowStartWeight: 100}), query},
	}
	plain := answertest.World(t)
	for name, query := range answertest.BenchQueries(t) {
		all = append(all, steady{name, plain, query})
	}
	return all
}

// batchWorker is a worker on the loopback without its goroutine, and a client of it.
type batchWorker struct {
	*udpWorker
	batch  *batch
	client net.Conn
	in     []byte
}

// newBatchWorker listens on one address and connects its client to another.
func newBatchWorker(t *testing.T, s *Server, listen, ask string) *batchWorker {
	t.Helper()
	asked := netip.AddrPortFrom(netip.MustParseAddr(listen), 0)
	conn, err := listenUDP(asked)
	if err != nil {
		t.Fatal(err)
	}
	w := &batchWorker{udpWorker: newUDPWorker(s, conn, asked.Addr()), in: make([]byte, 4096)}
	t.Cleanup(func() { w.close(false) })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	w.batch = newBatch(raw, w.wildcard)
	_ = conn.SetDeadline(time.Now().Add(eventTimeout))
	w.client = dial(t, "udp", netip.AddrPortFrom(netip.MustParseAddr(ask), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
	return w
}

// exchange answers some queries, in one or several batches as the kernel delivers them.
func (w *batchWorker) exchange(t *testing.T, query []byte, count int) {
	for range count {
		if _, err := w.client.Write(query); err != nil {
			t.Error(err)
		}
	}
	for left := count; left > 0; left -= w.batch.n {
		if err := w.batch.raw.Read(w.batch.receiving); err != nil || w.batch.errno != 0 {
			t.Errorf("%v, %v", err, w.batch.errno)
			return
		}
		w.answerBatch(w.batch)
	}
	for range count {
		if _, err := w.client.Read(w.in); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestTransportsAllocateNothing covers every outcome of the fast path, from receiving to sending:
// a whole round of a UDP worker, also on wildcard sockets, and a TCP connection with queries that
// arrive together.
func TestTransportsAllocateNothing(t *testing.T) {
	for _, one := range steadies(t) {
		t.Run(one.name, func(t *testing.T) {
			s := New(one.snapshot, Options{})
			batchesAllocateNothing(t, s, one.query)
			streamsAllocateNothing(t, s, one.query)
			if open := s.Counters().FailedOpen > 0; open != (one.name == "FailOpen") {
				t.Errorf("failed open: %v", open)
			}
		})
	}
}

func batchesAllocateNothing(t *testing.T, s *Server, query []byte) {
	t.Helper()
	for listen, ask := range map[string]string{"127.0.0.1": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"} {
		if ask == "::1" && !hasIPv6() {
			t.Log("SKIPPED: there is no IPv6")
			continue
		}
		w := newBatchWorker(t, s, listen, ask)
		w.exchange(t, query, batchSize) // allocates the buffer for answers
		if n := testing.AllocsPerRun(20, func() { w.exchange(t, query, 8) }); n != 0 {
			t.Errorf("%s by UDP: %v allocations a batch", listen, n)
		}
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func streamsAllocateNothing(t *testing.T, s *Server, query []byte) {
	t.Helper()
	const together = 8
	server, client := streamPair(t)
	c := newStream(s, server)
	var frames []byte
	for range together {
		frames = append(frames, framed(query)...)
	}
	in := make([]byte, frameHead+answer.MaxSize)
	exchange := func() {
		c.in = append(c.in, frames...)
		if !c.answer() || len(c.in) > 0 {
			t.Errorf("unanswered are %d octets", len(c.in))
		}
		for range together {
			if _, err := io.ReadFull(client, in[:frameHead]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, in[:binary.BigEndian.Uint16(in)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	exchange()
	if n := testing.AllocsPerRun(50, exchange); n != 0 {
		t.Errorf("by TCP: %v allocations for %d queries", n, together)
	}
}
