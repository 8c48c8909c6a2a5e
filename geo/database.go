package geo

import (
	"errors"
	"fmt"
	"math/bits"
	"os"

	"meridian/errtext"

	"github.com/oschwald/maxminddb-golang/v2"
)

// database is an open file in MaxMind's format. It reads the search tree itself and does not use the library's
// iterator, for three reasons: compiling descends into this tree and two other tries at once, which a network
// iterator cannot do; this walk detects cycles; and it is faster (BenchmarkWalk). The library decodes the records.
type database struct {
	data   []byte // the whole file, mapped
	mapped bool
	reader *maxminddb.Reader
	nodes  uint32 // inner nodes of the search tree; a smaller record is a node, this one is "no data"
	size   uint   // bits of a record: 24, 28 or 32
	v4, v6 record // root of each family
	v4bits int    // length of the prefix at which IPv4 begins: 0, 96, or less where a leaf covers more
}

// record is one half of a node: the index of a node or, from database.nodes on, the data of the prefix. It has 32
// bits in all three formats.
type record uint32

// separator is the number of zero bytes between the search tree and the data.
const separator = 16

// openDatabase maps the file and checks its metadata. close unmaps it.
func openDatabase(name string) (*database, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, errtext.CannotRead(err)
	}
	switch {
	case info.IsDir():
		return nil, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	case info.Size() == 0:
		return nil, errors.New("is empty")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, errtext.CannotRead(err)
	}
	defer f.Close()
	data, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, errtext.CannotRead(err)
	}
	db, err := newDatabase(data)
	if err != nil {
		return nil, errors.Join(err, unmap(data))
	}
	db.mapped = true
	return db, nil
}

// newDatabase checks the metadata of data. The search tree and its pointers must stay within data.
func newDatabase(data []byte) (*database, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("is not in MaxMind's format, or broken: %w", err)
	}
	m := reader.Metadata
	db := &database{data: data, reader: reader, size: m.RecordSize}
	if err := db.checkMetadata(m); err != nil {
		return nil, err
	}
	db.nodes = uint32(m.NodeCount)
	db.v6, db.v4 = record(db.nodes), 0
	if m.IPVersion == 6 {
		db.v6 = 0
		for db.v4bits < 96 && db.isNode(db.v4) {
			db.v4, _ = db.split(db.v4)
			db.v4bits++
		}
	}
	return db, nil
}

// checkMetadata returns an error if the search tree that m describes cannot be in the file.
func (db *database) checkMetadata(m maxminddb.Metadata) error {
	switch {
	case m.RecordSize != 24 && m.RecordSize != 28 && m.RecordSize != 32:
		return fmt.Errorf("has records of %d bits, want 24, 28 or 32", m.RecordSize)
	case m.IPVersion != 4 && m.IPVersion != 6:
		return fmt.Errorf("is of IP version %d, want 4 or 6", m.IPVersion)
	case m.NodeCount == 0 || uint64(m.NodeCount) >= 1<<31 || db.treeSize(m.NodeCount)+separator > uint64(len(db.data)):
		return fmt.Errorf("claims %d nodes, which its %d bytes cannot hold", m.NodeCount, len(db.data))
	}
	return nil
}

func (db *database) treeSize(nodes uint) uint64 { return uint64(nodes) * uint64(db.size) / 4 }

// close unmaps the file.
func (db *database) close() error {
	if !db.mapped {
		return nil
	}
	return unmap(db.data)
}

func (db *database) isNode(r record) bool { return uint32(r) < db.nodes }

// split returns the two halves of node r.
func (db *database) split(r record) (a, b record) {
	switch db.size {
	case 24:
		n := db.data[int(r)*6:][:6]
		return record(n[0])<<16 | record(n[1])<<8 | record(n[2]),
			record(n[3])<<16 | record(n[4])<<8 | record(n[5])
	case 28:
		n := db.data[int(r)*7:][:7]
		return record(n[3]>>4)<<24 | record(n[0])<<16 | record(n[1])<<8 | record(n[2]),
			record(n[3]&15)<<24 | record(n[4])<<16 | record(n[5])<<8 | record(n[6])
	default:
		n := db.data[int(r)*8:][:8]
		return record(n[0])<<24 | record(n[1])<<16 | record(n[2])<<8 | record(n[3]),
			record(n[4])<<24 | record(n[5])<<16 | record(n[6])<<8 | record(n[7])
	}
}

// alias reports whether node r of the IPv6 tree is the root of IPv4: at ::/96, and where the writer repeats it, for
// example for 6to4. IPv4 data does not apply to the IPv6 addresses below it.
func (db *database) alias(r record) bool { return r == db.v4 && db.v4bits == 96 }

// start returns the root record of a family.
func (db *database) start(v4 bool) record {
	if v4 {
		return db.v4
	}
	return db.v6
}

// find returns the offset of the data for k in the data section, and the length of its prefix. ok is false if there
// is no data.
func (db *database) find(k key, v4 bool) (offset uint32, depth int, ok bool) {
	r, width := db.start(v4), bitsV6
	if v4 {
		width = bitsV4
	}
	for db.isNode(r) && depth < width {
		if !v4 && db.alias(r) {
			return 0, depth, false
		}
		a, b := db.split(r)
		if r = a; k.bit(depth) == 1 {
			r = b
		}
		depth++
	}
	offset, ok = db.offset(r)
	return offset, depth, ok
}

// offset returns the offset of a record's data in the data section.
func (db *database) offset(r record) (offset uint32, ok bool) {
	if uint32(r) < db.nodes+separator {
		return 0, false
	}
	return uint32(r) - db.nodes - separator, true
}

// offsets is the set of all offsets in the search tree, numbered from 0 in order. It has one bit for each offset and
// one count for each word.
type offsets struct {
	words  []uint64
	before []uint32 // offsets in all earlier words
}

// offsets reads every node in storage order and checks every pointer.
func (db *database) offsets() (*offsets, error) {
	end := uint64(len(db.data)) - db.treeSize(uint(db.nodes)) - separator
	set := &offsets{words: make([]uint64, end/64+1)}
	for n := range db.nodes {
		a, b := db.split(record(n))
		for _, r := range [2]record{a, b} {
			if uint32(r) <= db.nodes {
				continue
			}
			offset, ok := db.offset(r)
			if !ok || uint64(offset) >= end {
				return nil, fmt.Errorf("is broken: node %d of its search tree points outside the file", n)
			}
			set.words[offset/64] |= 1 << (offset % 64)
		}
	}
	set.before = make([]uint32, len(set.words))
	var count uint32
	for i, w := range set.words {
		set.before[i] = count
		count += uint32(bits.OnesCount64(w))
	}
	return set, nil
}

// has reports whether the search tree has a pointer to offset.
func (s *offsets) has(offset uint32) bool {
	return int(offset/64) < len(s.words) && s.words[offset/64]>>(offset%64)&1 != 0
}

// number returns the index of offset among all offsets, in order.
func (s *offsets) number(offset uint32) uint32 {
	below := s.words[offset/64] & (1<<(offset%64) - 1)
	return s.before[offset/64] + uint32(bits.OnesCount64(below))
}

// each calls f with every offset in order until f returns false.
func (s *offsets) each(f func(offset uint32) bool) {
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			if !f(uint32(i*64 + bits.TrailingZeros64(w))) {
				return
			}
		}
	}
}
