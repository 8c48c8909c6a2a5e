package answer

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"

	"meridian/zones"
)

// maxHints is the maximum number of address hints for a family in an HTTPS record. Hints may be
// incomplete (RFC 9460 7.3): the A and AAAA records are not.
const maxHints = 16

// service reports whether a question of qtype at a balanced name asks for its configured HTTPS
// record.
func service(binding *zones.Binding, qtype uint16) bool {
	return qtype == dns.TypeHTTPS && binding.HTTPS.Exists()
}

// hints returns the addresses for the hints of an HTTPS record. addrs lists IPv4 first.
func hints(addrs []netip.Addr) (v4, v6 []netip.Addr) {
	n := 0
	for n < len(addrs) && addrs[n].Is4() {
		n++
	}
	v4, v6 = addrs[:n], addrs[n:]
	return v4[:min(n, maxHints)], v6[:min(len(v6), maxHints)]
}

// service adds an HTTPS record at the current name: its data up to the hints, then a hint for
// each family that has addresses. Hints have the highest keys of all, and keys ascend (RFC 9460
// 2.2).
func (a *reply) service(upToHints []byte, addrs []netip.Addr, ttl uint32) {
	v4, v6 := hints(addrs)
	size := len(upToHints) + hintSize(v4, 4) + hintSize(v6, 16)
	if !a.fits(ownerSize(a.owner) + recordFixed + size) {
		return
	}
	a.head(a.owner, dns.TypeHTTPS, ttl)
	a.out = binary.BigEndian.AppendUint16(a.out, uint16(size))
	a.out = append(a.out, upToHints...)
	if len(v4) > 0 {
		a.parameter(dns.SVCB_IPV4HINT, 4*len(v4))
		for _, addr := range v4 {
			octets := addr.As4()
			a.out = append(a.out, octets[:]...)
		}
	}
	if len(v6) > 0 {
		a.parameter(dns.SVCB_IPV6HINT, 16*len(v6))
		for _, addr := range v6 {
			octets := addr.As16()
			a.out = append(a.out, octets[:]...)
		}
	}
	a.count[answerSection]++
}

// hinted returns the addresses of which the HTTPS record has hints.
func hinted(v zones.Service, addrs []netip.Addr) []netip.Addr {
	if v.Hintless {
		return nil
	}
	return addrs
}

// parameter begins a parameter of size octets.
func (a *reply) parameter(key dns.SVCBKey, size int) {
	a.out = binary.BigEndian.AppendUint16(a.out, uint16(key))
	a.out = binary.BigEndian.AppendUint16(a.out, uint16(size))
}

// hintSize returns the size of the hint for addrs with the given octets each; 0 without
// addresses.
func hintSize(addrs []netip.Addr, octets int) int {
	if len(addrs) == 0 {
		return 0
	}
	return 4 + octets*len(addrs)
}

// service returns the HTTPS record with the addresses in the scratch as its hints.
func (q *question) service(head dns.RR_Header, v zones.Service) dns.RR {
	data := q.by.active.zones.Service(v)
	head.Rdlength = uint16(len(data))
	rr, _, err := dns.UnpackRRWithHeader(head, data, 0)
	https, ok := rr.(*dns.HTTPS)
	if err != nil || !ok {
		panic("server: an HTTPS record that does not unpack") // zones packed it
	}
	v4, v6 := hints(hinted(v, q.by.scratch.Addrs))
	if len(v4) > 0 {
		hint := new(dns.SVCBIPv4Hint)
		for _, addr := range v4 {
			hint.Hint = append(hint.Hint, addr.AsSlice())
		}
		https.Value = append(https.Value, hint)
	}
	if len(v6) > 0 {
		hint := new(dns.SVCBIPv6Hint)
		for _, addr := range v6 {
			hint.Hint = append(hint.Hint, addr.AsSlice())
		}
		https.Value = append(https.Value, hint)
	}
	return https
}
