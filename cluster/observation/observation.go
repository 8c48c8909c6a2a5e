// Package observation defines what the vantages of a cluster publish: signed messages in a packed binary form.
//
// A vantage publishes its opinions in up to 256 blocks, by the first octet of the identity of the probe, and heartbeats. Each
// message has the boot of the vantage, which grows with each start of its process, and a sequence number, which grows with
// each message. It is signed with the Ed25519 key of the vantage (RFC 8032), together with the name of the cluster.
//
// A node that can be asked directly publishes a record with its address, too. An [Exchange] carries messages from one vantage
// to another without a store between them.
//
// A [Book] holds what other vantages have published. It verifies each message, and rejects and counts those that are
// malformed, of an unknown vantage, forged, replayed, or of a clock that is far ahead.
package observation

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"meridian/health"
)

// Blocks is the number of blocks of a vantage.
const Blocks = 256

// Entry is an opinion in a block.
type Entry struct {
	ID      health.ProbeID
	Verdict health.Verdict // Unknown, Up or Down
	Reason  health.ReasonCode
	Since   uint32 // when Verdict began, in seconds of Unix time; 0: never
}

// BlockOf returns the number of the block that an entry is in.
func BlockOf(id health.ProbeID) uint8 { return uint8(id >> 56) }

// Digest identifies a set of values.
type Digest [16]byte

// Sender identifies the sender of a message, and the message among all of the sender.
type Sender struct {
	Vantage string
	Region  string
	Boot    uint64 // nanoseconds of Unix time when the process of the vantage started, or more
	Seq     uint64 // from 1 on, in each boot; LastSeq: it is the last message
}

// LastSeq is the sequence number of the last message of a process that ends: its name is free. It is the highest one, so that
// older versions read the message, too.
const LastSeq = math.MaxUint64

// Ended reports whether the process has said that it ends.
func (s Sender) Ended() bool { return s.Seq == LastSeq }

// After reports whether a message of s was sent after one of other, of the same vantage.
func (s Sender) After(other Sender) bool {
	return s.Boot > other.Boot || s.Boot == other.Boot && s.Seq > other.Seq
}

// Block is all opinions of a vantage in one block, ordered by ID.
type Block struct {
	Number  uint8
	Entries []Entry
}

// Heartbeat says that a vantage is alive, and what it has published and found.
type Heartbeat struct {
	At     time.Time // by the clock of the vantage, in milliseconds
	Blocks Digest    // of all its blocks; see DigestBlocks
	Probes Digest    // of the probes that it decides about with others
	Agreed Digest    // of what it finds agreed about them
	Agent  bool      // it is an agent: it answers no queries
}

// NodeRecord says where a node listens for direct requests of other vantages.
type NodeRecord struct {
	Address netip.AddrPort
}

// Message is published by a vantage: a block, a record or a heartbeat.
type Message struct {
	Sender
	Block     *Block      // nil: it is none
	Record    *NodeRecord // nil: it is none
	Heartbeat Heartbeat   // without Block and Record
}

// DigestBlocks returns the digest of the blocks of a vantage, by number. Empty blocks do not count.
func DigestBlocks(blocks *[Blocks][]Entry) Digest {
	h := sha256.New()
	for number, entries := range blocks {
		if len(entries) > 0 {
			h.Write(appendBlock(nil, &Block{uint8(number), entries}))
		}
	}
	return Digest(h.Sum(nil)[:len(Digest{})])
}

// DigestVerdicts returns the digest of a verdict for each probe.
func DigestVerdicts(all map[health.ProbeID]health.Verdict) Digest {
	text := make([]byte, 0, 9*len(all))
	ids := make([]health.ProbeID, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		text = append(binary.BigEndian.AppendUint64(text, uint64(id)), byte(all[id]))
	}
	sum := sha256.Sum256(text)
	return Digest(sum[:len(Digest{})])
}
