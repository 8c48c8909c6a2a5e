package xdp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
)

// frameOf returns the frame of a UDP packet, made field by field with a slow checksum.
func frameOf(from, to netip.AddrPort, tag, payload []byte) []byte {
	f := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	f = append(f, tag...)
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(udp, 0, 0)
	udp = append(udp, payload...)
	pseudo := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, 17)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(udp)))
	checksum := slowChecksum(append(pseudo, udp...))
	if checksum == 0 {
		checksum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], checksum)
	if from.Addr().Is4() {
		f = append(f, 8, 0)
		h := []byte{0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(udp)))
		h = append(append(h, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(h[10:], slowChecksum(h))
		return append(append(f, h...), udp...)
	}
	f = append(f, 0x86, 0xdd)
	h := []byte{0x60, 0, 0, 7, 0, 0, 17, 64}
	binary.BigEndian.PutUint16(h[4:], uint16(len(udp)))
	h = append(append(h, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	return append(append(f, h...), udp...)
}

// slowChecksum is the checksum of RFC 1071 as its text has it, two octets at a time.
func slowChecksum(b []byte) uint16 {
	var s uint32
	for i := range b {
		if i%2 == 0 {
			s += uint32(b[i]) << 8
		} else {
			s += uint32(b[i])
		}
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

var (
	client4 = netip.MustParseAddrPort("198.51.100.7:40000")
	server4 = netip.MustParseAddrPort("192.0.2.53:53")
	client6 = netip.MustParseAddrPort("[2001:db8:1::7]:40000")
	server6 = netip.MustParseAddrPort("[2001:db8::53]:53")
	vlan7   = []byte{0x81, 0, 0, 7}
)

// randomFrame returns a valid frame of either family, and its payload.
func randomFrame(r *rand.Rand) (frame, payload []byte, from, to netip.AddrPort) {
	payload = make([]byte, r.IntN(1400))
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	from, to = client4, server4
	if r.IntN(2) == 0 {
		from, to = client6, server6
	}
	return frameOf(from, to, nil, payload), payload, from, to
}

func TestReplyIsTheFrameOfTheOppositeDirection(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		frame, payload, from, to := randomFrame(r)
		padded := append(bytes.Clone(frame), make([]byte, r.IntN(20))...) // Ethernet pads short frames
		var p Packet
		if v := p.Parse(padded, false); v != Valid {
			t.Fatalf("verdict %d of a valid frame %x", v, frame)
		}
		if p.Source != from || p.Destination != to || !bytes.Equal(p.Payload, payload) {
			t.Fatalf("parsed %v to %v with %d octets, want %v to %v with %d", p.Source, p.Destination, len(p.Payload), from, to, len(payload))
		}
		answer := payload[:r.IntN(len(payload)+1)]
		reply := append(make([]byte, p.HeaderSize()), answer...)
		p.Reply(reply)
		want := frameOf(to, from, nil, answer)
		copy(want[:6], frame[6:12])
		copy(want[6:12], frame[:6])
		ip := len(want) - len(answer) - 8
		if from.Addr().Is4() {
			h := want[ip-20 : ip]
			copy(h[4:8], []byte{0, 0, 0x40, 0})
			copy(h[10:12], []byte{0, 0})
			binary.BigEndian.PutUint16(h[10:], slowChecksum(h))
			if parsed, err := ipv4.ParseHeader(reply[ip-20 : ip]); err != nil || parsed.Flags != ipv4.DontFragment {
				t.Fatalf("header %v, %v; want one with DF", parsed, err)
			}
		} else {
			copy(want[ip-40:], []byte{0x60, 0, 0, 0})
		}
		if !bytes.Equal(reply, want) {
			t.Fatalf("reply %x\nwant %x", reply, want)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	for _, frame := range [][]byte{
		frameOf(client4, server4, nil, []byte("a query")), frameOf(client6, server6, nil, []byte("a query")),
	} {
		var p Packet
		p.Parse(frame, false)
		for bit := ethernetSize * 8; bit < len(frame)*8; bit++ {
			damaged := bytes.Clone(frame)
			damaged[bit/8] ^= 1 << (bit % 8)
			var d Packet
			v := d.Parse(damaged, false)
			inClass := !p.v4 && bit/8 < ethernetSize+4 && (bit/8 > ethernetSize || bit%8 < 4) // not in any checksum
			inHops := !p.v4 && bit/8 == ethernetSize+7
			if v == Valid && !inClass && !inHops {
				t.Errorf("bit %d of octet %d of the IP packet is flipped, and the frame accepted", bit%8, bit/8-ethernetSize)
			}
		}
	}
}

func TestFramesOfOtherKindsAreRefused(t *testing.T) {
	change := func(frame []byte, at int, to ...byte) []byte {
		f := bytes.Clone(frame)
		copy(f[at:], to)
		return f
	}
	sealed := func(frame []byte) []byte { // with a right checksum of the IPv4 header
		h := frame[14:34]
		copy(h[10:], []byte{0, 0})
		binary.BigEndian.PutUint16(h[10:], slowChecksum(h))
		return frame
	}
	four, six := frameOf(client4, server4, nil, []byte("query")), frameOf(client6, server6, nil, []byte("query"))
	from := func(a string) []byte {
		return frameOf(netip.AddrPortFrom(netip.MustParseAddr(a), 4000), map[bool]netip.AddrPort{true: server4, false: server6}[netip.MustParseAddr(a).Is4()], nil, nil)
	}
	for name, c := range map[string]struct {
		frame []byte
		want  Verdict
	}{
		"empty":                       {nil, Malformed},
		"Ethernet only":               {four[:14], Malformed},
		"a tag":                       {frameOf(client4, server4, vlan7, nil), Malformed},
		"shorter than Ethernet":       {four[:13], Malformed},
		"two tags":                    {frameOf(client4, server4, append([]byte{0x88, 0xa8, 0, 9}, vlan7...), nil), Malformed},
		"ARP":                         {change(four, 12, 8, 6), Malformed},
		"IPv4 cut":                    {four[:41], Malformed},
		"IPv6 cut":                    {six[:61], Malformed},
		"IPv4 options":                {sealed(change(four, 14, 0x46)), Malformed},
		"TCP":                         {sealed(change(four, 23, 6)), Malformed},
		"extension header":            {change(six, 20, 0), Malformed},
		"first fragment":              {sealed(change(four, 20, 0x20)), Malformed},
		"later fragment":              {sealed(change(four, 20, 0, 1)), Malformed},
		"IPv4 longer than the frame":  {sealed(change(four, 16, 0x7f)), Malformed},
		"IPv6 longer than the frame":  {change(six, 18, 0x7f), Malformed},
		"UDP longer than IP":          {change(four, 38, 0, 14), Malformed},
		"UDP shorter than its header": {change(four, 38, 0, 7), Malformed},
		"no checksum over IPv4":       {change(four, 40, 0, 0), Valid},
		"no checksum over IPv6":       {change(six, 60, 0, 0), BadChecksum},
		"wrong checksum of IPv4":      {change(four, 24, 1, 2), BadChecksum},
		"from no address":             {from("0.0.0.0"), Malformed},
		"from loopback":               {from("127.0.0.1"), Malformed},
		"from multicast":              {from("ff02::1"), Malformed},
		"from broadcast":              {from("255.255.255.255"), Malformed},
		"from a mapped address":       {from("::ffff:192.0.2.1"), Malformed},
	} {
		var p Packet
		if got := p.Parse(c.frame, false); got != c.want {
			t.Errorf("%s: verdict %d, want %d", name, got, c.want)
		}
	}
}

// The kernel leaves the checksum of a packet between two programs on one host to hardware, and there is none.
func TestPartialChecksumsAreValidWhereTheyOccur(t *testing.T) {
	for _, frame := range [][]byte{frameOf(client4, server4, nil, []byte("q")), frameOf(client6, server6, nil, []byte("q"))} {
		var p Packet
		p.Parse(frame, false)
		binary.BigEndian.PutUint16(p.headers[len(p.headers)-2:], fold(p.pseudoSum(udpSize+1)))
		if p.Parse(frame, false) != BadChecksum || p.Parse(frame, true) != Valid {
			t.Error("a partial checksum must be valid only where hardware would complete it")
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(frameOf(client4, server4, nil, []byte("query")))
	f.Add(frameOf(client6, server6, nil, []byte("query")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		var p Packet
		if p.Parse(frame, false) != Valid {
			return
		}
		reply := append(make([]byte, p.HeaderSize()), p.Payload...)
		p.Reply(reply)
		if !bytes.Equal(frame, before) {
			t.Error("the frame of the query was changed")
		}
		var back Packet
		if v := back.Parse(reply, false); v == BadChecksum || back.Source != p.Destination || back.Destination != p.Source {
			t.Errorf("the reply from %v to %v has verdict %d", back.Source, back.Destination, v)
		}
	})
}

func BenchmarkParseAndReply(b *testing.B) {
	frame := frameOf(client4, server4, nil, make([]byte, 60))
	reply := make([]byte, 42+120)
	var p Packet
	for b.Loop() {
		p.Parse(frame, false)
		p.Reply(reply)
	}
}
