package zones

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"meridian/config"
)

// maxEntry is the most bytes of one entry, over all its lines: enough for 65535
// octets written as \DDD.
const maxEntry = 320 << 10

// entry is an entry of a master file: a line, or the lines that parentheses and
// quotes hold together (RFC 1035 5.1). It is told by the file, and the line on
// which it begins.
type entry struct {
	path string
	line uint32
}

// source is a master file as the parser reads it, byte by byte. It follows the
// text just so far that it can tell where the entry begins that the parser
// works on, for the parser tells that of no record.
type source struct {
	loader *loader
	file   fs.File
	r      *bufio.Reader
	path   string // in the file system
	origin uint32 // of its faults

	line, column    uint32 // of the last byte
	start, previous uint32 // the lines on which the entry begins, and the one before it
	length          int    // bytes of the entry
	depth           int    // of parentheses
	quote           bool   // inside quotes
	comment         bool
	escape          bool // after a backslash
	ended           bool // the last byte ended an entry
	generate        bool // the entry is a $GENERATE

	dropping bool // the entry is left out
	orphans  bool // an owner was left out, and with it go the entries that repeat it
	padding  int
}

// newSource is the reading of a file from its top.
func (l *loader) newSource(file fs.File, path, display string) *source {
	s := &source{loader: l, file: file, r: bufio.NewReaderSize(file, 16<<10), path: path, ended: true, line: 1}
	s.origin = l.c.origin(config.Fault{File: display})
	l.reading = append(l.reading, s)
	l.read[path] = s
	return s
}

// Stat makes a source an fs.File, which is how $INCLUDE gets it.
func (s *source) Stat() (fs.FileInfo, error) { return s.file.Stat() }

// Close ends the reading of this file; that of the file that includes it goes on.
func (s *source) Close() error {
	l := s.loader
	l.reading = l.reading[:max(1, len(l.reading)-1)] // the top stays
	return s.file.Close()
}

// Read is for what must be an io.Reader; the parser uses ReadByte.
func (s *source) Read(p []byte) (int, error) {
	for i := range p {
		b, err := s.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = b
	}
	return len(p), nil
}

// ReadByte gives the next byte; of entries that are left out, their line ends alone.
func (s *source) ReadByte() (byte, error) {
	for {
		b, err := s.r.ReadByte()
		if err == io.EOF && s.padding < 2 {
			// With these the parser sees that a last record has no data;
			// without, it takes it for a dynamic update.
			s.padding++
			b, err = '\n', nil
		}
		switch {
		case err == io.EOF:
			return 0, err
		case err != nil:
			return 0, s.stop(fmt.Sprintf("cannot read on: %s", cause(err)))
		}
		if err := s.advance(b); err != nil {
			return 0, err
		}
		if !s.dropping || b == '\n' {
			return b, nil
		}
	}
}

// stop ends the reading of the whole zone.
func (s *source) stop(what string) error {
	f := s.loader.c.at(place{origin: s.origin}, what, "")
	f.Pos = config.Pos{Line: s.line, Column: max(1, s.column)}
	s.loader.stopped = &f
	return f
}

// advance follows b, and refuses what no master file holds.
func (s *source) advance(b byte) error {
	if s.ended {
		s.begin(b)
	}
	s.column++
	s.length++
	s.loader.bytes++
	switch {
	case b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != '\f', b == 0x7f:
		return s.stop(fmt.Sprintf("byte 0x%02x is not text, so this is not a master file", b))
	case s.length > maxEntry:
		return s.stop(fmt.Sprintf("the entry that begins on line %d is longer than %d bytes", s.start, maxEntry))
	case s.loader.bytes > maxMaster:
		return s.stop(fmt.Sprintf("more than %d bytes, with what is included", maxMaster))
	}
	if s.length == 2 && b|0x20 == 'g' {
		s.generate = s.generate && !s.dropping
	} else if s.length == 2 {
		s.generate = false
	}
	s.follow(b)
	return nil
}

// begin opens the entry that b is the first byte of.
func (s *source) begin(b byte) {
	s.previous, s.start = s.start, s.line
	s.length, s.depth, s.ended = 0, 0, false
	s.generate = b == '$' // until its second byte says no
	blank := b == ' ' || b == '\t'
	switch {
	case s.loader.skip[entry{s.path, s.start}]:
		s.dropping = true
		s.orphans = s.orphans && blank || !blank && b != '$'
	case blank:
		s.dropping = s.orphans
	default:
		s.dropping = false
		s.orphans = s.orphans && strings.IndexByte("\n\r;$", b) >= 0
	}
}

// follow keeps the same state as the parser's scanner.
func (s *source) follow(b byte) {
	switch {
	case b == '\n':
		s.line++
		s.column, s.comment, s.escape = 0, false, false
		s.ended = !s.quote && s.depth <= 0
	case s.comment:
	case s.escape:
		s.escape = false
	case b == '\\':
		s.escape = true
	case b == '"':
		s.quote = !s.quote
	case s.quote:
	case b == ';':
		s.comment = true
	case b == '(':
		s.depth++
	case b == ')':
		s.depth--
	}
}

// entryAt is where the entry begins that holds a line. The parser looks ahead
// by no more than one entry.
func (s *source) entryAt(line uint32) uint32 {
	if line < s.start {
		return s.previous
	}
	return s.start
}
