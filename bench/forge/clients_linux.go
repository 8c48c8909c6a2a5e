package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	attempts   = 5                      // over UDP, before a query is given up
	timeout    = 300 * time.Millisecond // of one attempt
	tcpTimeout = 3 * time.Second
	pause      = 2 * time.Millisecond // between two queries of a client
	clients    = 4                    // of each kind
	cookieSize = 48                   // digits of a cookie with that of the server
)

// The kinds of clients.
const (
	withoutCookie = iota
	withCookie
	kinds
)

// tally is what the queries of clients have met.
type tally struct {
	asked, first, answered, overTCP int // queries; answered at the first attempt; answered at all; of them over TCP
	latencies                       []time.Duration
}

// add adds the tally of another client.
func (t *tally) add(u tally) {
	t.asked, t.first, t.answered, t.overTCP = t.asked+u.asked, t.first+u.first, t.answered+u.answered, t.overTCP+u.overTCP
	t.latencies = append(t.latencies, u.latencies...)
}

// line formats the tally.
func (t *tally) line(prefix string) string {
	slices.Sort(t.latencies)
	at := func(permille int) float64 {
		if len(t.latencies) == 0 {
			return 0
		}
		return float64(t.latencies[(len(t.latencies)-1)*permille/1000].Microseconds()) / 1000
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(max(1, t.asked)) }
	return fmt.Sprintf("%[1]s_asked %[2]d  %[1]s_first_percent %.2[3]f  %[1]s_answered_percent %.3[4]f  %[1]s_p50_ms %.2[5]f  %[1]s_p99_ms %.2[6]f",
		prefix, t.asked, share(t.first), share(t.answered), at(500), at(990))
}

// connect returns the clients of both kinds. Those with cookies have got one of the server: the flood has not begun yet.
func connect(o options) (all []*client, err error) {
	for kind := range kinds {
		for i := range clients {
			// Every second client is one of IPv6. With 100,000 sources they are in networks of the flood, with other addresses.
			c := &client{kind: kind, source: source(i*1000 + 1).Next(), server: o.servers[0], name: o.name}
			if i%2 == 1 {
				c.source, c.server = source(networksIPv4+i*1000+1).Next(), o.servers[1]
			}
			if kind == withCookie {
				c.source, c.cookie = c.source.Next(), "0123456789abcdef"
			}
			if err := c.connect(); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// ask runs the clients, and returns what each kind has met.
func ask(all []*client, d time.Duration) (met [kinds]tally) {
	var running sync.WaitGroup
	end := time.Now().Add(d)
	for _, c := range all {
		running.Go(func() {
			for time.Now().Before(end) {
				c.query()
				time.Sleep(pause)
			}
		})
	}
	running.Wait()
	for _, c := range all {
		met[c.kind].add(c.met)
		_ = c.conn.Close()
	}
	return met
}

// client asks one query at a time.
type client struct {
	kind   int
	source netip.Addr
	server netip.AddrPort
	conn   *dns.Conn
	name   string
	cookie string // empty: it sends none
	id     uint16
	met    tally
}

// connect opens the socket, and gets a cookie if the client uses them.
func (c *client) connect() error {
	dialer := net.Dialer{Control: anySource, LocalAddr: &net.UDPAddr{IP: c.source.AsSlice()}}
	udp, err := dialer.Dial("udp", c.server.String())
	if err != nil {
		return err
	}
	c.conn = &dns.Conn{Conn: udp, UDPSize: 4096}
	for range attempts + 1 {
		if c.cookie == "" || len(c.cookie) == cookieSize {
			return nil
		}
		_, _ = c.attempt() // without an answer, there is no cookie
	}
	return fmt.Errorf("%s has got no cookie of %s in %d attempts", c.source, c.server, attempts)
}

// query asks until there is an answer, over TCP once an answer is truncated.
func (c *client) query() {
	c.met.asked++
	begin := time.Now()
	for i := range attempts {
		reply, err := c.attempt()
		if err != nil {
			continue
		}
		if reply.Truncated {
			c.met.overTCP++
			over := dns.Client{Net: "tcp", Timeout: tcpTimeout, Dialer: &net.Dialer{Control: anySource, LocalAddr: &net.TCPAddr{IP: c.source.AsSlice()}, Timeout: tcpTimeout}}
			if reply, _, err = over.Exchange(question(c.name), c.server.String()); err != nil {
				return
			}
		}
		if len(reply.Answer) > 0 {
			c.met.answered++
			c.met.latencies = append(c.met.latencies, time.Since(begin))
			if i == 0 {
				c.met.first++
			}
			return
		}
	}
}

// attempt sends a query over UDP and waits for its answer, of which it keeps the cookie.
func (c *client) attempt() (*dns.Msg, error) {
	m := question(c.name)
	c.id++
	m.Id = c.id
	if c.cookie != "" {
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c.cookie}}
	}
	_ = c.conn.SetDeadline(time.Now().Add(timeout))
	if err := c.conn.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		reply, err := c.conn.ReadMsg()
		if err != nil {
			return nil, err
		}
		if reply.Id != c.id {
			continue
		}
		if opt := reply.IsEdns0(); opt != nil {
			for _, option := range opt.Option {
				if o, ok := option.(*dns.EDNS0_COOKIE); ok {
					c.cookie = o.Cookie
				}
			}
		}
		return reply, nil
	}
}
