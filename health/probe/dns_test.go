package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/counterpart"
	"meridian/dnsclient"
	"meridian/dnsname"
)

func dnsCheck(port int) config.Check {
	return config.Check{
		Name: "ns", Type: config.DNS, Port: port, Query: "www.example.com.", QueryType: dns.TypeA,
		Interval: 5 * time.Second, Timeout: 5 * time.Second, Rise: 2, Fall: 3,
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")

// serveDNS answers over UDP, and over TCP on the same port unless overTCP is nil, with the handlers' messages.
func serveDNS(t *testing.T, overUDP, overTCP func(question []byte) [][]byte) int {
	t.Helper()
	udp, tcp := listenBoth(t)
	var served sync.WaitGroup
	served.Go(func() {
		question := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(question)
			if err != nil {
				return
			}
			for _, m := range overUDP(question[:n]) {
				udp.WriteTo(m, from)
			}
		}
	})
	if overTCP == nil {
		tcp.Close()
	} else {
		served.Go(func() {
			for {
				conn, err := tcp.Accept()
				if err != nil {
					return
				}
				question, err := (&dns.Conn{Conn: conn}).ReadMsgHeader(nil)
				if err == nil {
					for _, m := range overTCP(question) {
						conn.Write(append([]byte{byte(len(m) >> 8), byte(len(m))}, m...))
					}
				}
				conn.Close()
			}
		})
	}
	t.Cleanup(func() { udp.Close(); tcp.Close(); served.Wait() })
	return udp.LocalAddr().(*net.UDPAddr).Port
}

// listenBoth listens on one port over both transports.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var all []error
	for range 10 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return udp, tcp
		}
		tcp.Close()
		all = append(all, err)
	}
	t.Fatal(errors.Join(all...))
	return nil, nil
}

// reply builds the answer to a question, with records in zone format; change may alter it.
func reply(question []byte, change func(*dns.Msg), records ...string) []byte {
	q, m := new(dns.Msg), new(dns.Msg)
	if err := q.Unpack(question); err != nil {
		panic(err)
	}
	m.SetReply(q)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if change != nil {
		change(m)
	}
	packed, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

const record = "www.example.com. 60 IN A 192.0.2.1"

func good(question []byte) [][]byte { return [][]byte{reply(question, nil, record)} }

func changed(change func(*dns.Msg)) func([]byte) [][]byte {
	return func(question []byte) [][]byte { return [][]byte{reply(question, change, record)} }
}

func TestDNSProbeReasons(t *testing.T) {
	answer := func(re string) func(*config.Check) {
		return func(c *config.Check) { c.Answer = regexp.MustCompile(re) }
	}
	truncated := changed(func(m *dns.Msg) { m.Truncated, m.Answer = true, nil })
	big := func(question []byte) [][]byte {
		var records []string
		for i := range 2000 {
			records = append(records, fmt.Sprintf("www.example.com. 60 IN A 10.0.%d.%d", i/250, i%250))
		}
		return [][]byte{reply(question, func(m *dns.Msg) { m.Compress = true }, records...)}
	}
	nothing := func([]byte) [][]byte { return nil }
	cases := []struct {
		name     string
		udp, tcp func([]byte) [][]byte
		change   func(*config.Check)
		want     Outcome
		reason   string
	}{
		{name: "an address", udp: good, want: Passed, reason: "response code NOERROR, 1 record"},
		{name: "an address that matches", udp: good, change: answer(`^192\.0\.2\.1$`), want: Passed, reason: `answer "192.0.2.1"`},
		{name: "an address that does not match", udp: good, change: answer("^10[.]"), want: Failed, reason: `none of 1 records matches "^10[.]"; the first is "192.0.2.1"`},
		{name: "in another case", udp: changed(func(m *dns.Msg) { m.Question[0].Name = "WWW.eXample.com." }), want: Passed, reason: "response code NOERROR, 1 record"},
		{name: "nothing", udp: changed(func(m *dns.Msg) { m.Answer = nil }), want: Passed, reason: "response code NOERROR, 0 records"},
		{name: "nothing where something should match", udp: changed(func(m *dns.Msg) { m.Answer = nil }), change: answer("x"), want: Failed, reason: `no record in the answer, want one that matches "x"`},
		{name: "SERVFAIL", udp: changed(func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }), want: Failed, reason: "response code SERVFAIL, want NOERROR"},
		{name: "a code without a name", udp: changed(func(m *dns.Msg) { m.Rcode = 13 }), want: Failed, reason: "response code 13, want NOERROR"},
		{
			name: "REFUSED, as it should", udp: changed(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }), want: Passed, reason: "response code REFUSED, 1 record",
			change: func(c *config.Check) { c.Rcode = dns.RcodeRefused },
		},
		{name: "FORMERR without the question", udp: changed(func(m *dns.Msg) { m.Rcode, m.Question = dns.RcodeFormatError, nil }), want: Failed, reason: "response code FORMERR, want NOERROR"},
		{name: "truncated, and the rest over TCP", udp: truncated, tcp: big, change: answer(`^10\.0\.7\.249$`), want: Passed, reason: `answer "10.0.7.249"`},
		{name: "truncated, and no server on TCP", udp: truncated, want: Failed, reason: "connect: connection refused"},
		{name: "truncated, and a hang-up on TCP", udp: truncated, tcp: nothing, want: Failed, reason: "connection closed while waiting for the answer over tcp"},
		{name: "truncated, and garbage on TCP", udp: truncated, tcp: func([]byte) [][]byte { return [][]byte{{}, []byte("garbage")} }, want: Failed, reason: "connection closed while waiting for the answer over tcp, after 2 unrelated ones"},
		{name: "truncated, and truncated over TCP as well", udp: truncated, tcp: truncated, want: Passed, reason: "response code NOERROR, 0 records"},
		{name: "silence", udp: nothing, change: hurry, want: Failed, reason: "timeout after 750ms while waiting for the answer over udp"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			check := dnsCheck(serveDNS(t, c.udp, c.tcp))
			if c.change != nil {
				c.change(&check)
			}
			want(t, probeAddr(t, check, loopback), c.want, c.reason)
		})
	}
}

