package server

import (
	"encoding/binary"
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
