package answer

import (
	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/transfer/tsig"
)

// RefusedTransfer is a transfer over a connection that was refused, for the log.
type RefusedTransfer struct {
	Zone   string // the name that was asked for
	Key    string // that the request names; empty: it is not signed
	Rcode  int
	Reason string
}

// TakeRefusedTransfer returns the last transfer that was refused since the last call; nil: none was. Those of callers without
// Transfers, such as workers of UDP, are only counted: there the source may be forged.
func (r *Responder) TakeRefusedTransfer() *RefusedTransfer {
	refused := r.refused
	r.refused = nil
	return refused
}

// reportRefused keeps a refused transfer for TakeRefusedTransfer.
func (r *Responder) reportRefused(rcode int, reason string) {
	if !r.Transfers {
		return
	}
	r.refused = &RefusedTransfer{Zone: dnsname.Wire(r.query.name).String(), Rcode: rcode, Reason: reason}
	if r.tsig != nil {
		r.refused.Key = r.tsig.Named().String()
	}
}

// signatureErrors are the reasons for NOTAUTH, by the error of the signature.
var signatureErrors = map[uint16]string{
	tsig.BadKey:   "BADKEY: tsig has no such key, or has it with another algorithm",
	tsig.BadSig:   "BADSIG: the client has another secret of the key",
	tsig.BadTime:  "BADTIME: the clock of the client differs by more than 5 minutes",
	tsig.BadTrunc: "BADTRUNC: the client truncates signatures",
}

// reportBadSignature keeps a transfer with an error in its signature for TakeRefusedTransfer.
func (r *Responder) reportBadSignature() {
	q := &r.query
	if q.opcode() == dns.OpcodeQuery && q.class == dns.ClassINET && (q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR) {
		r.reportRefused(dns.RcodeNotAuth, signatureErrors[r.tsig.Error])
	}
}
