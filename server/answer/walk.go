package answer

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// SmallestTTL returns the smallest TTL of the records of an answer, which is how long it may be kept (RFC 8484 5.1): that
// of a negative answer is in the SOA. It returns false for an answer without records.
func SmallestTTL(answer []byte) (smallest uint32, ok bool) {
	whole := eachRecord(answer, func(kind uint16, ttl uint32, _ int) {
		if kind != dns.TypeOPT && (!ok || ttl < smallest) {
			smallest, ok = ttl, true
		}
	})
	return smallest, whole && ok
}

// eachRecord calls f for each record of a message: its type, TTL, and the offset of the length of its data. It
// returns false at the first one that is not whole.
func eachRecord(message []byte, f func(kind uint16, ttl uint32, length int)) bool {
	at, ok := HeaderSize, len(message) >= HeaderSize
	if !ok {
		return false
	}
	for range binary.BigEndian.Uint16(message[4:]) {
		if at, ok = skipName(message, at); !ok {
			return false
		}
		at += 4
	}
	for section := range sections {
		for range binary.BigEndian.Uint16(message[6+2*section:]) {
			if at, ok = skipName(message, at); !ok || at+recordFixed > len(message) {
				return false
			}
			length := at + recordFixed - 2
			f(binary.BigEndian.Uint16(message[at:]), binary.BigEndian.Uint32(message[at+4:]), length)
			if at += recordFixed + int(binary.BigEndian.Uint16(message[length:])); at > len(message) {
				return false
			}
		}
	}
	return at == len(message)
}
