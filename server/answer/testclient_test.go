package answer

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"meridian/server/answer/answertest"
	"meridian/server/limit"

	"github.com/miekg/dns"
)

func (m generator) source() netip.Addr {
	if m.IntN(3) == 0 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", m.IntN(6), m.IntN(9)))
	}
	return netip.AddrFrom4([4]byte{byte(9 + m.IntN(6)), byte(m.Uint32()), 0, 1})
}

// query generates a query; one in ten is malformed.
func (m generator) query() []byte {
	q := new(dns.Msg)
	q.Id = uint16(m.Uint32())
	q.RecursionDesired, q.CheckingDisabled, q.AuthenticatedData = m.IntN(2) == 0, m.IntN(2) == 0, m.IntN(2) == 0
	if m.IntN(20) == 0 {
		q.Opcode = m.IntN(16)
	}
	q.Question = []dns.Question{{Name: m.name(), Qtype: m.qtype(), Qclass: dns.ClassINET}}
	if m.IntN(20) == 0 {
		q.Question[0].Qclass = pick(m, uint16(dns.ClassCHAOS), dns.ClassANY, 0)
	}
	if m.IntN(3) > 0 {
		q.Extra = append(q.Extra, m.opt())
	}
	packet, err := q.Pack()
	if err != nil {
		panic(err)
	}
	if m.IntN(10) == 0 {
		packet = m.broken(packet)
	}
	return packet
}

// name generates existing names, or similar ones, more often than random labels.
func (m generator) name() string {
	known := []string{"a", "b", "c", "x.w", "y.v", "cut", "n.cut", "ns1", "tree", "x.over", "q.p0", "a.p2", "x.p1", "y.b.p3"}
	for i := range poolCount {
		known = append(known, fmt.Sprintf("p%d", i))
	}
	labels := []string{"a", "b", "c", "x", "y", "z", "w", "v", "u", "p0", "p1", "p2", "p3", "p4", "cut", "tree", "over", "ns1", "n", "d", "e", "tree2", strings.Repeat("l", 63)}
	var b strings.Builder
	for range m.IntN(4) {
		b.WriteString(pick(m, labels...) + ".")
	}
	b.WriteString(pick(m, "example.com.", "example.com.", "example.com.", "example.com.", "d.e.example.com.", "xample.com.", "com."))
	name := []byte(b.String())
	if m.IntN(3) > 0 {
		name = []byte(pick(m, known...) + ".example.com.")
	}
	if m.IntN(40) == 0 {
		name = []byte(pick(m, "", "_er.", "1.x.7._er.", "_er.1.x.7._er.") + "agent.example.com.")
	}
	for i := range name {
		if m.IntN(3) == 0 {
			name[i] = bytes.ToUpper(name[i : i+1])[0]
		}
	}
	return string(name)
}

func (m generator) qtype() uint16 {
	if m.IntN(30) == 0 {
		return uint16(m.IntN(300))
	}
	if m.IntN(2) == 0 {
		return pick(m, dns.TypeA, dns.TypeAAAA)
	}
	return pick(m, dns.TypeTXT, dns.TypeMX, dns.TypeSRV, dns.TypeSVCB, dns.TypeNS,
		dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypeANY, dns.TypeHTTPS, dns.TypeHTTPS, uint16(65280))
}

func (m generator) opt() *dns.OPT {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(pick(m, uint16(0), 511, 512, 513, 600, 1232, 4096, 65535))
	if m.IntN(2) == 0 {
		opt.SetDo()
	}
	if m.IntN(40) == 0 {
		opt.SetVersion(1)
	}
	if m.IntN(4) == 0 {
		opt.Option = append(opt.Option, answertest.RawOption(dns.EDNS0NSID))
	}
	if m.IntN(4) == 0 {
		opt.Option = append(opt.Option, answertest.RawOption(dns.EDNS0ZONEVERSION))
	}
	if m.IntN(4) == 0 {
		opt.Option = append(opt.Option, answertest.RawOption(dns.EDNS0COOKIE, m.cookie()...))
	}
	if m.IntN(2) == 0 {
		opt.Option = append(opt.Option, answertest.RawOption(dns.EDNS0SUBNET, m.subnet()...))
	}
	return opt
}

// cookie generates the data of a COOKIE option, usually with a valid server cookie if the server and the source are known.
func (m generator) cookie() []byte {
	data := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	if m.cookies != nil && m.IntN(3) > 0 {
		var made [limit.CookieSize]byte
		m.cookies.Check(&made, data, m.from, time.Now().Unix()-int64(pick(m, 0, 1900, 3000, 4000)))
		data = made[:]
	}
	switch m.IntN(12) {
	case 0:
		data[m.IntN(len(data))] ^= 1
	case 1:
		data = append(data, make([]byte, m.IntN(20))...)
	}
	return data
}

// subnet generates the data of a client-subnet option, usually valid.
func (m generator) subnet() []byte {
	addr, family := m.source(), byte(familyIPv4)
	if m.IntN(8) == 0 {
		addr = netip.MustParseAddr(pick(m, "10.1.2.3", "192.168.1.1", "127.0.0.1", "0.0.0.0", "fe80::1", "::1", "fd00::1", "::ffff:11.16.0.1", "::ffff:192.168.0.0"))
	}
	if addr.Is6() {
		family = familyIPv6
	}
	prefix, _ := addr.Prefix(m.IntN(addr.BitLen() + 1))
	data := append([]byte{0, family, byte(prefix.Bits()), 0}, prefix.Addr().AsSlice()[:(prefix.Bits()+7)/8]...)
	if m.IntN(15) == 0 {
		data[m.IntN(len(data))] ^= 1 << m.IntN(8)
	}
	return data
}

// broken truncates, extends or changes a packet.
func (m generator) broken(packet []byte) []byte {
	switch m.IntN(3) {
	case 0:
		return packet[:m.IntN(len(packet)+1)]
	case 1:
		return append(packet, byte(m.Uint32()))
	}
	packet[m.IntN(len(packet))] ^= 1 << m.IntN(8)
	return packet
}

// slowAnswers returns how many answers the slow path has given.
func (r *Responder) slowAnswers() uint64 { return r.counts.published[slowAnswered].Load() }
