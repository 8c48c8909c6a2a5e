package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/netip"
)

// record is a map of the MaxMind DB format, in writing order. Its values
// are strings, float64s, uint16s, uint32s, uint64s, []string and records.
type record []field

type field struct {
	key   string
	value any
}

// writer builds a MaxMind DB (specification 2.0: a binary search tree over
// IPv6 addresses, a data section, metadata). Networks inserted must not overlap.
type writer struct {
	kind  string
	built uint64            // Unix time; libmaxminddb rejects 0
	nodes [][2]uint32       // children, by bit: a node, or a leaf, or 0 for nothing (no node leads back to the root)
	data  []byte            // encoded records
	at    map[string]uint32 // offset of an encoded record in data
}

// leaf marks a child that is an offset into data and not a node.
const leaf = 1 << 31

func newWriter(kind string, built uint64) *writer {
	return &writer{kind: kind, built: built, nodes: make([][2]uint32, 1), at: map[string]uint32{}}
}

func (w *writer) insert(network netip.Prefix, r record) {
	addr, bits := network.Addr().As16(), network.Bits()
	if network.Addr().Is4() {
		clear(addr[10:12]) // the format keeps IPv4 at ::/96
		bits += 96
	}
	node := uint32(0)
	for i := range bits {
		child := &w.nodes[node][addr[i/8]>>(7-i%8)&1]
		if i == bits-1 {
			*child = leaf | w.place(r)
			return
		}
		if *child == 0 {
			*child = uint32(len(w.nodes))
			w.nodes = append(w.nodes, [2]uint32{}) // moves nodes: child is not used after this
			node = uint32(len(w.nodes) - 1)
			continue
		}
		node = *child
	}
}

// place finds or appends a record in the data section.
func (w *writer) place(r record) uint32 {
	encoded := appendValue(nil, r)
	if at, ok := w.at[string(encoded)]; ok {
		return at
	}
	at := uint32(len(w.data))
	w.data = append(w.data, encoded...)
	w.at[string(encoded)] = at
	return at
}

// write writes the database: search tree with 32-bit records, 16 zero octets, data, metadata.
func (w *writer) write(to io.Writer) error {
	const recordBits = 32
	n := uint32(len(w.nodes))
	tree := make([]byte, 0, len(w.nodes)*2*recordBits/8+16)
	for _, children := range w.nodes {
		for _, c := range children {
			switch {
			case c == 0:
				c = n
			case c&leaf != 0:
				c = n + 16 + c&^leaf
			}
			tree = binary.BigEndian.AppendUint32(tree, c)
		}
	}
	tree = append(tree, make([]byte, 16)...)
	metadata := append([]byte("\xab\xcd\xefMaxMind.com"), appendValue(nil, record{
		{"binary_format_major_version", uint16(2)},
		{"binary_format_minor_version", uint16(0)},
		{"build_epoch", w.built},
		{"database_type", w.kind},
		{"description", record{{"en", "nested copy of a flat city database"}}},
		{"ip_version", uint16(6)},
		{"languages", []string{"en"}},
		{"node_count", n},
		{"record_size", uint16(recordBits)},
	})...)
	_, err := io.Copy(to, io.MultiReader(bytes.NewReader(tree), bytes.NewReader(w.data), bytes.NewReader(metadata)))
	return err
}

// The types of the format; those above 7 are written extended.
const (
	typeString = 2
	typeDouble = 3
	typeUint16 = 5
	typeUint32 = 6
	typeMap    = 7
	typeUint64 = 9
	typeArray  = 11
)

func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return append(appendControl(b, typeString, len(v)), v...)
	case float64:
		return binary.BigEndian.AppendUint64(appendControl(b, typeDouble, 8), math.Float64bits(v))
	case uint16:
		return binary.BigEndian.AppendUint16(appendControl(b, typeUint16, 2), v)
	case uint32:
		return binary.BigEndian.AppendUint32(appendControl(b, typeUint32, 4), v)
	case uint64:
		return binary.BigEndian.AppendUint64(appendControl(b, typeUint64, 8), v)
	case []string:
		b = appendControl(b, typeArray, len(v))
		for _, s := range v {
			b = appendValue(b, s)
		}
		return b
	case record:
		b = appendControl(b, typeMap, len(v))
		for _, f := range v {
			b = appendValue(appendValue(b, f.key), f.value)
		}
		return b
	}
	panic(fmt.Sprintf("city: no encoding for %T", value)) // only nested() and write make values
}

// appendControl appends a value's type and size: sizes from 29 on take one
// octet more, from 285 on two.
func appendControl(b []byte, kind byte, size int) []byte {
	first, extended := kind<<5, kind > 7
	if extended {
		first = 0
	}
	switch {
	case size < 29:
		b = append(b, first|byte(size))
	case size < 285:
		b = append(b, first|29)
	default:
		b = append(b, first|30)
	}
	if extended {
		b = append(b, kind-7)
	}
	switch {
	case size < 29:
		return b
	case size < 285:
		return append(b, byte(size-29))
	default:
		return binary.BigEndian.AppendUint16(b, uint16(size-285))
	}
}
