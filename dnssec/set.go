package dnssec

import (
	"bytes"
	"encoding/binary"
	"slices"

	"meridian/dnsname"
)

// The types that this package makes or treats in a special way.
const (
	typeNS      = 2
	typeMD      = 3
	typeMF      = 4
	typeCNAME   = 5
	typeSOA     = 6
	typeMB      = 7
	typeMG      = 8
	typeMR      = 9
	typePTR     = 12
	typeMINFO   = 14
	typeMX      = 15
	typeRP      = 17
	typeAFSDB   = 18
	typeRT      = 21
	typePX      = 26
	typeSRV     = 33
	typeNAPTR   = 35
	typeKX      = 36
	typeDNAME   = 39
	typeDS      = 43
	typeRRSIG   = 46
	typeNSEC    = 47
	typeDNSKEY  = 48
	typeCDS     = 59
	typeCDNSKEY = 60
	typeNXNAME  = 128 // RFC 9824 2: the name does not exist
	classIN     = 1
)

// Set is an RRset to be signed.
type Set struct {
	Owner dnsname.Wire // lower case; the wildcard's name if the set is that of a wildcard
	Type  uint16
	TTL   uint32 // the original one, which a signature covers; an answer may have a lower one
	Data  []byte // for each record: RDLENGTH, RDATA, uncompressed
}

// labels returns the number of labels that a signature counts: without the root and without a leading asterisk (RFC
// 4034 3.1.3).
func (s *Set) labels() uint8 {
	n := s.Owner.Labels()
	if len(s.Owner) > 2 && s.Owner[0] == 1 && s.Owner[1] == '*' {
		n--
	}
	return uint8(n)
}

// appendCanonical appends the records in canonical form and order (RFC 4034 6.2, 6.3).
func (s *Set) appendCanonical(dst []byte) []byte {
	for _, rdata := range s.canonicalData() {
		dst = append(dst, s.Owner...)
		dst = binary.BigEndian.AppendUint16(dst, s.Type)
		dst = binary.BigEndian.AppendUint16(dst, classIN)
		dst = binary.BigEndian.AppendUint32(dst, s.TTL)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(rdata)))
		dst = append(dst, rdata...)
	}
	return dst
}

// canonicalData returns the RDATA of the records, each once, with the names in it in lower case, in ascending order.
func (s *Set) canonicalData() [][]byte {
	data := bytes.Clone(s.Data)
	var all [][]byte
	for rest := data; len(rest) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		rdata := rest[2:end]
		FoldNames(s.Type, rdata)
		all = append(all, rdata)
		rest = rest[end:]
	}
	slices.SortFunc(all, bytes.Compare)
	return slices.CompactFunc(all, bytes.Equal)
}

// layout describes the RDATA of a type up to its last name.
type layout struct {
	fixed   int // octets before everything else
	strings int // character strings after them
	names   int // names after these
}

// layouts holds the types that have names in lower case in canonical form (RFC 4034 6.2, RFC 6840 5.1). All other
// RDATA is canonical as it is.
var layouts = map[uint16]layout{
	typeNS: {names: 1}, typeMD: {names: 1}, typeMF: {names: 1}, typeCNAME: {names: 1}, typeSOA: {names: 2},
	typeMB: {names: 1}, typeMG: {names: 1}, typeMR: {names: 1}, typePTR: {names: 1}, typeMINFO: {names: 2},
	typeMX: {fixed: 2, names: 1}, typeRP: {names: 2}, typeAFSDB: {fixed: 2, names: 1}, typeRT: {fixed: 2, names: 1},
	typePX: {fixed: 2, names: 2}, typeSRV: {fixed: 6, names: 1}, typeNAPTR: {fixed: 4, strings: 3, names: 1},
	typeKX: {fixed: 2, names: 1}, typeDNAME: {names: 1},
}

// FoldNames converts the names in RDATA to lower case. It leaves RDATA that is too short for its type as it is.
func FoldNames(typ uint16, rdata []byte) {
	l, ok := layouts[typ]
	if !ok {
		return
	}
	at := l.fixed
	for range l.strings {
		if at >= len(rdata) {
			return
		}
		at += 1 + int(rdata[at])
	}
	for range l.names {
		for at < len(rdata) && rdata[at] != 0 {
			end := min(at+1+int(rdata[at]), len(rdata))
			dnsname.Wire(rdata[at:end]).Fold() // a length octet is smaller than any letter
			at = end
		}
		at++
	}
}

// appendData appends RDATA with its length.
func appendData(dst, rdata []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(rdata)))
	return append(dst, rdata...)
}
