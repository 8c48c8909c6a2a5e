package probe

import (
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func TestOnlyReplyToRequestIsAccepted(t *testing.T) {
	sent := newEcho()
	altered := func(change func(*icmp.Echo)) *icmp.Echo {
		e := *sent
		e.Data = append([]byte(nil), sent.Data...)
		change(&e)
		return &e
	}
	for _, addr := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("::ffff:127.0.0.1")} {
		p := pingOf(addr)
		cases := []struct {
			name          string
			kind          icmp.Type
			body          icmp.MessageBody
			datagram, raw bool
		}{
			{"the reply", p.reply, sent, true, true},
			{"another id", p.reply, altered(func(e *icmp.Echo) { e.ID ^= 1 }), true, false},
			{"another sequence number", p.reply, altered(func(e *icmp.Echo) { e.Seq++ }), false, false},
			{"other data", p.reply, altered(func(e *icmp.Echo) { e.Data[0]++ }), false, false},
			{"less data", p.reply, altered(func(e *icmp.Echo) { e.Data = e.Data[:8] }), false, false},
			{"no data", p.reply, altered(func(e *icmp.Echo) { e.Data = nil }), false, false},
			{"the request itself", p.request, sent, false, false},
			{"unreachable over IPv4", ipv4.ICMPTypeDestinationUnreachable, &icmp.DstUnreach{Data: make([]byte, 28)}, false, false},
			{"unreachable over IPv6", ipv6.ICMPTypeDestinationUnreachable, &icmp.DstUnreach{Data: make([]byte, 48)}, false, false},
		}
		for _, c := range cases {
			message, err := (&icmp.Message{Type: c.kind, Body: c.body}).Marshal(nil)
			if err != nil {
				t.Fatal(err)
			}
			if datagram, raw := p.echoes(message, sent, false), p.echoes(message, sent, true); datagram != c.datagram || raw != c.raw {
				t.Errorf("%v: %s: %v and %v, want %v and %v", addr, c.name, datagram, raw, c.datagram, c.raw)
			}
			for n := range message {
				if p.echoes(message[:n], sent, true) {
					t.Errorf("%v: %s: the first %d bytes are taken for a reply", addr, c.name, n)
				}
			}
		}
	}
}

// FuzzEchoReply parses random messages: it never panics, and accepts no reply without the request's data.
func FuzzEchoReply(f *testing.F) {
	sent := &icmp.Echo{ID: 0x1234, Seq: 1, Data: []byte("0123456789abcdef")}
	for _, kind := range []icmp.Type{ipv4.ICMPTypeEchoReply, ipv4.ICMPTypeEcho, ipv6.ICMPTypeEchoReply} {
		message, err := (&icmp.Message{Type: kind, Body: sent}).Marshal(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
	}
	f.Add([]byte{})
	f.Add([]byte{3, 4, 0, 0, 0, 255, 0, 0, 0x45})
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, addr := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			if pingOf(addr).echoes(message, sent, true) && string(message[4:]) != "\x12\x34\x00\x010123456789abcdef" {
				t.Errorf("%x taken for the reply", message)
			}
		}
	})
}
