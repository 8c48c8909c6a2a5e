package server

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"meridian/config"
)

// connAt returns a connection from an address with the given last activity.
func connAt(from string, active int64) *openConn {
	c := &openConn{client: clientNetwork(netip.MustParseAddr(from))}
	c.active.Store(active)
	return c
}

func TestClientNetwork(t *testing.T) {
	const limit = 3
	for _, c := range []struct {
		what, first, next string
		evicts            bool
	}{
		{"the same IPv4 address", "192.0.2.1", "192.0.2.1", true},
		{"the next IPv4 address", "192.0.2.1", "192.0.2.2", false},
		{"another address of a /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"the next /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
	} {
		conns := newTCPConns()
		var open []*openConn
		add := func(from string) []eviction {
			c := connAt(from, int64(len(open)))
			open = append(open, c)
			evicted, _ := conns.add(c, config.TCP{Max: 100, PerClient: limit})
			return evicted
		}
		for range limit {
			if len(add(c.first)) > 0 {
				t.Fatalf("%s: evicted below the limit", c.what)
			}
		}
		if evicted := add(c.next); (len(evicted) > 0) != c.evicts || c.evicts && evicted[0].conn != open[0] {
			t.Errorf("%s: evicted %v, want %v", c.what, evicted, c.evicts)
		}
		for _, c := range open {
			conns.remove(c)
		}
		if len(conns.byClient) != 0 || len(conns.all) != 0 {
			t.Errorf("%s: still there are %v", c.what, conns.byClient)
		}
	}
}

// slowConns is the reference for tcpConns: it scans all connections.
type slowConns []*openConn

// add returns the connections evicted for c.
func (s *slowConns) add(c *openConn, limits config.TCP) (evicted []*openConn) {
	same := func(o *openConn) bool { return o.client == c.client }
	for len(s.of(same)) >= limits.PerClient {
		evicted = append(evicted, s.evict(same))
	}
	all := func(*openConn) bool { return true }
	for len(*s) >= limits.Max {
		evicted = append(evicted, s.evict(all))
	}
	*s = append(*s, c)
	return evicted
}

func (s *slowConns) of(among func(*openConn) bool) slowConns {
	return slices.DeleteFunc(slices.Clone(*s), func(c *openConn) bool { return !among(c) })
}

func (s *slowConns) evict(among func(*openConn) bool) *openConn {
	idle := slices.MinFunc(s.of(among), func(a, b *openConn) int { return int(a.active.Load() - b.active.Load()) })
	s.remove(idle)
	return idle
}

func (s *slowConns) remove(c *openConn) {
	*s = slices.DeleteFunc(*s, func(o *openConn) bool { return o == c })
}

// TestEvictionsMatchReference opens, uses and closes connections at random, while the limits
// change.
func TestEvictionsMatchReference(t *testing.T) {
	const seeds, steps = 20, 500
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 0))
		conns, want := newTCPConns(), slowConns{}
		limits := config.TCP{Max: 20, PerClient: 6}
		for now := range int64(steps) {
			switch kind := random.IntN(10); {
			case kind < 5:
				c := connAt(netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(8))}).String(), now)
				evicted, ok := conns.add(c, limits)
				var got []*openConn
				for _, e := range evicted {
					got = append(got, e.conn)
				}
				if expected := want.add(c, limits); !ok || !slices.Equal(got, expected) {
					t.Fatalf("seed %d, step %d: evicted %v, want %v", seed, now, got, expected)
				}
			case kind == 5:
				limits = config.TCP{Max: 1 + random.IntN(30), PerClient: 1 + random.IntN(8)}
			case len(want) == 0:
			case kind == 6:
				c := want[random.IntN(len(want))]
				conns.remove(c)
				want.remove(c)
				conns.remove(c) // as an evicted connection does when it ends
			default:
				want[random.IntN(len(want))].active.Store(now)
			}
		}
		open := 0
		conns.close(func(*openConn) { open++ })
		if _, ok := conns.add(connAt("192.0.2.1", steps), limits); open != len(want) || ok {
			t.Errorf("seed %d: %d connections open, want %d; accepted at the end: %v", seed, open, len(want), ok)
		}
	}
}
