package server

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"meridian/server/answer"
	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// TestLengthAloneAllocatesNothing checks that a connection's buffer grows with the received data.
func TestLengthAloneAllocatesNothing(t *testing.T) {
	c := &stream{server: New(answertest.World(t), Options{}), in: make([]byte, 0, streamIn)}
	c.in = append(c.in, 0xff, 0xff)
	for !c.whole() {
		if len(c.in) == cap(c.in) {
			came := len(c.in)
			c.grow()
			if cap(c.in) > 2*came || cap(c.in) <= came {
				t.Fatalf("room for %d octets when %d came", cap(c.in), came)
			}
		}
		c.in = c.in[:cap(c.in)]
	}
	if len(c.in) != frameHead+answer.MaxSize {
		t.Errorf("%d octets taken for the longest query", len(c.in))
	}
}

// TestLongQueriesByTCP sends pipelined padded queries (RFC 7830) longer than the read size.
func TestLongQueriesByTCP(t *testing.T) {
	s := serve(t, answertest.World(t), false, "127.0.0.1:0")
	conn := dial(t, "tcp", s.Addrs()[0])
	var queries [][]byte
	for i, padding := range []int{0, streamIn, 60000, 0, 65000, 100} {
		query := answertest.WithOptions(answertest.Ask("mail.example.com.", dns.TypeA), &dns.EDNS0_PADDING{Padding: make([]byte, padding)})
		query.Id = uint16(i)
		queries = append(queries, answertest.Packed(t, query))
	}
	if _, err := conn.Write(framed(queries...)); err != nil {
		t.Fatal(err)
	}
	for i := range queries {
		if answer := readFrame(t, conn); int(answer.Id) != i || len(answer.Answer) != 1 {
			t.Errorf("answer %d: %v", i, answer)
		}
	}
}

// TestAnswersReadyTogetherAreWrittenTogether reads all answers with one read of the client.
func TestAnswersReadyTogetherAreWrittenTogether(t *testing.T) {
	s := serve(t, answertest.World(t), false, "127.0.0.1:0")
	conn := dial(t, "tcp", s.Addrs()[0])
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	const count = 10
	var queries [][]byte
	for range count {
		queries = append(queries, query)
	}
	if _, err := conn.Write(framed(queries...)); err != nil {
		t.Fatal(err)
	}
	in := make([]byte, answer.MaxSize)
	n, err := conn.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for in = in[:n]; len(in) >= frameHead; answers++ {
		in = in[frameHead+int(binary.BigEndian.Uint16(in)):]
	}
	if answers != count {
		t.Errorf("one read brings %d of %d answers", answers, count)
	}
}

// FuzzStreamFraming checks that a stream answers what has arrived, whatever it is, as it answers its frames one by one, and keeps
// the rest. It ends at a frame that is too short for a query.
func FuzzStreamFraming(f *testing.F) {
	ask := func(name string) []byte { return answertest.Packed(f, answertest.Ask(name, dns.TypeA)) }
	www, none := ask("www.example.com."), ask("none.example.com.")
	f.Add(framed(www))
	f.Add(framed(www, none, www))
	f.Add(framed(www)[:20])
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{0, 0})
	f.Add([]byte{0xff, 0xff, 1})
	f.Add(append(framed(www), 0, 3, 1, 2, 3, 0, 1))
	f.Add(framed(www[:12], make([]byte, 12), www[:20], bytes.Repeat([]byte{0xff}, 300)))
	s := New(answertest.World(f), Options{})
	r := s.Responder()
	f.Fuzz(func(t *testing.T, in []byte) {
		respond := func(in []byte) (out, rest []byte, ok bool) {
			c := &stream{server: s, transport: answer.TCP, openConn: openConn{source: netip.MustParseAddr("192.0.2.1")}}
			rest, ok = c.respond(r, in)
			return bytes.Clone(r.Streamed), rest, ok
		}
		out, rest, ok := respond(in)
		if !bytes.HasSuffix(in, rest) {
			t.Fatalf("%x is kept of %x", rest, in)
		}
		var want []byte
		answered := in[:len(in)-len(rest)]
		for begun := answered; len(begun) > 0; {
			size := frameHead + int(binary.BigEndian.Uint16(begun))
			if size > len(begun) {
				t.Fatalf("a part of a frame was answered: %x", begun)
			}
			one, left, oneOK := respond(begun[:size])
			if want = append(want, one...); len(left) > 0 || oneOK != (ok || size < len(begun)) {
				t.Fatalf("frame %x: %x is kept, ok %v; all: %v", begun[:size], left, oneOK, ok)
			}
			begun = begun[size:]
		}
		if len(out) != len(want) {
			t.Errorf("%d octets of answers together, %d one by one", len(out), len(want))
		}
		for len(out) > 0 {
			size := frameHead + int(binary.BigEndian.Uint16(out))
			if size < frameHead+answer.HeaderSize || size > len(out) {
				t.Fatalf("not a frame of an answer: %x", out)
			}
			out = out[size:]
		}
	})
}
