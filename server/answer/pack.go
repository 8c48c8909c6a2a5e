package answer

import (
	"bytes"
	"encoding/binary"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// pack appends a to out as the answer to q, and reports whether it was truncated to limit octets.
// Owners in the answer and authority sections that equal the question's name or the target of a
// CNAME, or are an ancestor of one, become pointers, and so do those that equal the owner of the
// record before, an NSEC record; nothing else is compressed, so that both paths agree on the length of an answer.
func pack(out []byte, q *query, a outcome, limit int) (packed []byte, tc bool) {
	base, msg := len(out), a.msg
	var chain aliasChain
	var full fullOwner
	out = append(out, q.packet[:max(q.end, HeaderSize)]...)
	end := len(out)
	last, lasts := packPseudo(a.pseudo, limit-(end-base))
	room := limit - len(last)
	counts := [sections]int{len(msg.Answer), len(msg.Ns), len(msg.Extra) + lasts}
	for i, rr := range msg.Answer {
		before := len(out)
		out = appendRecord(out, base, q, &chain, &full, rr)
		if len(out)-base > room && i >= len(msg.Answer)-a.drawn {
			out, counts[answerSection] = out[:before], i
			break
		}
	}
	for _, rr := range msg.Ns {
		out = appendRecord(out, base, q, &chain, &full, rr)
	}
	for i, rr := range msg.Extra {
		record := packRecord(rr)
		if a.stream && len(out)+len(record)-base > room {
			counts[additionalSection] = i + lasts
			break
		}
		out = append(out, record...)
	}
	if len(out)-base > room || msg.Truncated { // RFC 2181 9: the client retries by TCP
		out, tc = out[:end], true
		counts = [sections]int{additionalSection: lasts}
	}
	out = append(out, last...)
	writeHeader(out[base:], msg, q.end > 0, tc, counts)
	return out, tc
}

// packPseudo packs the records that fit in room octets, and returns their number: OPT always
// fits, a TSIG record with long names may not.
func packPseudo(records []dns.RR, room int) (packed []byte, count int) {
	for _, rr := range records {
		if record := packRecord(rr); len(packed)+len(record) <= room {
			packed = append(packed, record...)
			count++
		}
	}
	return packed, count
}

// writeHeader completes the header that was copied from the query.
func writeHeader(h []byte, msg *dns.Msg, question, tc bool, counts [sections]int) {
	h[2] = flagQR | h[2]&(opcodeMask|flagRD)
	if msg.Authoritative {
		h[2] |= flagAA
	}
	if tc {
		h[2] |= flagTC
	}
	h[3] = h[3]&flagCD | byte(msg.Rcode&0xf)
	h[4], h[5] = 0, 0
	if question {
		h[5] = 1
	}
	for i, n := range counts {
		binary.BigEndian.PutUint16(h[6+2*i:], uint16(n))
	}
}

// fullOwner is the last owner that was written in full.
type fullOwner struct {
	name   []byte
	offset int
}

// appendRecord appends rr and compresses its owner against the names of the message. Later owners
// can point at the target of a CNAME.
func appendRecord(out []byte, base int, q *query, chain *aliasChain, full *fullOwner, rr dns.RR) []byte {
	record := packRecord(rr)
	end, _ := skipName(record, 0)
	offset, ok := chain.place(q.name, dnsname.Wire(record[:end]).Folded())
	if !ok && end > 1 && bytes.Equal(full.name, record[:end]) {
		offset, ok = full.offset, full.offset <= maxPointer
	}
	if ok {
		out = append(out, pointer|byte(offset>>8), byte(offset))
	} else {
		full.name, full.offset = record[:end], len(out)-base
		out = append(out, record[:end]...)
	}
	out = append(out, record[end:]...)
	if cname, ok := rr.(*dns.CNAME); ok && chain.n < maxChain {
		target := parseWire(cname.Target)
		chain.follow(q.name, target, len(out)-base-len(target))
	}
	return out
}

// packRecord returns rr in wire form, uncompressed.
func packRecord(rr dns.RR) []byte {
	record := make([]byte, dns.Len(rr)+dnsname.MaxSize)
	end, err := dns.PackRR(rr, record, 0, nil, false)
	if err != nil {
		panic("server: a record that does not pack: " + err.Error()) // zones rendered it
	}
	return record[:end]
}
