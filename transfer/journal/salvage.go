package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"meridian/dnsname"
)

// minChange is less than the size of any change in a file: its head, a kind, a digest, an origin, two SOA records, and two lengths.
const minChange = headSize + 1 + 32 + 1 + 2*(1+minRecord+soaNumbers) + 2

// lastSerial returns a serial that is at least the last one of a corrupt file: the highest of the entries that can be read,
// wherever they are, and one for each change that may be in the rest. False: none can be read.
func (j *Journal) lastSerial(content []byte) (last uint32, found bool) {
	unread := 0
	for rest := content; len(rest) > 0; {
		data := entryAt(rest)
		if data == nil {
			unread++
			rest = rest[1:]
			continue
		}
		rest = rest[headSize+len(data):]
		if serial, ok := j.serialOf(data); ok && (!found || Newer(serial, last)) {
			last, found = serial, true
		}
	}
	return last + uint32(min(unread/minChange, 2*j.bounds.Depth+minRewrite)), found
}

// entryAt returns the data of an entry that begins a part of a file; nil: there is no valid one.
func entryAt(p []byte) []byte {
	if len(p) < headSize || crc32.Checksum(p[:4], castagnoli) != binary.BigEndian.Uint32(p[4:]) {
		return nil
	}
	length := uint64(binary.BigEndian.Uint32(p))
	if length > uint64(len(p)-headSize) {
		return nil
	}
	data := p[headSize : headSize+length]
	if crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(p[8:]) {
		return nil
	}
	return data
}

// serialOf returns the serial after an entry; false: it is not one of this zone.
func (j *Journal) serialOf(data []byte) (uint32, bool) {
	if b, err := decodeBase(data); err == nil {
		return b.serial, b.zone == j.zone
	}
	c, err := decodeChange(data)
	if err != nil {
		return 0, false
	}
	return c.To(), bytes.Equal(c.NewSOA.Owner(), dnsname.Name(j.zone).Wire())
}
