package answer

import (
	"encoding/binary"

	"meridian/zones"
)

// extras holds the options of an answer that are left out if they do not fit. Both paths append them to the OPT record
// by the same code, after the options that have room reserved.
type extras struct {
	ede       uint16       // the extended error of an answer without data (RFC 8914); 0: none
	versioned bool         // the version of zone (RFC 9660)
	zone      zones.ZoneID // that answers for the name of the question
	agent     *agent       // for errors of the resolver (RFC 9567); nil: none
}

// append appends the options that fit in room octets.
func (x *extras) append(out []byte, data *zones.Data, room int) []byte {
	begin := len(out)
	if x.ede != 0 && room >= optionHead+2 {
		out = append(out, 0, optionEDE, 0, 2, byte(x.ede>>8), byte(x.ede))
	}
	if x.versioned && room-(len(out)-begin) >= optionHead+zoneVersionSize {
		labels := data.Apex(x.zone).Labels()
		out = append(out, 0, optionZoneVersion, 0, zoneVersionSize, byte(labels), zoneVersionSerial)
		out = binary.BigEndian.AppendUint32(out, data.Serial(x.zone))
	}
	if x.agent != nil && room-(len(out)-begin) >= len(x.agent.option) {
		out = append(out, x.agent.option...)
	}
	return out
}

// The version of a zone (RFC 9660 2): the labels of its name, the type of the version, and the serial.
const (
	zoneVersionSize   = 6
	zoneVersionSerial = 0 // SOA-SERIAL
)

// found takes the lookup of the name of the question. The version of a zone is answered if the query asks for it, and
// the zone itself answers: not for a name that is delegated or in no zone (RFC 9660 3.2). The agent for errors is in all
// answers of our zones.
func (x *extras) found(s *activeSnapshot, q *query, match zones.Match) {
	if s.agent != nil && q.edns.present && match.Kind != zones.Refused && s.agent.concerns(q.name) {
		x.agent = s.agent
	}
	if q.edns.zoneVersion {
		x.versioned = match.Kind != zones.Refused && match.Kind != zones.Referral && match.Kind != zones.Unavailable
		x.zone = match.Zone
	}
}

// extendOPT appends the options to the OPT record that ends out, of size octets.
func (x *extras) extendOPT(out []byte, data *zones.Data, size, room int) []byte {
	length := len(out) - size + optFixed - 2
	out = x.append(out, data, room)
	n := len(out) - length - 2
	out[length], out[length+1] = byte(n>>8), byte(n)
	return out
}
