package zones

import (
	"bufio"
	"bytes"
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

// masterReader reads a master file for the parser, one entry at a time. It follows the
// text only as far as it must to know where each entry begins, which the parser
// does not report, and to rewrite the entries that the parser cannot read.
type masterReader struct {
	loader *loader
	file   fs.File
	r      *bufio.Reader
	path   string // in the file system
	origin uint32 // of its errors

	entry   []byte // the entry as it is written; its buffer is reused
	pending []byte // what the parser has not read of it

	line, column    uint32 // of the last byte
	added           uint32 // line ends that only the parser sees
	start, previous uint32 // the lines on which this entry and the one before it begin
	length          int    // bytes of the entry
	depth           int    // of parentheses
	quote           bool   // inside quotes
	comment         bool
	escape          bool // after a backslash
	ended           bool // the last byte ended an entry
	generate        bool // the entry is a $GENERATE

	dropping bool // the entry is left out
	orphans  bool // an owner was left out, and so are the entries that repeat it
	padding  int
}

// newSource is the reading of a file from its top.
func (l *loader) newSource(file fs.File, path, display string) *masterReader {
	s := &masterReader{loader: l, file: file, r: bufio.NewReaderSize(file, 16<<10), path: path, ended: true, line: 1}
	s.origin = l.c.origin(config.Error{File: display})
	l.reading = append(l.reading, s)
	l.read[path] = s
	l.c.s.masters = append(l.c.s.masters, "/"+path)
	return s
}

// Stat makes a source an fs.File, which is how $INCLUDE gets it.
func (s *masterReader) Stat() (fs.FileInfo, error) { return s.file.Stat() }

// Close ends the reading of this file; that of the file that includes it goes on.
func (s *masterReader) Close() error {
	l := s.loader
	l.reading = l.reading[:max(1, len(l.reading)-1)] // the top stays
	return s.file.Close()
}

// Read is for what must be an io.Reader; the parser uses ReadByte.
func (s *masterReader) Read(p []byte) (int, error) {
	for i := range p {
		b, err := s.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = b
	}
	return len(p), nil
}

// ReadByte returns the next byte for the parser. Of an entry that is left out it
// returns the line ends alone, so that the parser counts lines correctly.
func (s *masterReader) ReadByte() (byte, error) {
	for len(s.pending) == 0 {
		if err := s.readEntry(); err != nil {
			return 0, err
		}
	}
	b := s.pending[0]
	s.pending = s.pending[1:]
	return b, nil
}

// readEntry reads the next entry into pending.
func (s *masterReader) readEntry() error {
	s.entry = s.entry[:0]
	for {
		b, err := s.nextByte()
		switch {
		case err == io.EOF && len(s.entry) > 0 && !s.dropping: // inside quotes or parentheses
			s.pending = s.entry
			return nil
		case err != nil:
			return err
		}
		if s.separates(b) {
			s.entry = append(s.entry, ' ')
		}
		if err := s.advance(b); err != nil {
			return err
		}
		s.entry = append(s.entry, b)
		if s.ended {
			s.pending = s.rendered()
			return nil
		}
	}
}

// separates reports whether b, which comes next, separates words inside
// parentheses (RFC 1035 5.1) although the parser does not see that it does.
func (s *masterReader) separates(b byte) bool {
	return (b == '\n' || b == ';') && s.depth > 0 && !s.quote && !s.comment && !s.escape && !s.ended
}

// rendered returns the entry as the parser gets it.
func (s *masterReader) rendered() []byte {
	if s.dropping {
		return s.lineEnds()
	}
	if s.entry[0] == '$' {
		return s.directive()
	}
	rewritten, err := rewrite(s.entry)
	switch {
	case err != nil:
		s.loader.c.errorf(place{s.origin, s.start}, "", "%s", err)
		s.orphans = !isBlank(s.entry[0])
		return s.lineEnds()
	case rewritten == nil:
		return s.entry
	}
	s.added += uint32(bytes.Count(rewritten, []byte{'\n'}))
	return append(rewritten, s.lineEnds()...)
}

// directive returns a directive as the parser gets it, and keeps the TTL of $TTL.
func (s *masterReader) directive() []byte {
	name, _, rest := nextWord(s.entry)
	switch strings.ToUpper(string(name)) {
	case "$TTL":
		ttl, _, _ := nextWord(rest)
		s.loader.ttl = string(ttl)
	case "$GENERATE":
		return append(rewriteGenerate(s.entry, s.loader.ttl), s.lineEnds()...)
	}
	return s.entry
}

// lineEnds returns as many line ends as the entry has.
func (s *masterReader) lineEnds() []byte {
	return bytes.Repeat([]byte{'\n'}, bytes.Count(s.entry, []byte{'\n'}))
}

// nextByte reads a byte of the file. At its end it adds two line ends: with these
// the parser sees that a last record has no data; without, it takes it for a
// dynamic update.
func (s *masterReader) nextByte() (byte, error) {
	b, err := s.r.ReadByte()
	switch {
	case err == nil:
		return b, nil
	case err != io.EOF:
		return 0, s.stop(fmt.Sprintf("cannot read on: %s", trimPath(err)))
	case s.padding == 2:
		return 0, err
	}
	s.padding++
	return '\n', nil
}

// stop ends the reading of the whole zone.
func (s *masterReader) stop(what string) error {
	f := s.loader.c.at(place{origin: s.origin}, what, "")
	f.Pos = config.Pos{Line: s.line, Column: max(1, s.column)}
	s.loader.stopped = &f
	return f
}

// advance follows b, and refuses what no master file holds.
func (s *masterReader) advance(b byte) error {
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
func (s *masterReader) begin(b byte) {
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
func (s *masterReader) follow(b byte) {
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
func (s *masterReader) entryAt(line uint32) uint32 {
	if line < s.start {
		return s.previous
	}
	return s.start
}
