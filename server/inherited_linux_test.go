package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"meridian/server/answer/answertest"
)

// bound returns UDP sockets that share a port.
func bound(t *testing.T, count int) []*net.UDPConn {
	t.Helper()
	at := netip.MustParseAddrPort("127.0.0.1:0")
	conns := make([]*net.UDPConn, count)
	for i := range conns {
		conn, err := listenUDP(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		at = conn.LocalAddr().(*net.UDPAddr).AddrPort()
		conns[i] = conn
	}
	return conns
}

// TestSocketThatLeavesItsGroupLosesNoPacket sends packets from many ports to two sockets of one address. Those that
// wait in the socket that leaves are still read there and answered, and later ones all go to the other.
func TestSocketThatLeavesItsGroupLosesNoPacket(t *testing.T) {
	const clients = 64
	conns := bound(t, 2)
	leaves, stays := conns[0], conns[1]
	senders := make([]net.Conn, clients)
	send := func() {
		for i := range senders {
			if senders[i] == nil {
				senders[i] = dial(t, "udp", stays.LocalAddr().(*net.UDPAddr).AddrPort())
			}
			if _, err := senders[i].Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send()
	leaveGroup(leaves)
	before := echoWaiting(t, leaves)
	if before == 0 || before == clients {
		t.Fatalf("the kernel assigned %d of %d clients", before, clients)
	}
	send()
	if after := echoWaiting(t, leaves); after != 0 {
		t.Errorf("%d packets came after it left", after)
	}
	if rest := echoWaiting(t, stays); rest != 2*clients-before {
		t.Errorf("the other socket got %d packets, want %d", rest, 2*clients-before)
	}
	for i, conn := range senders {
		in := make([]byte, 1)
		for range 2 {
			_ = conn.SetReadDeadline(time.Now().Add(eventTimeout))
			if _, err := conn.Read(in); err != nil || in[0] != byte(i) {
				t.Fatalf("client %d: %d, %v", i, in[0], err)
			}
		}
	}
}

// echoWaiting sends back the packets that wait in a socket, and returns their number.
func echoWaiting(t *testing.T, conn *net.UDPConn) (count int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := make([]byte, 10)
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			n, from, err := syscall.Recvfrom(int(fd), in, syscall.MSG_DONTWAIT)
			if err != nil {
				if !errors.Is(err, syscall.EAGAIN) {
					failed = err
				}
				return
			}
			if failed = syscall.Sendto(int(fd), in[:n], 0, from); failed != nil {
				return
			}
			count++
		}
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return count
}

// pathDiscovery returns how a socket discovers the MTU of paths, which decides on fragments.
func pathDiscovery(t *testing.T, conn *net.UDPConn) (how int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err == nil {
		err = setOptions(raw, func(fd int) (err error) {
			how, err = unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return how
}

func TestInheritedSocketsGetTheWorkersOfTheConfiguration(t *testing.T) {
	for _, c := range []struct{ missing, surplus, want int }{{0, 0, 1}, {2, 0, 3}, {0, 2, 1}} {
		snapshot := answertest.World(t)
		snapshot.Config.Server.Workers = 1
		s := listen(t, snapshot, false, "127.0.0.1:0")
		l := s.listeners[0]
		l.missing, l.surplus = c.missing, bound(t, c.surplus)
		end := running(t, s)
		<-s.Serving()
		s.mu.Lock()
		if got := len(l.udp); got != c.want || len(l.surplus) != 0 {
			t.Errorf("%d missing, %d surplus: %d workers, want %d", c.missing, c.surplus, got, c.want)
		}
		for i, w := range l.udp {
			if got := pathDiscovery(t, w.conn); got != unix.IP_PMTUDISC_PROBE {
				t.Errorf("%d missing: socket %d has IP_MTU_DISCOVER %d, want %d", c.missing, i, got, unix.IP_PMTUDISC_PROBE)
			}
		}
		s.mu.Unlock()
		conn := dial(t, "udp", s.Addrs()[0])
		askUDP(t, conn, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
		end()
	}
}

// TestSocketsOfTheServiceManagerAllGetWorkers inherits more sockets than the configuration has workers, as systemd
// passes them. Queries that wait in any of them are answered.
func TestSocketsOfTheServiceManagerAllGetWorkers(t *testing.T) {
	conns := bound(t, 3)
	at := conns[0].LocalAddr().(*net.UDPAddr).AddrPort()
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	var clients []net.Conn
	for range 32 {
		client := dial(t, "udp", at)
		if _, err := client.Write(query); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	snapshot := answertest.World(t)
	snapshot.Config.Server.Workers = 1
	s := New(snapshot, Options{})
	l := &listener{server: s, endpoint: endpoint{asked: at}, addr: at}
	var files []*os.File
	for _, conn := range conns {
		file, err := conn.File()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if err := l.useUDP(files, 1, false); err != nil || len(l.udp) != 3 || len(l.surplus) != 0 {
		t.Fatalf("%d workers, %d surplus, want 3 and 0: %v", len(l.udp), len(l.surplus), err)
	}
	for _, w := range l.udp {
		go w.run()
	}
	for _, client := range clients {
		readUDP(t, client)
	}
	for _, w := range l.udp {
		w.drain(time.Now().Add(drainTime))
		w.close(true)
	}
}

// TestConnectionsArePassedBetweenTwoQueries passes connections of one server to another: one that is idle, and one with
// a part of a query.
func TestConnectionsArePassedBetweenTwoQueries(t *testing.T) {
	from, to := listen(t, answertest.World(t), false, "127.0.0.1:0"), serve(t, answertest.World(t), false, "127.0.0.1:0")
	<-to.Serving()
	var passing sync.WaitGroup
	from.PassConnections(func(at netip.AddrPort, conn *net.TCPConn, received []byte, deadline time.Time) error {
		if want := netip.MustParseAddrPort("127.0.0.1:0"); at != want {
			t.Errorf("accepted at %s, want %s", at, want)
		}
		if now := time.Now(); deadline.IsZero() || deadline.After(now.Add(drainTime)) {
			t.Errorf("deadline %v at %v, want the end of draining", deadline, now)
		}
		file, err := conn.File()
		if err != nil {
			return err
		}
		defer file.Close()
		copied, err := net.FileConn(file)
		if err != nil {
			return err
		}
		passing.Go(func() { to.Adopt(at, copied.(*net.TCPConn), received) })
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- from.Serve(ctx) }()
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	idle, partial := dial(t, "tcp", from.Addrs()[0]), dial(t, "tcp", from.Addrs()[0])
	ask := func(conn net.Conn, part []byte) {
		t.Helper()
		if _, err := conn.Write(part); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn)
	}
	ask(idle, query)
	ask(partial, query)
	if _, err := partial.Write(query[:7]); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	passing.Wait()
	ask(idle, query)
	ask(partial, query[7:])
	if got := to.Counters(); got.TCP != 2 {
		t.Errorf("the other server answered %d queries over TCP, want 2", got.TCP)
	}
}

// TestInheritedSocketOfAnotherKindIsAnError passes sockets of the wrong protocol.
func TestInheritedSocketOfAnotherKindIsAnError(t *testing.T) {
	l, err := net.ListenTCP("tcp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if conn, err := inheritedUDP(file, netip.MustParseAddrPort("127.0.0.1:0")); err == nil {
		conn.Close()
		t.Error("a TCP socket passes for UDP")
	}
	other, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := inheritedUDP(other, netip.MustParseAddrPort("127.0.0.1:0")); err == nil {
		t.Error("a directory passes for a socket")
	}
}
