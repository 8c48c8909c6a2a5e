package geo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"
)

// A file of a table is a header, the slices of the table as they are in memory, and the SHA-256 of both. It is read into memory and
// not mapped: a mapped file that is truncated later would end the process at the next query.
//
//	magic    8 bytes
//	version  4 bytes, tableVersion
//	order    4 bytes, byteOrder in the byte order of the machine
//	key      32 bytes
//	counts   8 bytes each: the elements of each slice, in the order of slicesOf
//	sizes    8 bytes each: of a leaf record, and of a ranking

const (
	tableMagic = "mrdn-geo"
	byteOrder  = 0x01020304
	counts     = 14
	headerSize = len(tableMagic) + 4 + 4 + sha256.Size + counts*8 + 2*8
)

// mostElements bounds a slice of a table: their indices have 31 bits.
const mostElements = 1 << 31

// Reasons why a file of a table is not used.
var (
	errNoFile       = errors.New("no file has the table")
	errDamaged      = errors.New("the file of a table is damaged")
	errOtherVersion = errors.New("the file of a table is from another version or kind of machine")
)

// tableHeader describes the content of a file.
type tableHeader struct {
	key      tableKey
	counts   [counts]uint64
	leafSize uint64
	regions  uint64
}

// slicesOf returns the slices of a table as bytes, in the order of the file.
func (t *Table) slicesOf() [counts][]byte {
	n4, n6 := &t.nearest4.poptrie, &t.nearest6.poptrie
	return [counts][]byte{
		bytesOf(n4.root), bytesOf(n4.nodes), bytesOf(n4.leaves), bytesOf(n6.root), bytesOf(n6.nodes), bytesOf(n6.leaves),
		bytesOf(t.v4.root), bytesOf(t.v4.nodes), bytesOf(t.v4.leaves), bytesOf(t.v6.root), bytesOf(t.v6.nodes), bytesOf(t.v6.leaves),
		t.leaves.flat, bytesOf(t.rankings.flat),
	}
}

// elementSizes returns the bytes of an element of each slice.
func elementSizes() [counts]uint64 {
	const node, four = uint64(unsafe.Sizeof(popnode{})), 4
	return [counts]uint64{four, node, four, four, node, four, four, node, four, four, node, four, 1, 2}
}

// bytesOf returns the memory of s.
func bytesOf[T packed | uint16](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

// writeTo writes the file of a table.
func (t *Table) writeTo(w io.Writer, key tableKey) error {
	sum := sha256.New()
	w = io.MultiWriter(w, sum)
	sizes, parts := elementSizes(), t.slicesOf()
	h := append([]byte(tableMagic), binary.NativeEndian.AppendUint32(nil, tableVersion)...)
	h = binary.NativeEndian.AppendUint32(h, byteOrder)
	h = append(h, key[:]...)
	for i, part := range parts {
		h = binary.NativeEndian.AppendUint64(h, uint64(len(part))/sizes[i])
	}
	h = binary.NativeEndian.AppendUint64(h, uint64(t.leaves.size))
	h = binary.NativeEndian.AppendUint64(h, uint64(t.rankings.regions))
	for _, part := range append([][]byte{h}, parts[:]...) {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// readTable reads the file of the table with a key, of size bytes. All that it returns is checked: no lookup in the table fails.
func readTable(r io.Reader, size int64, key tableKey, limit tableLimit) (*Table, error) {
	sum := sha256.New()
	body := io.TeeReader(r, sum)
	h, err := readHeader(body)
	if err != nil {
		return nil, err
	}
	if h.key != key || uint64(size) != h.fileSize() {
		return nil, errDamaged
	}
	t := h.allocate()
	for _, part := range t.slicesOf() {
		if _, err := io.ReadFull(body, part); err != nil {
			return nil, errDamaged
		}
	}
	want, is := sum.Sum(nil), make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, is); err != nil || !bytes.Equal(is, want) {
		return nil, errDamaged
	}
	if err := t.check(limit); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	collapseHugePages(t.arena)
	return t, nil
}

// readHeader reads a header. Its counts fit in memory if the size of the file is right.
func readHeader(r io.Reader) (h tableHeader, err error) {
	raw := make([]byte, headerSize)
	if _, err := io.ReadFull(r, raw); err != nil || string(raw[:len(tableMagic)]) != tableMagic {
		return h, errDamaged
	}
	raw = raw[len(tableMagic):]
	if binary.NativeEndian.Uint32(raw) != tableVersion || binary.NativeEndian.Uint32(raw[4:]) != byteOrder {
		return h, errOtherVersion
	}
	raw = raw[copy(h.key[:], raw[8:])+8:]
	for i := range h.counts {
		if h.counts[i], raw = binary.NativeEndian.Uint64(raw), raw[8:]; h.counts[i] > mostElements {
			return h, errDamaged
		}
	}
	h.leafSize, h.regions = binary.NativeEndian.Uint64(raw), binary.NativeEndian.Uint64(raw[8:])
	if h.leafSize > mostElements || h.regions > maxRegions {
		return h, errDamaged
	}
	return h, nil
}

// fileSize returns the size of the whole file.
func (h *tableHeader) fileSize() uint64 {
	size := uint64(headerSize + sha256.Size)
	for i, each := range elementSizes() {
		size += h.counts[i] * each
	}
	return size
}

// allocate returns an empty table. What most queries read is in one arena, as in a table that was compiled.
func (h *tableHeader) allocate() *Table {
	t := &Table{leaves: leafRecords{size: int(h.leafSize)}, rankings: rankings{regions: int(h.regions)}}
	size := 0
	sizes := elementSizes()
	for i := range 6 {
		size += (int(h.counts[i]*sizes[i]) + cacheLine - 1) &^ (cacheLine - 1)
	}
	a := newArena(size)
	t.arena = a.all
	for i, p := range []*poptrie{&t.nearest4.poptrie, &t.nearest6.poptrie} {
		n := h.counts[3*i:]
		p.root, p.nodes, p.leaves = carve[ref](a, n[0]), carve[popnode](a, n[1]), carve[Leaf](a, n[2])
	}
	for i, p := range []*poptrie{&t.v4, &t.v6} {
		n := h.counts[6+3*i:]
		p.root, p.nodes, p.leaves = make([]ref, n[0]), make([]popnode, n[1]), make([]Leaf, n[2])
	}
	t.leaves.flat, t.rankings.flat = make([]byte, h.counts[12]), make([]uint16, h.counts[13])
	return t
}
