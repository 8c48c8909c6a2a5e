package geo

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"meridian/config"
)

// Latency is a table of round trips, measured between networks of clients and
// regions. A client of it is a network, an autonomous system or a country; for each
// region the most specific that has a row counts:
//
//	the longest network > the ASN > the country > nothing: the distance
//
// It knows regions by their names, so that it outlives a configuration. It is
// immutable and safe for concurrent use. A nil one has measured nothing.
type Latency struct {
	// Rows is how many round trips it has.
	Rows int
	// Warnings say what of the file is passed over, and why.
	Warnings []config.Error

	file    string            // its name
	info    fs.FileInfo       // of the file, when it was opened
	content [sha256.Size]byte // a digest of what is in it
	rows    []roundTrip       // sorted, see compareRows
	regions []string          // by roundTrip.region
	tables  tables            // compiled from it, for one Locator
}

// roundTrip is a row of a Latency.
type roundTrip struct {
	of      measured
	region  uint16
	samples uint32 // 0: the row does not say
	line    uint32 // of the file
	ms      float32
}

// measured is the client of a row.
type measured struct {
	kind measuredKind
	bits uint8 // of a network
	key  key   // of a network: its address; else the ASN, or the letters of the country
}

// measuredKind is what a client of a row is.
type measuredKind uint8

// The kinds; networks come first, those of a family in a row.
const (
	measuredV4 measuredKind = iota
	measuredV6
	measuredASN
	measuredCountry
)

func measuredSystem(asn uint32) measured {
	return measured{kind: measuredASN, key: key{hi: uint64(asn)}}
}

func measuredIn(country string) measured {
	if len(country) != 2 {
		return measured{kind: measuredCountry} // which no row has
	}
	return measured{kind: measuredCountry, key: key{hi: uint64(country[0])<<8 | uint64(country[1])}}
}

func (m measured) String() string {
	switch m.kind {
	case measuredASN:
		return fmt.Sprint("AS", m.key.hi)
	case measuredCountry:
		return "country " + string(binary.BigEndian.AppendUint16(nil, uint16(m.key.hi)))
	}
	return "network " + m.key.prefix(m.kind == measuredV4, int(m.bits)).String()
}

// compareMeasured sorts networks before the longer ones within them.
func compareMeasured(a, b measured) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key.hi, b.key.hi), cmp.Compare(a.key.lo, b.key.lo), cmp.Compare(a.bits, b.bits))
}

func compareRows(a, b roundTrip) int {
	return cmp.Or(compareMeasured(a.of, b.of), cmp.Compare(a.region, b.region))
}

// begin is where the rows of a client begin in l.rows, or would.
func (l *Latency) begin(of measured) (at int, ok bool) {
	return slices.BinarySearchFunc(l.rows, of, func(r roundTrip, of measured) int { return compareMeasured(r.of, of) })
}

// from is the rows of the client whose first row is at.
func (l *Latency) from(at int) []roundTrip {
	end := at
	for end < len(l.rows) && l.rows[end].of == l.rows[at].of {
		end++
	}
	return l.rows[at:end]
}

// of is the rows of a client.
func (l *Latency) of(m measured) []roundTrip {
	if at, ok := l.begin(m); ok {
		return l.from(at)
	}
	return nil
}

// network is the rows of networks of a family.
func (l *Latency) networks(kind measuredKind) []roundTrip {
	at, _ := l.begin(measured{kind: kind})
	end, _ := l.begin(measured{kind: kind + 1})
	return l.rows[at:end]
}

// Same reports whether a file is still the one that was read, as far as its
// size, time and number tell.
func (l *Latency) Same(info fs.FileInfo) bool {
	return l.info != nil && os.SameFile(l.info, info) && l.info.Size() == info.Size() && l.info.ModTime().Equal(info.ModTime())
}

// Modified is when the file was written that was read.
func (l *Latency) Modified() time.Time { return l.info.ModTime() }

// After is l where it comes after another one. What only one of them has is as l has
// it; a row that both have becomes
//
//	alpha  read from         becomes
//	100    -                 its own value
//	less   other content     alpha per cent of it, and the rest of the other's
//	less   the same content  the other's
//
// which is an exponentially weighted moving average. What is in a file is measured
// once, however often it is read.
func (l *Latency) After(before *Latency, alpha int) *Latency {
	if before == nil || alpha >= 100 {
		return l
	}
	if l.content == before.content {
		alpha = 0
	}
	numbers := map[string]uint16{}
	for i, name := range before.regions {
		numbers[name] = uint16(i)
	}
	next := l.clone()
	next.Warnings, next.rows = l.Warnings, slices.Clone(l.rows)
	weight := float32(alpha) / 100
	for i := range next.rows {
		row := &next.rows[i]
		number, ok := numbers[l.regions[row.region]]
		if !ok {
			continue
		}
		old := *row
		old.region = number
		if at, ok := slices.BinarySearchFunc(before.rows, old, compareRows); ok {
			row.ms = weight*row.ms + (1-weight)*before.rows[at].ms
		}
	}
	return next
}

// clone is l for another Locator, which makes tables of its own. What is passed over
// is told already.
func (l *Latency) clone() *Latency {
	return &Latency{Rows: l.Rows, file: l.file, info: l.info, content: l.content, regions: l.regions, rows: l.rows}
}
