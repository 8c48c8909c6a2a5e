package zones

import (
	"encoding/binary"
	"time"
)

// serialOctets returns the serial of a zone's SOA: the first of the five numbers that end the record (RFC 1035 3.3.13).
func (s *Data) serialOctets(zone ZoneID) []byte {
	data := s.Negative(zone).Data
	if len(data) < soaNumbers {
		return make([]byte, 4) // the zone has no data: its serial is 0
	}
	return data[len(data)-soaNumbers:]
}

// Serial returns the serial of a zone.
func (s *Data) Serial(zone ZoneID) uint32 { return binary.BigEndian.Uint32(s.serialOctets(zone)) }

// SetSerial changes the serial of a zone. No query may read the data yet.
func (s *Data) SetSerial(zone ZoneID, serial uint32) {
	binary.BigEndian.PutUint32(s.serialOctets(zone), serial)
}

// Changed returns when the configuration or the file of a zone last changed.
func (s *Data) Changed(zone ZoneID) time.Time { return time.Unix(s.zones[zone].changed, 0) }

// MadeSOA reports whether the SOA of a zone is made from the configuration, not from a file.
func (s *Data) MadeSOA(zone ZoneID) bool { return s.zones[zone].madeSOA }
