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

// Latency is a table of round trips, measured between client networks and regions. The client of a row is a network,
// an autonomous system or a country. For each region, the most specific row applies:
//
//	the longest network > the ASN > the country > no row: the distance
//
// It refers to regions by name, so it survives a configuration change. It is immutable and safe for concurrent use. A
// nil one has no measurements.
type Latency struct {
	// Rows is the number of round trips.
	Rows int
	// Warnings lists the ignored parts of the file, with reasons.
	Warnings []config.Error

	file    string            // its name
	info    fs.FileInfo       // of the file, when it was opened
	content [sha256.Size]byte // a digest of its content
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

// measured identifies the client of a row.
type measured struct {
	kind measuredKind
	bits uint8 // of a network
	key  key   // of a network: its address; else the ASN, or the letters of the country
}

// measuredKind is the kind of a row's client.
type measuredKind uint8

// The kinds. Networks come first, grouped by family.
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
		return measured{kind: measuredCountry} // no row has it
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

// compareMeasured sorts networks before the longer networks within them.
func compareMeasured(a, b measured) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key.hi, b.key.hi), cmp.Compare(a.key.lo, b.key.lo), cmp.Compare(a.bits, b.bits))
}

func compareRows(a, b roundTrip) int {
	return cmp.Or(compareMeasured(a.of, b.of), cmp.Compare(a.region, b.region))
}

// begin returns the index in l.rows of the first row of a client, or where it would be.
func (l *Latency) begin(of measured) (at int, ok bool) {
	return slices.BinarySearchFunc(l.rows, of, func(r roundTrip, of measured) int { return compareMeasured(r.of, of) })
}

// from returns the rows of the client with the first row at.
func (l *Latency) from(at int) []roundTrip {
	end := at
	for end < len(l.rows) && l.rows[end].of == l.rows[at].of {
		end++
	}
	return l.rows[at:end]
}

// of returns the rows of a client.
func (l *Latency) of(m measured) []roundTrip {
	if at, ok := l.begin(m); ok {
		return l.from(at)
	}
	return nil
}

// networks returns the rows for networks of a family.
func (l *Latency) networks(kind measuredKind) []roundTrip {
	at, _ := l.begin(measured{kind: kind})
	end, _ := l.begin(measured{kind: kind + 1})
	return l.rows[at:end]
}

// Same reports whether a file is unchanged since it was read, by size, time and inode number.
func (l *Latency) Same(info fs.FileInfo) bool {
	return l.info != nil && os.SameFile(l.info, info) && l.info.Size() == info.Size() && l.info.ModTime().Equal(info.ModTime())
}

// Modified returns the modification time of the file that was read.
func (l *Latency) Modified() time.Time { return l.info.ModTime() }

// After merges l with an earlier table. Rows that only one of them has come from l alone. A row in both becomes
//
//	alpha  read from         result
//	100    -                 its own value
//	less   other content     alpha per cent of it, and the rest of the earlier value
//	less   the same content  the earlier value
//
// which is an exponentially weighted moving average. The content of a file counts as one measurement, no matter how
// often it is read.
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

// clone returns l for another Locator, which makes its own tables. It drops the warnings, which are already logged.
func (l *Latency) clone() *Latency {
	return &Latency{Rows: l.Rows, file: l.file, info: l.info, content: l.content, regions: l.regions, rows: l.rows}
}