// strays returns makers of messages that do not answer the question.
func strays() map[string]func(question []byte) []byte {
	return map[string]func(question []byte) []byte{
		"another id": func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Id++ }, record) },
		"another name": func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Question[0].Name = "example.com." }, record)
		},
		"another type": func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }, record)
		},
		"another class": func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, record)
		},
		"no question": func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Question = nil }, record) },
		"two questions": func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
		},
		"another opcode":       func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, record) },
		"the question":         func(q []byte) []byte { return q },
		"garbage":              func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"garbage behind an id": func(q []byte) []byte { return append(q[:2:2], "\x81\x80\xff\xff\xff\xff\xff\xff\xff\xff"...) },
		"half an answer":       func(q []byte) []byte { whole := reply(q, nil, record); return whole[:len(whole)-2] },
		"an id alone":          func(q []byte) []byte { return q[:2] },
		"nothing":              func([]byte) []byte { return nil },
		"an endless name": func(q []byte) []byte {
			return append(q[:2:2], "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"...)
		},
	}
}

func TestDNSProbesWaitForTrueAnswer(t *testing.T) {
	for name, stray := range strays() {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, true answer %v", name, late), func(t *testing.T) {
				t.Parallel()
				check := dnsCheck(serveDNS(t, func(question []byte) [][]byte {
					messages := [][]byte{stray(question), stray(question)}
					if late {
						messages = append(messages, reply(question, nil, record))
					}
					return messages
				}, nil))
				if late {
					want(t, probeAddr(t, check, loopback), Passed, "response code NOERROR, 1 record")
					return
				}
				hurry(&check)
				want(t, probeAddr(t, check, loopback), Failed, "timeout after 750ms while waiting for the answer over udp, after 2 unrelated ones")
			})
		}
	}
}

func TestDNSProbesEndDespiteEndlessGarbage(t *testing.T) {
	l, tcp := listenBoth(t)
	tcp.Close()
	var served sync.WaitGroup
	served.Go(func() {
		question := make([]byte, 512)
		_, from, err := l.ReadFrom(question)
		for err == nil {
			_, err = l.WriteTo([]byte(strings.Repeat("garbage ", 1000)), from)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			err = nil // the probe has closed its socket
		}
	})
	defer served.Wait()
	defer l.Close()
	check := dnsCheck(l.LocalAddr().(*net.UDPAddr).Port)
	hurry(&check)
	r := probeAddr(t, check, loopback)
	if r.Outcome != Failed || !strings.HasPrefix(r.Reason, "timeout after 750ms while waiting for the answer over udp, after ") {
		t.Errorf("%v: %s", r.Outcome, r.Reason)
	}
}

