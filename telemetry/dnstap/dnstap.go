// Package dnstap writes DNS messages in the dnstap format to a collector.
//
// A [Message] is one query with its answer. Its protobuf form (https://dnstap.info, type Dnstap) is the payload of one
// data frame of the Frame Streams protocol. A [Sink] carries such frames to one destination:
//
//	unix:PATH, tcp:HOST:PORT   READY ->, <- ACCEPT, START ->, frames ->, STOP ->, <- FINISH
//	file:PATH                  START, frames, STOP
//
// A Sink never waits long: it reconnects with back-off, gives a stalled reader a limited time, and counts the messages
// that it could not deliver. One goroutine owns a Sink; the counts may be read by any.
package dnstap

import (
	"encoding/binary"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Protocol is the transport of a query, as dnstap numbers it.
type Protocol uint8

// The protocols.
const (
	UDP Protocol = 1
	TCP Protocol = 2
	DoT Protocol = 3
	DoH Protocol = 4
	DoQ Protocol = 7
)

// Message is a query and its answer: a dnstap message of type AUTH_RESPONSE.
type Message struct {
	Identity, Version string // of the server; may be empty
	Extra             []byte // free text for the reader
	Protocol          Protocol
	Client            netip.AddrPort // port 0: not known
	Zone              []byte         // in wire form; empty: none
	QueryTime         time.Time
	ResponseTime      time.Time
	Query, Response   []byte // whole DNS messages
}

// The values of Dnstap.type and Message.type.
const (
	typeMessage  = 1
	authResponse = 2
)

// The numbers of the fields of Dnstap.
const (
	fieldIdentity protowire.Number = 1
	fieldVersion  protowire.Number = 2
	fieldExtra    protowire.Number = 3
	fieldMessage  protowire.Number = 14
	fieldType     protowire.Number = 15
)

// The numbers of the fields of Message.
const (
	messageType         protowire.Number = 1
	messageFamily       protowire.Number = 2
	messageProtocol     protowire.Number = 3
	messageQueryAddress protowire.Number = 4
	messageQueryPort    protowire.Number = 6
	messageQuerySec     protowire.Number = 8
	messageQueryNsec    protowire.Number = 9
	messageQuery        protowire.Number = 10
	messageZone         protowire.Number = 11
	messageResponseSec  protowire.Number = 12
	messageResponseNsec protowire.Number = 13
	messageResponse     protowire.Number = 14
)

// The values of Message.socket_family.
const (
	familyINET  = 1
	familyINET6 = 2
)

// append appends m in protobuf form to out. It uses scratch for the inner message and returns both.
func (m *Message) append(out, scratch []byte) (frame, inner []byte) {
	scratch = m.appendInner(scratch[:0])
	out = appendText(out, fieldIdentity, m.Identity)
	out = appendText(out, fieldVersion, m.Version)
	out = appendBytes(out, fieldExtra, m.Extra)
	out = appendBytes(out, fieldMessage, scratch)
	return appendNumber(out, fieldType, typeMessage), scratch
}

// appendInner appends the fields of dnstap's own Message.
func (m *Message) appendInner(out []byte) []byte {
	family := uint64(familyINET)
	if m.Client.Addr().Is6() {
		family = familyINET6
	}
	out = appendNumber(out, messageType, authResponse)
	out = appendNumber(out, messageFamily, family)
	out = appendNumber(out, messageProtocol, uint64(m.Protocol))
	out = appendBytes(out, messageQueryAddress, m.Client.Addr().AsSlice())
	if port := m.Client.Port(); port != 0 {
		out = appendNumber(out, messageQueryPort, uint64(port))
	}
	out = appendTime(out, messageQuerySec, messageQueryNsec, m.QueryTime)
	out = appendBytes(out, messageQuery, m.Query)
	out = appendBytes(out, messageZone, m.Zone)
	out = appendTime(out, messageResponseSec, messageResponseNsec, m.ResponseTime)
	return appendBytes(out, messageResponse, m.Response)
}

func appendNumber(out []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(out, field, protowire.VarintType), value)
}

// appendBytes appends a field unless it is empty.
func appendBytes(out []byte, field protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return out
	}
	return protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), value)
}

// appendText appends a field unless it is empty.
func appendText(out []byte, field protowire.Number, value string) []byte {
	if value == "" {
		return out
	}
	return protowire.AppendString(protowire.AppendTag(out, field, protowire.BytesType), value)
}

// appendTime appends the seconds and the nanoseconds of a time unless it is zero.
func appendTime(out []byte, seconds, nanoseconds protowire.Number, at time.Time) []byte {
	if at.IsZero() {
		return out
	}
	out = appendNumber(out, seconds, uint64(at.Unix()))
	return protowire.AppendFixed32(protowire.AppendTag(out, nanoseconds, protowire.Fixed32Type), uint32(at.Nanosecond()))
}

// appendFrame appends a data frame of Frame Streams: the length, then the payload.
func appendFrame(out, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(payload))), payload...)
}
