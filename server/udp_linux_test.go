package server

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/counterpart"
	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// tightPair returns two connected datagram sockets with a small buffer: unlike UDP on the
// loopback, the sender gets an error when it is full.
func tightPair(t *testing.T) (sender, receiver *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // the minimum
		t.Fatal(err)
	}
	conns := make([]*net.UnixConn, len(fds))
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(eventTimeout))
		conns[i] = conn.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// fullBatch returns a whole batch of answers to send by conn, with the given sizes; each begins
// with its number.
func fullBatch(t *testing.T, conn *net.UnixConn, size func(i int) int) *batch {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(raw, false)
	for i := range batchSize {
		answer := make([]byte, size(i))
		binary.BigEndian.PutUint16(answer, uint16(i))
		b.answerBuf = append(b.answerBuf, answer...)
		b.answerEnds[i] = len(b.answerBuf)
		b.answers[i].Hdr.SetIovlen(1)
	}
	b.setIovecs(batchSize)
	return b
}

// numbers reads answers until the one with number last.
func numbers(t *testing.T, conn *net.UnixConn, last int) (got []int) {
	t.Helper()
	in := make([]byte, 4096)
	for {
		n, err := conn.Read(in)
		if err != nil || n < 2 {
			t.Errorf("after %v: %d octets, %v", got, n, err)
			return got
		}
		got = append(got, int(binary.BigEndian.Uint16(in)))
		if got[len(got)-1] == last {
			return got
		}
	}
}

// TestBatchWaitsForRoom sends more than the socket buffers: the kernel takes part of a batch,
// then nothing, and the rest when there is room.
func TestBatchWaitsForRoom(t *testing.T) {
	sender, receiver := tightPair(t)
	b := fullBatch(t, sender, func(int) int { return 500 })
	b.room.wait, b.room.waits = int(eventTimeout.Milliseconds()), batchSize
	waited := make(chan bool, 1)
	sendAll := b.sending
	b.sending = func(fd uintptr) {
		waited <- !b.send(fd)
		sendAll(fd)
	}
	lost := make(chan int, 1)
	go func() { n, _ := b.flush(); lost <- n }()
	if !<-waited { // nothing is read before, so that the buffer fills
		t.Error("all went without a wait: this tests nothing")
	}
	got := numbers(t, receiver, batchSize-1)
	if n := <-lost; n != 0 || len(got) != batchSize || !slices.IsSorted(got) {
		t.Errorf("%d lost, %v came", n, got)
	}
}

// TestBatchDropsUnsendableAnswers checks that one answer refused by the socket does not affect
// the others.
func TestBatchDropsUnsendableAnswers(t *testing.T) {
	sender, receiver := tightPair(t)
	tooLong := []int{0, 7, 8, batchSize - 2}
	b := fullBatch(t, sender, func(i int) int {
		if slices.Contains(tooLong, i) {
			return 1 << 20 // EMSGSIZE
		}
		return 100
	})
	lost := make(chan int, 1)
	b.room.wait, b.room.waits = int(eventTimeout.Milliseconds()), batchSize
	go func() { n, _ := b.flush(); lost <- n }()
	got := numbers(t, receiver, batchSize-1)
	if n := <-lost; n != len(tooLong) || len(got) != batchSize-len(tooLong) {
		t.Errorf("%d lost, %v came", n, got)
	}
}

// TestFullSocketDoesNotBlockWorker checks that answers without room are dropped and counted, and that
// batches do not wait again until one is sent completely.
func TestFullSocketDoesNotBlockWorker(t *testing.T) {
	sender, receiver := tightPair(t)
	b := fullBatch(t, sender, func(int) int { return 500 })
	lost, noRoom := b.flush()
	if lost == 0 || lost == batchSize || noRoom != lost || !b.room.full {
		t.Errorf("%d lost, %d of them for want of room; full: %v", lost, noRoom, b.room.full)
	}
	b.room.wait = int(eventTimeout.Milliseconds()) // nothing ends the wait
	b.setIovecs(batchSize)
	if again, _ := b.flush(); again != batchSize {
		t.Errorf("%d lost, want all %d", again, batchSize)
	}
	if got := numbers(t, receiver, batchSize-lost-1); len(got) != batchSize-lost {
		t.Errorf("%d lost, %v came", lost, got)
	}
	b.setIovecs(1)
	if lost, _ := b.flush(); lost != 0 || b.room.full {
		t.Errorf("with room, %d lost; full: %v", lost, b.room.full)
	}
}