func TestDNSProbesOfClosedPortFailAtOnce(t *testing.T) {
	r := probeAddr(t, dnsCheck(closedPort(t)), loopback)
	if r.Outcome != Failed || !strings.Contains(r.Reason, "connection refused") {
		t.Errorf("%v: %s", r.Outcome, r.Reason)
	}
}

// TestDNSProbesOfRealServer asks unbound for its local data.
func TestDNSProbesOfRealServer(t *testing.T) {
	port := counterpart.FreePorts(t, 1)[0]
	var big strings.Builder
	for i := range 60 {
		fmt.Fprintf(&big, "  local-data: 'big.example.com. 60 IN TXT \"%s %02d\"'\n", strings.Repeat("x", 100), i)
	}
	counterpart.StartWith(t, "unbound", fmt.Sprintf(`server:
  chroot: ""
  username: ""
  pidfile: ""
  directory: %q
  use-syslog: no
  num-threads: 1
  interface: 127.0.0.1
  port: %d
  outgoing-interface: 127.0.0.1
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  local-zone: "example.com." static
  local-data: "www.example.com. 60 IN A 192.0.2.1"
  local-data: "www.example.com. 60 IN A 192.0.2.2"
%s
remote-control:
  control-enable: no
`, t.TempDir(), port, &big), "-d", "-c")
	counterpart.AwaitListeners(t, port)
	cases := []struct {
		name, query string
		qtype       uint16
		rcode       int
		answer      string
		want        Outcome
		reason      string // a prefix
	}{
		{"a name", "www.example.com.", dns.TypeA, dns.RcodeSuccess, `^192\.0\.2\.2$`, Passed, `answer "192.0.2.2"`},
		{"no such name", "none.example.com.", dns.TypeA, dns.RcodeSuccess, "", Failed, "response code NXDOMAIN, want NOERROR"},
		{"no such name, as it should be", "none.example.com.", dns.TypeA, dns.RcodeNameError, "", Passed, "response code NXDOMAIN, 0 records"},
		{"no such type", "www.example.com.", dns.TypeAAAA, dns.RcodeSuccess, "::", Failed, "no record in the answer"},
		{"more than fits in a datagram", "big.example.com.", dns.TypeTXT, dns.RcodeSuccess, "x 59", Passed, `answer "\"xxx`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check := dnsCheck(port)
			check.Query, check.QueryType, check.Rcode = dnsname.Name(c.query), c.qtype, c.rcode
			if c.answer != "" {
				check.Answer = regexp.MustCompile(c.answer)
			}
			if r := probeAddr(t, check, loopback); r.Outcome != c.want || !strings.HasPrefix(r.Reason, c.reason) {
				t.Errorf("%v: %s\nwant %v: %s", r.Outcome, r.Reason, c.want, c.reason)
			}
		})
	}
}

// FuzzDNSAnswer answers with random data: an accepted answer has the question's id, and the reason is short and printable.
func FuzzDNSAnswer(f *testing.F) {
	question := new(dns.Msg)
	question.SetQuestion("www.example.com.", dns.TypeA)
	question.Id = 0x1234
	packed, err := question.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reply(packed, nil, record))
	for _, stray := range strays() {
		f.Add(stray(packed))
	}
	check := dnsCheck(53)
	check.Answer = regexp.MustCompile("^192")
	made, _ := New(&check)
	f.Fuzz(func(t *testing.T, message []byte) {
		answer := dnsclient.AnswerTo(question, message)
		if answer == nil {
			return
		}
		if message[0] != 0x12 || message[1] != 0x34 {
			t.Errorf("%x taken for the answer", message)
		}
		tr := &attempt{Check: made}
		evidence, err := tr.judgeAnswer(answer)
		r := tr.result(t.Context(), evidence, err)
		if r.Reason == "" {
			t.Error("no reason")
		}
		wantPrintable(t, r.Reason)
	})
}
