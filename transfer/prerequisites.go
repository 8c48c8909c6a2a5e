package transfer

import (
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// checkPrerequisites checks the prerequisites (RFC 2136 3.2):
//
//	class  type  data  want                                       else
//	ANY    ANY   none  the name is in use                         NXDOMAIN
//	ANY    other none  the record set exists                      NXRRSET
//	NONE   ANY   none  the name is not in use                     YXDOMAIN
//	NONE   other none  the record set does not exist              YXRRSET
//	IN     other some  the record sets are equal to those listed  NXRRSET
func (d *draft) checkPrerequisites(msg *dns.Msg) *refusal {
	wanted := map[string]map[uint16][]string{}
	for _, rr := range msg.Answer {
		h := rr.Header()
		owner, refused := d.owner(h)
		if refused != nil {
			return refused
		}
		if h.Ttl != 0 || h.Class != dns.ClassINET && h.Rdlength != 0 {
			return &refusal{dns.RcodeFormatError, "a prerequisite with a TTL or data"}
		}
		switch h.Class {
		case dns.ClassANY, dns.ClassNONE:
			if refused := d.checkExistence(owner, h); refused != nil {
				return refused
			}
		case dns.ClassINET:
			data, err := dataOf(rr)
			if err != nil || metaType(h.Rrtype) {
				return &refusal{dns.RcodeFormatError, "a prerequisite without data"}
			}
			if wanted[string(owner)] == nil {
				wanted[string(owner)] = map[uint16][]string{}
			}
			wanted[string(owner)][h.Rrtype] = append(wanted[string(owner)][h.Rrtype], folded(h.Rrtype, string(data)))
		default:
			return &refusal{dns.RcodeFormatError, "a prerequisite of another class"}
		}
	}
	return d.checkEqual(wanted)
}

// checkExistence checks a prerequisite without data.
func (d *draft) checkExistence(owner dnsname.Wire, h *dns.RR_Header) *refusal {
	exists := len(d.load(owner)) > 0 || d.balanced(owner)
	missing, unwanted := dns.RcodeNameError, dns.RcodeYXDomain
	if h.Rrtype != dns.TypeANY {
		if metaType(h.Rrtype) {
			return &refusal{dns.RcodeFormatError, "a prerequisite of a type that is not of data"}
		}
		addresses := h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA
		exists = len(d.recordsOf(owner, h.Rrtype)) > 0 || addresses && d.balanced(owner)
		missing, unwanted = dns.RcodeNXRrset, dns.RcodeYXRrset
	}
	switch {
	case h.Class == dns.ClassANY && !exists:
		return &refusal{missing, "a prerequisite is not met: " + h.Name + " does not exist"}
	case h.Class == dns.ClassNONE && exists:
		return &refusal{unwanted, "a prerequisite is not met: " + h.Name + " exists"}
	}
	return nil
}

// checkEqual compares record sets with those that prerequisites list.
func (d *draft) checkEqual(wanted map[string]map[uint16][]string) *refusal {
	for owner, types := range wanted {
		for typ, list := range types {
			var has []string
			for _, r := range d.recordsOf(dnsname.Wire(owner), typ) {
				has = append(has, folded(typ, r.Data()))
			}
			slices.Sort(list)
			slices.Sort(has)
			if !slices.Equal(slices.Compact(list), slices.Compact(has)) {
				return &refusal{dns.RcodeNXRrset, "a prerequisite is not met: the records differ"}
			}
		}
	}
	return nil
}
