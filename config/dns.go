package config

import (
	"strings"

	"github.com/miekg/dns"
	"gopkg.in/yaml.v3"
)

// queryType reads a query type that one message can answer.
func (d *decoder) queryType(n *yaml.Node) (uint16, bool) {
	s, ok := d.word(n)
	if !ok {
		return 0, false
	}
	switch code := dns.StringToType[strings.ToUpper(s)]; code {
	case dns.TypeNone, dns.TypeReserved:
		d.errorf(n, "unknown query type "+quote(s), "write it like A, AAAA or SOA")
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		d.errorf(n, quote(s)+" is not a type for a check", "write it like A, AAAA or SOA")
	default:
		return code, true
	}
	return 0, false
}

// maxRcode is the largest response code that fits in a message without EDNS.
const maxRcode = 15

// rcode reads the name of a response code.
func (d *decoder) rcode(n *yaml.Node) (int, bool) {
	s, ok := d.word(n)
	if !ok {
		return 0, false
	}
	code, known := dns.StringToRcode[strings.ToUpper(s)]
	if !known || code > maxRcode {
		d.errorf(n, "unknown response code "+quote(s), "write it like NOERROR, NXDOMAIN or REFUSED")
		return 0, false
	}
	return code, true
}
