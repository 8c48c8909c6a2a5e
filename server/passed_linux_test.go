package server

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// copyOf returns a connection for another descriptor of the socket of conn, as another process gets it.
func copyOf(t *testing.T, conn *net.TCPConn) *net.TCPConn {
	t.Helper()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	copied, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return copied.(*net.TCPConn)
}

// TestResetConnectionIsNotAdopted passes a connection that its client has reset: it has no remote address.
func TestResetConnectionIsNotAdopted(t *testing.T) {
	to := serve(t, answertest.World(t), false, "127.0.0.1:0")
	<-to.Serving()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := dial(t, "tcp", l.Addr().(*net.TCPAddr).AddrPort()).(*net.TCPConn)
	accepted, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	_ = client.SetLinger(0)
	client.Close()
	if _, err := accepted.Read(make([]byte, 1)); err == nil {
		t.Fatal("the client did not reset the connection")
	}
	copied := copyOf(t, accepted)
	to.Adopt(netip.MustParseAddrPort("127.0.0.1:0"), copied, nil)
	if err := copied.SetDeadline(time.Time{}); err == nil {
		t.Error("the connection is open")
	}
	if got := to.Counters().Connections[answer.TCP].Accepted; got != 0 {
		t.Errorf("%d connections are accepted, want 0", got)
	}
}

// TestBufferOfPassedConnectionIsNotReused passes connections that pipelined: their queries are in buffers of the pool,
// and takes all buffers of the pool while they are passed.
func TestBufferOfPassedConnectionIsNotReused(t *testing.T) {
	const connections, pipelined, part = 4, 240, 7
	from, to := listen(t, answertest.World(t), false, "127.0.0.1:0"), serve(t, answertest.World(t), false, "127.0.0.1:0")
	<-to.Serving()
	query := framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)))
	var passing sync.WaitGroup
	var large sync.Map // the clients with queries that were in a buffer of the pool
	from.PassConnections(func(at netip.AddrPort, conn *net.TCPConn, received []byte, _ time.Time) error {
		for range connections {
			taken := from.tcpBuffers.get()
			clear(taken[:cap(taken)])
		}
		if cap(received) == tcpBufferSize {
			large.Store(conn.RemoteAddr().String(), true)
		}
		copied, passed := copyOf(t, conn), slices.Clone(received)
		passing.Go(func() { to.Adopt(at, copied, passed) })
		return nil
	})
	end := running(t, from)
	var clients []net.Conn
	for range connections {
		client := dial(t, "tcp", from.Addrs()[0])
		if _, err := client.Write(append(bytes.Repeat(query, pipelined), query[:part]...)); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	for _, client := range clients {
		for range pipelined {
			readFrame(t, client)
		}
	}
	end()
	passing.Wait()
	count := 0
	for _, client := range clients {
		if _, ok := large.Load(client.LocalAddr().String()); ok {
			count++
		}
		if _, err := client.Write(query[part:]); err != nil {
			t.Fatal(err)
		}
		if m := readFrame(t, client); len(m.Answer) == 0 {
			t.Errorf("answer %v", m)
		}
	}
	if count == 0 {
		t.Error("no connection had a buffer of the pool")
	}
}
