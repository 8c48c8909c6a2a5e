package answer

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
)

// TestFoldIsLowerCase compares fold with the simple version on every octet, at every length.
func TestFoldIsLowerCase(t *testing.T) {
	var q query
	for size := range dnsname.MaxSize + 1 {
		wire := make([]byte, size)
		for i := range wire {
			wire[i] = byte(rand.Uint32())
		}
		q.fold(wire)
		if want := dnsname.Wire(wire).Folded(); !bytes.Equal(q.name, want) {
			t.Fatalf("%x folds to %x, want %x", wire, q.name, want)
		}
	}
}

func TestLongestNameIsAccepted(t *testing.T) {
	name := bytes.Repeat([]byte{1, 'A'}, 127)
	for size, want := range map[int]bool{254: true, 256: false} {
		wire := append(append(make([]byte, HeaderSize), bytes.Repeat([]byte{1, 'A'}, size/2)...), 0, 0, 1, 0, 1)
		wire[5] = 1
		var q query
		if got := q.parse(wire, true); got != want {
			t.Errorf("a name of %d octets: %v, want %v", size+1, got, want)
		}
	}
	var q query
	q.fold(append(name, 0))
	if len(q.name) != dnsname.MaxSize {
		t.Errorf("folded to %d octets", len(q.name))
	}
}

// FuzzQuery sends random octets to both paths. If parse accepts a message, miekg/dns must find
// the same question in it.
func FuzzQuery(f *testing.F) {
	for _, query := range answertest.BenchQueries(f) {
		f.Add(query, false)
	}
	signed := answertest.WithOptions(answertest.Ask("chain.example.com.", dns.TypeANY))
	signed.Extra = append(signed.Extra, aTSIG(dns.ClassANY))
	f.Add(answertest.Packed(f, signed), true)
	f.Add(answertest.Packed(f, answertest.Ask("x.tree.example.com.", dns.TypeAAAA)), true)
	f.Add([]byte{}, false)
	p := newPaths(answertest.World(f))
	f.Fuzz(func(t *testing.T, packet []byte, stream bool) {
		p.draw = uint64(len(packet))
		p.compare(t, packet, answertest.BenchSource, stream)
		if len(packet) < HeaderSize {
			return
		}
		var q query
		if !q.parse(packet, true) {
			return
		}
		name, end, err := dns.UnpackDomainName(packet, HeaderSize)
		if err != nil || end+4 != q.end || !bytes.Equal(parseWire(name).Folded(), q.name) || binary.BigEndian.Uint16(packet[end:]) != q.qtype {
			t.Errorf("question of %x: %x %d, want %s (%v)", packet, q.name, q.qtype, name, err)
		}
	})
}