// TestIdleWorkerSleeps counts the system calls of a worker: a few for each query, and none
// between them.
func TestIdleWorkerSleeps(t *testing.T) {
	s := New(answertest.World(t), Options{})
	localhost := netip.MustParseAddrPort("127.0.0.1:0")
	conn, err := listenUDP(localhost)
	if err != nil {
		t.Fatal(err)
	}
	w := newUDPWorker(s, conn, localhost.Addr())
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(raw, false)
	var asked atomic.Int64
	receiving := b.receiving
	b.receiving = func(fd uintptr) bool { asked.Add(1); return receiving(fd) }
	go func() { defer close(w.done); w.serveBatches(b) }()

	client := dial(t, "udp", conn.LocalAddr().(*net.UDPAddr).AddrPort())
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	const queries, each = 200, 4
	for range queries {
		askUDP(t, client, query)
	}
	if n := asked.Load(); n > queries*each {
		t.Errorf("the socket was asked %d times for %d queries", n, queries)
	}
	w.drain(time.Now().Add(drainTime))
	w.close(true)
}

// TestAnswersThatFitEveryPathAreNotFragmented checks the sockets, which a reload keeps.
func TestAnswersThatFitEveryPathAreNotFragmented(t *testing.T) {
	small, large := answertest.World(t), answertest.World(t, "nsid: test", "nsid: test, udp_size: 1400")
	listenOn(large, "127.0.0.1:0")
	s := serve(t, small, false, "127.0.0.1:0")
	discover := func() int {
		return socketOption(t, s.listeners[0].udp[0].conn, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER)
	}
	if got := discover(); got != unix.IP_PMTUDISC_PROBE {
		t.Errorf("path MTU discovery is %d, want %d", got, unix.IP_PMTUDISC_PROBE)
	}
	if _, err := s.Swap(large); err != nil {
		t.Fatal(err)
	}
	if got := discover(); got != unix.IP_PMTUDISC_OMIT {
		t.Errorf("with a larger udp_size, path MTU discovery is %d, want %d", got, unix.IP_PMTUDISC_OMIT)
	}
}

// TestSocketsHaveLargeBuffers expects 4 MiB each way, beyond the system's limit if the process
// may exceed it. The kernel includes its own overhead and reports twice as much (socket(7)).
func TestSocketsHaveLargeBuffers(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		conn, err := listenUDP(netip.MustParseAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		for option, limit := range map[int]string{unix.SO_RCVBUF: "rmem_max", unix.SO_SNDBUF: "wmem_max"} {
			if got, want := socketOption(t, conn, unix.SOL_SOCKET, option), 2*min(4<<20, bufferLimit(t, limit)); got != want {
				t.Errorf("%s: buffer of %d octets, want %d", addr, got, want)
			}
		}
	}
}

func socketOption(t *testing.T, conn *net.UDPConn, level, option int) (value int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = setOptions(raw, func(fd int) (err error) {
		value, err = unix.GetsockoptInt(fd, level, option)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// bufferLimit returns the maximum buffer size of this process: unlimited with CAP_NET_ADMIN.
func bufferLimit(t *testing.T, sysctl string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20) == nil {
		return math.MaxInt32
	}
	text, err := os.ReadFile("/proc/sys/net/core/" + sysctl)
	if err != nil {
		counterpart.Missing(t, err.Error())
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return limit
}
