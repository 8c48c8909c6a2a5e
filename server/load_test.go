package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// manyNames returns a snapshot of count balanced names with one address.
func manyNames(t *testing.T, count int, address string) *snapshot.Snapshot {
	t.Helper()
	var names strings.Builder
	for i := range count {
		fmt.Fprintf(&names, "      n%d: {pool: web}\n", i)
	}
	return answertest.Build(t, `
server: {listen: ["127.0.0.1:0"], workers: 2}
regions: {us: {location: [39, -77]}}
pools: {web: {policy: weighted, members: [{name: a, addresses: [`+address+`]}]}}
zones:
  example.com:
    nameservers: {ns1.example.com: [192.0.2.53]}
    contact: hostmaster@example.com
    names:
`+names.String(), "")
}

// TestReloadUnderLoadLosesNoQuery has many clients query an address that stays, while other
// addresses and thousands of names change.
func TestReloadUnderLoadLosesNoQuery(t *testing.T) {
	const (
		names                        = 2000
		swaps, between               = 10, 20 // queries between two swaps, one by one
		sockets, connections, window = 32, 4, 4
	)
	worlds := [2]*snapshot.Snapshot{manyNames(t, names, "192.0.2.1"), manyNames(t, names, "192.0.2.2")}
	bothWays(t, func(t *testing.T, portable bool) {
		listenOn(worlds[1], "127.0.0.3:0", "127.0.0.1:0", "127.0.0.4:0")
		s := serve(t, worlds[0], portable, "127.0.0.1:0", "127.0.0.2:0")
		at := s.Addrs()[0]
		var clients []*loadClient
		for range sockets {
			clients = append(clients, &loadClient{conn: dial(t, "udp", at)})
		}
		for range connections {
			clients = append(clients, &loadClient{conn: dial(t, "tcp", at), stream: true})
		}
		var over atomic.Bool
		var asking sync.WaitGroup
		for i, c := range clients {
			query := answertest.Packed(t, answertest.Ask(fmt.Sprintf("n%d.example.com.", i*names/len(clients)), dns.TypeA))
			asking.Go(func() {
				if err := c.run(query, window, &over); err != nil {
					t.Errorf("client %d, after %d answers: %v", i, c.answered, err)
				}
			})
		}
		pace := dial(t, "udp", at)
		query := answertest.Packed(t, answertest.Ask("n0.example.com.", dns.TypeA))
		for i := range swaps {
			for range between {
				askUDP(t, pace, query)
			}
			if _, err := s.Swap(worlds[(i+1)%2]); err != nil {
				t.Errorf("swap %d: %v", i, err)
			}
		}
		over.Store(true)
		asking.Wait()
		answered := uint64(swaps * between)
		for _, c := range clients {
			answered += uint64(c.answered)
		}
		if n := s.Counters(); n.Queries != answered || n.Dropped != 0 || answered < (sockets+connections)*window {
			t.Errorf("%d answers, counted %+v", answered, n)
		}
	})
}

// loadClient keeps a window of outstanding queries.
type loadClient struct {
	conn     net.Conn
	stream   bool
	answered int
}

// run queries until over, then waits for the outstanding answers. It fails at the first one that
// is wrong or missing.
func (c *loadClient) run(query []byte, window int, over *atomic.Bool) error {
	missing := map[uint16]bool{}
	id := uint16(0)
	in := make([]byte, 4096)
	for {
		for ; len(missing) < window && !over.Load(); id++ {
			binary.BigEndian.PutUint16(query, id)
			missing[id] = true
			packet := query
			if c.stream {
				packet = framed(query)
			}
			if _, err := c.conn.Write(packet); err != nil {
				return err
			}
		}
		if len(missing) == 0 {
			return nil
		}
		answer, err := c.read(in)
		if err != nil {
			return fmt.Errorf("%d queries without an answer: %w", len(missing), err)
		}
		got := binary.BigEndian.Uint16(answer)
		if !missing[got] || binary.BigEndian.Uint16(answer[6:]) != 1 {
			return fmt.Errorf("answer %x", answer)
		}
		delete(missing, got)
		c.answered++
	}
}

// read reads one answer into in.
func (c *loadClient) read(in []byte) ([]byte, error) {
	if !c.stream {
		n, err := c.conn.Read(in)
		return in[:n], err
	}
	if _, err := io.ReadFull(c.conn, in[:frameHead]); err != nil {
		return nil, err
	}
	in = in[:binary.BigEndian.Uint16(in)]
	_, err := io.ReadFull(c.conn, in)
	return in, err
}
