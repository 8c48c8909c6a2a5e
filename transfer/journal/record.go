package journal

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

const (
	recordFixed = 10 // type, class, TTL and RDLENGTH
	minRecord   = 1 + recordFixed
)

// Record is a resource record of class IN in wire form: its owner in lower case, and its data without pointers. Equal records are
// equal strings.
type Record string

// NewRecord returns a record.
func NewRecord(owner dnsname.Wire, typ uint16, ttl uint32, data []byte) Record {
	b := make([]byte, 0, len(owner)+recordFixed+len(data))
	b = append(b, owner...)
	b = binary.BigEndian.AppendUint16(b, typ)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return Record(append(b, data...))
}

// ownerSize returns the length of the owner.
func (r Record) ownerSize() int {
	at := 0
	for at < len(r) && r[at] != 0 {
		at += 1 + int(r[at])
	}
	return at + 1
}

// Owner returns the name of the record.
func (r Record) Owner() dnsname.Wire { return dnsname.Wire(r[:r.ownerSize()]) }

// Type returns the type of the record.
func (r Record) Type() uint16 {
	at := r.ownerSize()
	return uint16(r[at])<<8 | uint16(r[at+1])
}

// TTL returns the TTL of the record.
func (r Record) TTL() uint32 {
	at := r.ownerSize() + 4
	return uint32(r[at])<<24 | uint32(r[at+1])<<16 | uint32(r[at+2])<<8 | uint32(r[at+3])
}

// Data returns the RDATA of the record.
func (r Record) Data() string { return string(r[r.ownerSize()+recordFixed:]) }

// WithTTL returns the record with another TTL.
func (r Record) WithTTL(ttl uint32) Record {
	return NewRecord(r.Owner(), r.Type(), ttl, []byte(r.Data()))
}

// Newer reports whether a serial is higher than another one (RFC 1982 3.2).
func Newer(a, b uint32) bool { return int32(a-b) > 0 }

// Serial returns the serial of an SOA record: the first of the five numbers that end it.
func (r Record) Serial() uint32 { return binary.BigEndian.Uint32([]byte(r[len(r)-soaNumbers:])) }

// WithSerial returns an SOA record with another serial.
func (r Record) WithSerial(serial uint32) Record {
	at := len(r) - soaNumbers
	return r[:at] + Record(binary.BigEndian.AppendUint32(nil, serial)) + r[at+4:]
}

// soaNumbers is the size of the five numbers that end an SOA record (RFC 1035 3.3.13).
const soaNumbers = 20

// String returns the record in the format of master files.
func (r Record) String() string {
	rr, _, err := dns.UnpackRR([]byte(r), 0)
	if err != nil {
		return "unreadable record: " + err.Error()
	}
	return rr.String()
}

// valid reports whether a record from a file is one: its lengths add up to its size, and it unpacks.
func (r Record) valid() bool {
	if len(r) < minRecord || len(r) > maxRecord {
		return false
	}
	_, end, err := dns.UnpackRR([]byte(r), 0)
	return err == nil && end == len(r)
}

// maxRecord is the size of the largest record.
const maxRecord = dnsname.MaxSize + recordFixed + 1<<16 - 1
