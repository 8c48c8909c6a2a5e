package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// secondary is a server on the other end of a pipe.
type secondary struct {
	mu     sync.Mutex
	dials  int
	silent bool
	rcode  int
	only   string // the zone that it answers with rcode; empty: all
	forged bool   // an answer with another ID comes first
	got    []string
}

func (s *secondary) dial(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dials++; s.silent {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	go s.answer(theirs)
	return ours, nil
}

// answer answers one message.
func (s *secondary) answer(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 65535)
	size, err := conn.Read(buf)
	if err != nil {
		return
	}
	msg := new(dns.Msg)
	if msg.Unpack(buf[:size]) != nil || msg.Opcode != dns.OpcodeNotify {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, fmt.Sprintf("%s %d", msg.Question[0].Name, msg.Answer[0].(*dns.SOA).Serial))
	rcode := s.rcode
	if s.only != "" && msg.Question[0].Name != s.only {
		rcode = dns.RcodeSuccess
	}
	reply := new(dns.Msg).SetRcode(msg, rcode)
	if s.forged {
		other := reply.Copy()
		other.Id++
		octets, _ := other.Pack()
		_, _ = conn.Write(octets)
	}
	octets, _ := reply.Pack()
	_, _ = conn.Write(octets)
}

func (s *secondary) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *secondary) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.got, ", ")
	s.got = nil
	return text
}

var peer = netip.MustParseAddrPort("192.0.2.54:53")

// TestSecondaryIsNotifiedOfEachSerialOnce changes serials, also while others wait.
func TestSecondaryIsNotifiedOfEachSerialOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &secondary{forged: true}
		n := NewNotifier(slog.New(slog.DiscardHandler))
		n.dial = s.dial
		defer n.Close()
		step := func(serial uint32, wait time.Duration, want string) {
			t.Helper()
			n.Use([]Notice{{Zone: "example.com.", Serial: serial, To: peer}})
			time.Sleep(wait)
			synctest.Wait()
			if got := s.received(); got != want {
				t.Errorf("serial %d: got %q, want %q", serial, got, want)
			}
		}
		step(1, 2*time.Second, "example.com. 1")
		step(1, time.Hour, "")
		step(2, 100*time.Millisecond, "")
		step(3, 2*time.Second, "example.com. 3")
	})
}

// TestSecondaryThatDoesNotAnswerIsTriedAgain has one that answers again, and one that never does.
func TestSecondaryThatDoesNotAnswerIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &secondary{silent: true}
		n := NewNotifier(slog.New(slog.NewTextHandler(&log, nil)))
		n.dial = s.dial
		defer n.Close()
		n.Use([]Notice{{Zone: "example.com.", Serial: 1, To: peer}, {Zone: "example.org.", Serial: 5, To: peer}})
		time.Sleep(5 * time.Second)
		tries := 0
		if s.set(func() { s.silent, tries = false, s.dials }); tries < 2 || tries > 3 {
			t.Errorf("%d tries in 5s, want one for both zones after 1s and one after 2s", tries)
		}
		time.Sleep(10 * time.Second)
		if got := s.received(); !strings.Contains(got, "example.com. 1") || !strings.Contains(got, "example.org. 5") {
			t.Errorf("after the outage: %q", got)
		}
		s.set(func() { s.silent, s.dials = true, 0 })
		n.Use([]Notice{{Zone: "example.com.", Serial: 2, To: peer}})
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.set(func() { tries = s.dials }); tries != notifyTries || strings.Count(log.String(), "secondary not notified") != 1 {
			t.Errorf("%d tries, want %d and one log line: %s", tries, notifyTries, log.String())
		}
	})
}

// TestRefusedNotificationDelaysNoOther has a secondary that does not know one of its zones: such as one that is to learn of it
// from a catalog, of which it is notified too.
func TestRefusedNotificationDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &secondary{rcode: dns.RcodeNotAuth, only: "new.example."}
		n := NewNotifier(slog.New(slog.DiscardHandler))
		n.dial = s.dial
		var notices []Notice
		for _, zone := range []dnsname.Name{"a.example.", "b.example.", "new.example.", "catalog.example."} {
			notices = append(notices, Notice{Zone: zone, Serial: 1, To: peer})
		}
		n.Use(notices)
		time.Sleep(notifyDelay)
		synctest.Wait()
		got := s.received()
		for _, notice := range notices {
			if !strings.Contains(got, string(notice.Zone)+" 1") {
				t.Errorf("%s is not notified at once: %s", notice.Zone, got)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		n.Close()
		if got := s.received(); strings.Count(got, "new.example.") != notifyTries-1 || strings.Contains(got, "a.example.") {
			t.Errorf("want %d more tries of the refused one, and none of the others: %s", notifyTries-1, got)
		}
	})
}

func TestRefusedNotificationIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &secondary{rcode: dns.RcodeNotAuth}
		n := NewNotifier(slog.New(slog.NewTextHandler(&log, nil)))
		n.dial = s.dial
		n.Use([]Notice{{Zone: "example.com.", Serial: 1, To: peer}})
		time.Sleep(time.Hour)
		synctest.Wait()
		n.Close()
		if !strings.Contains(log.String(), "it answers NOTAUTH") {
			t.Errorf("log: %s", log.String())
		}
	})
}

// TestNotificationLeavesFromItsSource has a secondary that looks at the source of notifications, as named does by default.
func TestNotificationLeavesFromItsSource(t *testing.T) {
	at, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	source := netip.MustParseAddr("127.0.0.2")
	if probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))); err != nil {
		t.Skip("SKIPPED: 127.0.0.2 is not an address of this system")
	} else {
		_ = probe.Close()
	}
	n := NewNotifier(slog.New(slog.DiscardHandler))
	defer n.Close()
	n.Use([]Notice{{Zone: "example.com.", Serial: 7, To: at.LocalAddr().(*net.UDPAddr).AddrPort(), Source: source}})
	_ = at.SetReadDeadline(time.Now().Add(time.Minute))
	if _, from, err := at.ReadFromUDPAddrPort(make([]byte, 512)); err != nil || from.Addr() != source {
		t.Errorf("a notification from %v, %v; want %v", from, err, source)
	}
}
