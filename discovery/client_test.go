package discovery

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// A message that does not answer the question is ignored; the right one may still arrive.
func TestUnrelatedMessagesAreIgnored(t *testing.T) {
	strays := map[string]func(m *dns.Msg){
		"wrong id":       func(m *dns.Msg) { m.Id++ },
		"wrong name":     func(m *dns.Msg) { m.Question[0].Name = "evil.example." },
		"wrong type":     func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
		"wrong class":    func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"no response":    func(m *dns.Msg) { m.Response = false },
		"wrong opcode":   func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"no question":    func(m *dns.Msg) { m.Question = nil },
		"two questions":  func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"garbage":        nil,
		"a bare header":  nil,
		"nothing at all": nil,
	}
	for name, spoil := range strays {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clientOf(func(network, _ string, q *dns.Msg) [][]byte {
					stray := reply(q, "lb.example. 60 A 192.0.2.66")
					var bytes []byte
					switch name {
					case "garbage":
						bytes = append(packed(reply(q))[0][:12], "\xc0\x0c\xff\xff\xff"...)
					case "a bare header":
						bytes = packed(reply(q))[0][:12]
					case "nothing at all":
						bytes = []byte{0}
					default:
						spoil(stray)
						bytes = packed(stray)[0]
					}
					return [][]byte{bytes, packed(reply(q, "lb.example. 60 A 192.0.2.1"))[0]}
				})
				found, err := c.lookup(t.Context(), "lb.example.", ipv4)
				expect(t, "error", err, nil)
				expect(t, "addresses", list(found.addrs), "192.0.2.1")
			})
		})
	}
}

func TestNamesIgnoreCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(func(_, _ string, q *dns.Msg) [][]byte {
			q.Question[0].Name = "LB.Example."
			return packed(reply(q, "lB.exAMPLE. 60 CNAME Front.Example.", "FRONT.example. 60 A 192.0.2.1"))
		})
		found, err := c.lookup(t.Context(), "lb.example.", ipv4)
		expect(t, "error", err, nil)
		expect(t, "addresses", list(found.addrs), "192.0.2.1")
	})
}

func TestTruncatedAnswerIsRetriedOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var over []string
		c := clientOf(func(network, _ string, q *dns.Msg) [][]byte {
			over = append(over, network)
			if network == "udp" {
				m := reply(q, "lb.example. 60 A 192.0.2.66")
				m.Truncated = true
				return packed(m)
			}
			var records []string
			for i := range 3000 {
				records = append(records, fmt.Sprintf("lb.example. 60 A 10.0.%d.%d", i/250, i%250))
			}
			m := reply(q, records...)
			m.Compress = true
			return packed(m)
		})
		found, err := c.lookup(t.Context(), "lb.example.", ipv4)
		expect(t, "error", err, nil)
		expect(t, "addresses", len(found.addrs), 3000)
		expect(t, "asked over", strings.Join(over, " "), "udp tcp")
	})
}

func TestUnrelatedMessageOverTCPIsAnError(t *testing.T) {
	for name, spoil := range map[string]func(m *dns.Msg){
		"wrong id":        func(m *dns.Msg) { m.Id++ },
		"truncated again": func(m *dns.Msg) { m.Truncated = true },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clientOf(func(network, _ string, q *dns.Msg) [][]byte {
				m := reply(q, "lb.example. 60 A 192.0.2.66")
				if network == "udp" {
					m.Truncated = true
				} else {
					spoil(m)
				}
				return packed(m)
			})
			_, err := c.lookup(t.Context(), "lb.example.", ipv4)
			if err == nil || !strings.Contains(err.Error(), "192.0.2.53:53: the response over tcp does not answer the question") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// After a server without an answer, the next one is queried; the first answer counts.
func TestServersAreQueriedInOrderUntilOneAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		var mu sync.Mutex
		c := clientOf(func(_, server string, q *dns.Msg) [][]byte {
			mu.Lock()
			asked = append(asked, server[:1])
			mu.Unlock()
			switch server[0] {
			case '1':
				return packed(failure(q, dns.RcodeServerFailure))
			case '2':
				return packed(failure(q, dns.RcodeRefused))
			case '3':
				return [][]byte{} // no reply
			case '4':
				m := reply(q)
				m.RecursionAvailable = false // a referral, or a server without data
				return packed(m)
			}
			return packed(reply(q, "lb.example. 60 A 192.0.2.1"))
		})
		c.servers = servers("1.0.0.1:53", "2.0.0.1:53", "3.0.0.1:53", "4.0.0.1:53", "5.0.0.1:53", "6.0.0.1:53")
		begun := time.Now()
		found, err := c.lookup(t.Context(), "lb.example.", ipv4)
		expect(t, "error", err, nil)
		expect(t, "addresses", list(found.addrs), "192.0.2.1")
		expect(t, "asked", strings.Join(asked, ""), "12345")
		expect(t, "waited", time.Since(begun), tryTimeout)
	})
}

func TestErrorHasTheReasonOfEachServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silence := upstream(func(string, string, *dns.Msg) [][]byte { return [][]byte{} })
		c := clientOf(silence)
		c.servers = servers("1.0.0.1:53", "2.0.0.1:53")
		c.dial = func(ctx context.Context, network, server string) (net.Conn, error) {
			if server[0] == '1' {
				return nil, errRefused
			}
			return silence.dial(ctx, network, server)
		}
		begun := time.Now()
		_, err := c.lookup(t.Context(), "lb.example.", ipv4)
		expect(t, "error", fmt.Sprint(err), "1.0.0.1:53: connection refused\n2.0.0.1:53: no answer over udp within 1.5s")
		expect(t, "waited", time.Since(begun), rounds*tryTimeout)
	})
}

func TestFloodOfUnrelatedMessagesEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(nil)
		c.dial = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				_ = readQuestion(theirs, "udp")
				for {
					time.Sleep(10 * time.Millisecond)
					if _, err := theirs.Write([]byte("stray")); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}
		begun := time.Now()
		_, err := c.lookup(t.Context(), "lb.example.", ipv4)
		if err == nil || time.Since(begun) != rounds*tryTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		time.Sleep(time.Second) // synthetic time, for the server to notice
	})
}

func TestSlowTCPServerEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(nil)
		c.dial = func(_ context.Context, network, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				q := readQuestion(theirs, network)
				if network == "udp" {
					m := reply(q)
					m.Truncated = true
					_, _ = theirs.Write(packed(m)[0])
					return
				}
				for _, b := range append([]byte{0xff, 0xff}, make([]byte, 100)...) {
					time.Sleep(time.Second)
					if _, err := theirs.Write([]byte{b}); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}
		_, err := c.lookup(t.Context(), "lb.example.", ipv4)
		if err == nil || !strings.Contains(err.Error(), "no answer over tcp within 1.5s") {
			t.Error(err)
		}
		time.Sleep(time.Second) // synthetic time, for the server to notice
	})
}

// RFC 6891 7: a server without EDNS support returns FORMERR, sometimes without the question.
func TestServerWithoutEDNSIsQueriedWithoutIt(t *testing.T) {
	for _, echo := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := clientOf(func(_, _ string, q *dns.Msg) [][]byte {
				if q.IsEdns0() == nil {
					return packed(reply(q, "lb.example. 60 A 192.0.2.1"))
				}
				m := failure(q, dns.RcodeFormatError)
				if !echo {
					m.Question = nil
				}
				return packed(m)
			})
			found, err := c.lookup(t.Context(), "lb.example.", ipv4)
			expect(t, "error", err, nil)
			expect(t, "addresses", list(found.addrs), "192.0.2.1")
		})
	}
}

func TestContextEndsALookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(func(string, string, *dns.Msg) [][]byte { return [][]byte{} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := c.lookup(ctx, "lb.example.", ipv4)
		expect(t, "error", err, context.DeadlineExceeded)
		expect(t, "waited", time.Since(begun), time.Millisecond)
	})
}
