package answer

import (
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
)

// TestAnswersArePaddedWhereAsked checks which answers are padded, over each transport and on both paths.
func TestAnswersArePaddedWhereAsked(t *testing.T) {
	p := newPaths(answertest.World(t))
	padding := answertest.RawOption(dns.EDNS0PADDING, make([]byte, 20)...)
	queries := map[string]*dns.Msg{
		"balanced":  answertest.Ask("www.example.com.", dns.TypeA),
		"negative":  answertest.Ask("nothing.example.com.", dns.TypeA),
		"slow path": answertest.Ask("www.example.com.", dns.TypeANY),
	}
	for name, query := range queries {
		plain := p.wire.Respond(nil, answertest.Packed(t, answertest.WithOptions(query.Copy())), answertest.BenchSource, true)
		packet := answertest.Packed(t, answertest.WithOptions(query.Copy(), padding))
		for _, r := range []*Responder{p.wire, p.full} {
			for _, transport := range Transports() {
				r.Over = transport
				out := r.Respond([]byte("before"), packet, answertest.BenchSource, transport != UDP)[len("before"):]
				if !transport.Encrypted() {
					if len(out) != len(plain) {
						t.Errorf("%s over %s has %d octets, want %d", name, transport, len(out), len(plain))
					}
					continue
				}
				if len(out)%paddingBlock != 0 {
					t.Errorf("%s over %s has %d octets, want a multiple of %d", name, transport, len(out), paddingBlock)
				}
				if err := new(dns.Msg).Unpack(out); err != nil {
					t.Errorf("%s over %s: %v", name, transport, err)
				}
			}
		}
	}
}

// TestPaddingKeepsTheSizeOfAMessage checks the sizes around whole blocks and the largest message.
func TestPaddingKeepsTheSizeOfAMessage(t *testing.T) {
	for _, size := range []int{paddingBlock - 5, paddingBlock - 4, paddingBlock - 3, paddingBlock, dns.MaxMsgSize - 500, dns.MaxMsgSize - 5, dns.MaxMsgSize - 4, dns.MaxMsgSize - 3, dns.MaxMsgSize} {
		message := make([]byte, size)
		const opt = HeaderSize
		binary.BigEndian.PutUint16(message[10:], 1)
		binary.BigEndian.PutUint16(message[opt+1:], dns.TypeOPT)
		binary.BigEndian.PutUint16(message[opt+9:], uint16(size-opt-11))
		out := pad(message, 0)
		switch {
		case len(out) > dns.MaxMsgSize:
			t.Errorf("%d octets became %d", size, len(out))
		case len(out) != size && len(out)%paddingBlock != 0 && len(out) != dns.MaxMsgSize:
			t.Errorf("%d octets became %d", size, len(out))
		}
		if _, ok := optLength(out); !ok {
			t.Errorf("%d octets became a message that cannot be read", size)
		}
	}
}

// FuzzWalk compares the records that are found with those of a library.
func FuzzWalk(f *testing.F) {
	p := newPaths(answertest.World(f))
	for _, name := range []string{"www.example.com.", "nothing.example.com.", "example.com."} {
		f.Add(p.wire.Respond(nil, answertest.Packed(f, answertest.WithOptions(answertest.Ask(name, dns.TypeA))), answertest.BenchSource, true))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		ttl, ok := SmallestTTL(message)
		var m dns.Msg
		readable := m.Unpack(message) == nil
		pad(message, 0)
		if !ok || !readable {
			return
		}
		for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
			for _, rr := range section {
				if rr.Header().Rrtype != dns.TypeOPT && rr.Header().Ttl < ttl {
					t.Errorf("smallest TTL %d, but there is %v", ttl, rr)
				}
			}
		}
	})
}

func TestSmallestTTLOfAnswers(t *testing.T) {
	r := newPaths(answertest.World(t)).wire
	for name, query := range answertest.BenchQueries(t) {
		out := r.Respond(nil, query, answertest.BenchSource, true)
		var m dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		var smallest *uint32
		for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
			for _, rr := range section {
				if h := rr.Header(); h.Rrtype != dns.TypeOPT && (smallest == nil || h.Ttl < *smallest) {
					smallest = &h.Ttl
				}
			}
		}
		got, ok := SmallestTTL(out)
		if ok != (smallest != nil) || ok && got != *smallest {
			t.Errorf("%s: smallest TTL %d, %v; want %v of %v", name, got, ok, smallest, &m)
		}
	}
}
