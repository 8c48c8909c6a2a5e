package observation

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"slices"

	"meridian/health"
)

// Record is a message with the key that it replaces the last message of.
type Record struct {
	Key   string // below the prefix of the cluster
	Value []byte
}

// The beginnings of keys: heartbeats are in one range, so that they can be read without the blocks.
const (
	HeartbeatKeys = "beat/"
	BlockKeys     = "obs/"
	NodeKeys      = "node/"
)

// Outbox holds the opinions of this node, and what of them is not published yet. It is not safe for concurrent use.
type Outbox struct {
	cluster string
	key     ed25519.PrivateKey
	sender  Sender // of the last message
	blocks  [Blocks][]Entry
	dirty   [Blocks]bool
	sent    [Blocks]bool // they were taken in this boot

	record      NodeRecord
	recordDirty bool
}

// NewOutbox returns an empty outbox. sender has the name, region and boot of this node.
func NewOutbox(cluster string, key ed25519.PrivateKey, sender Sender) *Outbox {
	return &Outbox{cluster: cluster, key: key, sender: sender}
}

// Boot returns the boot of the messages.
func (o *Outbox) Boot() uint64 { return o.sender.Boot }

// Restart begins a new boot, and makes the next Take return all blocks.
func (o *Outbox) Restart(boot uint64) {
	o.sender.Boot, o.sender.Seq, o.sent = boot, 0, [Blocks]bool{}
	o.PublishAgain()
}

// Set adds an opinion, or replaces the one of the same probe.
func (o *Outbox) Set(e Entry) {
	number := BlockOf(e.ID)
	i, found := slices.BinarySearchFunc(o.blocks[number], e.ID, compareID)
	block := slices.Clone(o.blocks[number]) // the book has the published one
	switch {
	case found && block[i] == e:
		return
	case found:
		block[i] = e
	case len(block) == maxEntries:
		return
	default:
		block = slices.Insert(block, i, e)
	}
	o.blocks[number], o.dirty[number] = block, true
}

// Remove removes the opinion of a probe.
func (o *Outbox) Remove(id health.ProbeID) {
	number := BlockOf(id)
	if i, found := slices.BinarySearchFunc(o.blocks[number], id, compareID); found {
		o.blocks[number] = slices.Delete(slices.Clone(o.blocks[number]), i, i+1)
		o.dirty[number] = true
	}
}

// Dirty reports whether there is something to publish beside a heartbeat.
func (o *Outbox) Dirty() bool { return o.recordDirty || slices.Contains(o.dirty[:], true) }

// PublishAgain makes the next Take return all blocks, and those that are empty now: what was published may be lost.
func (o *Outbox) PublishAgain() {
	for number := range o.blocks {
		o.dirty[number] = o.dirty[number] || o.sent[number] || len(o.blocks[number]) > 0
	}
	o.recordDirty = o.record.Address.IsValid()
}

// SetAddress sets the address at which other vantages can ask this node.
func (o *Outbox) SetAddress(a netip.AddrPort) {
	if a != o.record.Address && ValidAddress(a) {
		o.record.Address, o.recordDirty = a, true
	}
}

// Take returns the blocks and the record that are not published yet, and last a heartbeat, which says that they are.
func (o *Outbox) Take(h Heartbeat) []Record {
	return append(o.takeBlocks(), o.heartbeat(h))
}

// Last is Take of a process that ends: its heartbeat is the last of this boot. Restart comes before the next Take.
func (o *Outbox) Last(h Heartbeat) []Record {
	records := o.takeBlocks()
	o.sender.Seq = LastSeq - 1
	return append(records, o.heartbeat(h))
}

func (o *Outbox) takeBlocks() (records []Record) {
	for number := range o.blocks {
		if o.dirty[number] {
			o.dirty[number], o.sent[number] = false, true
			b := &Block{uint8(number), o.blocks[number]}
			records = append(records, Record{fmt.Sprintf("%s%s/%02x", BlockKeys, o.sender.Vantage, number), o.sign(&Message{Block: b})})
		}
	}
	if o.recordDirty {
		o.recordDirty = false
		record := o.record
		records = append(records, Record{NodeKeys + o.sender.Vantage, o.sign(&Message{Record: &record})})
	}
	return records
}

func (o *Outbox) heartbeat(h Heartbeat) Record {
	h.Blocks = DigestBlocks(&o.blocks)
	return Record{HeartbeatKeys + o.sender.Vantage, o.sign(&Message{Heartbeat: h})}
}

// sign gives m the next sequence number and signs it.
func (o *Outbox) sign(m *Message) []byte {
	o.sender.Seq++
	m.Sender = o.sender
	return m.Sign(o.cluster, o.key)
}
