package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// paddingBlock is the size that the sizes of padded answers are multiples of (RFC 8467 4.1).
const paddingBlock = 468

// pad pads the answer that begins at begin to the next multiple of paddingBlock, so that its size says little about it.
// An answer without an OPT record, or with a signature (RFC 8467 4), stays as it is.
func pad(out []byte, begin int) []byte {
	message := out[begin:]
	length, ok := optLength(message)
	if !ok {
		return out
	}
	whole := len(message) + optionHead
	padding := min((paddingBlock-whole%paddingBlock)%paddingBlock, dns.MaxMsgSize-whole)
	if padding < 0 {
		return out
	}
	binary.BigEndian.PutUint16(message[length:], binary.BigEndian.Uint16(message[length:])+uint16(optionHead+padding))
	out = append(out, 0, dns.EDNS0PADDING, byte(padding>>8), byte(padding))
	return append(out, zeros[:padding]...)
}

var zeros [paddingBlock]byte

// optLength returns the offset of the length of an OPT record at the end of a message.
func optLength(message []byte) (at int, ok bool) {
	opt := false
	whole := eachRecord(message, func(kind uint16, _ uint32, length int) {
		at, opt = length, kind == dns.TypeOPT
	})
	return at, whole && opt
}
