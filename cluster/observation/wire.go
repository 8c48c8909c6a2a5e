package observation

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meridian/health"
)

// The binary form of a message, in network byte order:
//
//	octets  content
//	------  -------------------------------------------------------------------
//	1       version, 1
//	1       kind: 1 block, 2 heartbeat of a node, 3 heartbeat of an agent, 4 record
//	1+n     length and name of the vantage
//	1+n     length and name of its region
//	8       boot
//	8       sequence number
//	        of a block:
//	1       number
//	2       count of entries
//	13 each entry: identity 8, verdict and reason 1 (2 and 6 bits), since 4
//	        of a heartbeat:
//	8       time in milliseconds of Unix time
//	48      digests of the blocks, the probes and what is agreed
//	        of a record:
//	1+n     length and text of the address
//	        of each:
//	64      signature of all octets before, after the context
const (
	version            = 1
	kindBlock          = 1
	kindHeartbeat      = 2
	kindAgentHeartbeat = 3
	kindRecord         = 4
	entrySize          = 13
	maxName            = 64
	maxEntries         = 1<<16 - 1
)

// context is what is signed before a message, with the name of the cluster: a signature is good for one cluster and purpose.
const context = "meridian observation"

// The errors of Decode and Verify.
var (
	errMalformed = errors.New("malformed message")
	errVersion   = errors.New("message of another version")
	errKind      = fmt.Errorf("%w: a kind that this version does not know", errVersion)
)

// Sign returns the binary form of a message of a cluster.
func (m *Message) Sign(cluster string, key ed25519.PrivateKey) []byte {
	body := m.append(nil)
	return append(body, ed25519.Sign(key, signed(cluster, body))...)
}

// signed returns what is signed for the body of a message.
func signed(cluster string, body []byte) []byte {
	return append(append(append([]byte(context), byte(len(cluster))), cluster...), body...)
}

// append appends the binary form of m without its signature.
func (m *Message) append(b []byte) []byte {
	kind := byte(kindHeartbeat)
	switch {
	case m.Block != nil:
		kind = kindBlock
	case m.Record != nil:
		kind = kindRecord
	case m.Heartbeat.Agent:
		kind = kindAgentHeartbeat
	}
	b = append(b, version, kind)
	b = append(append(b, byte(len(m.Vantage))), m.Vantage...)
	b = append(append(b, byte(len(m.Region))), m.Region...)
	b = binary.BigEndian.AppendUint64(b, m.Boot)
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	if m.Block != nil {
		return appendBlock(b, m.Block)
	}
	if m.Record != nil {
		address := m.Record.Address.String()
		return append(append(b, byte(len(address))), address...)
	}
	h := &m.Heartbeat
	b = binary.BigEndian.AppendUint64(b, uint64(h.At.UnixMilli()))
	return append(append(append(b, h.Blocks[:]...), h.Probes[:]...), h.Agreed[:]...)
}

func appendBlock(b []byte, of *Block) []byte {
	b = append(b, of.Number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(of.Entries)))
	for _, e := range of.Entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.ID))
		b = append(b, byte(e.Verdict)|byte(e.Reason)<<2)
		b = binary.BigEndian.AppendUint32(b, e.Since)
	}
	return b
}

// Decode reads a message. It does not verify the signature, which Verify does.
func Decode(raw []byte) (Message, error) {
	if len(raw) < 2+ed25519.SignatureSize {
		return Message{}, errMalformed
	}
	if raw[0] != version {
		return Message{}, fmt.Errorf("%w: %d, want %d", errVersion, raw[0], version)
	}
	r := reader{left: raw[2 : len(raw)-ed25519.SignatureSize]}
	m := Message{Sender: Sender{Vantage: r.name(), Region: r.name(), Boot: r.uint64(), Seq: r.uint64()}}
	switch raw[1] {
	case kindBlock:
		m.Block = r.block()
	case kindRecord:
		m.Record = r.record()
	case kindHeartbeat, kindAgentHeartbeat:
		m.Heartbeat = r.heartbeat()
		m.Heartbeat.Agent = raw[1] == kindAgentHeartbeat
	default:
		return Message{}, fmt.Errorf("%w: %d", errKind, raw[1])
	}
	if r.bad || len(r.left) > 0 || m.Seq == 0 {
		return Message{}, errMalformed
	}
	return m, nil
}

// Verify reports whether raw, a message, has the signature of a key for a cluster.
func Verify(raw []byte, cluster string, key ed25519.PublicKey) bool {
	end := len(raw) - ed25519.SignatureSize
	return end >= 0 && ed25519.Verify(key, signed(cluster, raw[:end]), raw[end:])
}

// reader reads the parts of a message. After an error it returns zero values.
type reader struct {
	left []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.left) < n {
		r.bad = true
		return make([]byte, n)
	}
	part := r.left[:n]
	r.left = r.left[n:]
	return part
}

func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) digest() Digest { return Digest(r.take(len(Digest{}))) }

func (r *reader) name() string {
	n := r.take(1)[0]
	if n > maxName {
		r.bad = true
		return ""
	}
	name := string(r.take(int(n)))
	r.bad = r.bad || !ValidName(name)
	return name
}

func (r *reader) block() *Block {
	b := &Block{Number: r.take(1)[0]}
	count := int(binary.BigEndian.Uint16(r.take(2)))
	if len(r.left) != count*entrySize {
		r.bad = true
		return b
	}
	b.Entries = make([]Entry, count)
	for i := range b.Entries {
		e := Entry{ID: health.ProbeID(r.uint64())}
		state := r.take(1)[0]
		e.Verdict, e.Reason = health.Verdict(state&3), health.ReasonCode(state>>2)
		e.Since = binary.BigEndian.Uint32(r.take(4))
		r.bad = r.bad || e.Verdict > health.Down || BlockOf(e.ID) != b.Number || i > 0 && e.ID <= b.Entries[i-1].ID
		b.Entries[i] = e
	}
	return b
}

// record reads the address of a node. An address has one form.
func (r *reader) record() *NodeRecord {
	text := string(r.take(int(r.take(1)[0])))
	address, err := netip.ParseAddrPort(text)
	r.bad = r.bad || err != nil || address.String() != text || !ValidAddress(address)
	return &NodeRecord{address}
}

// ValidAddress reports whether a node can have an address for other vantages.
func ValidAddress(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && a.Addr().Zone() == "" && !a.Addr().Is4In6() && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast()
}

// maxMilliseconds is the time in a heartbeat that is the most: the year 10000.
const maxMilliseconds = 253402300800000

func (r *reader) heartbeat() Heartbeat {
	at := r.uint64()
	if at > maxMilliseconds {
		r.bad = true
	}
	return Heartbeat{At: time.UnixMilli(int64(at)), Blocks: r.digest(), Probes: r.digest(), Agreed: r.digest()}
}

// ValidName reports whether s can be the name of a vantage, a region or a cluster: 1 to 64 letters, digits, dots, hyphens
// and underscores, as it is a part of a key.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
