package server

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// recordingRelay passes packets between a client and a server. Until pass, the client gets none, so that it sends early data
// only, which is kept.
type recordingRelay struct {
	client, server *net.UDPConn
	passing        chan struct{} // closed by pass
	pass           func()
	lose           atomic.Int64 // packets of the client to lose; below: none

	mu     sync.Mutex // guards flight
	flight [][]byte
}

// newRecordingRelay returns a relay to a server. It ends with the test.
func newRecordingRelay(t *testing.T, to netip.AddrPort) *recordingRelay {
	t.Helper()
	client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	r := &recordingRelay{client: client, server: server, passing: make(chan struct{})}
	r.pass = sync.OnceFunc(func() { close(r.passing) })
	var from atomic.Pointer[netip.AddrPort]
	var relaying sync.WaitGroup
	relaying.Go(func() {
		in := make([]byte, 1<<16)
		for {
			n, source, err := client.ReadFromUDPAddrPort(in)
			if err != nil {
				return
			}
			from.Store(&source)
			if r.lose.Add(-1) >= 0 {
				continue
			}
			r.record(in[:n])
			_, _ = server.Write(in[:n])
		}
	})
	relaying.Go(func() {
		in := make([]byte, 1<<16)
		for {
			n, err := server.Read(in)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			<-r.passing
			if to := from.Load(); to != nil && err == nil {
				_, _ = client.WriteToUDPAddrPort(in[:n], *to)
			}
		}
	})
	t.Cleanup(func() {
		r.pass()
		_ = client.Close()
		_ = server.Close()
		relaying.Wait()
	})
	return r
}

// record keeps a packet of the client.
func (r *recordingRelay) record(packet []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.passing:
	default:
		r.flight = append(r.flight, bytes.Clone(packet))
	}
}

// replay sends the kept packets to another server.
func (r *recordingRelay) replay(t *testing.T, to netip.AddrPort) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	attacker := dial(t, "udp", to)
	for _, packet := range r.flight {
		if _, err := attacker.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
}
