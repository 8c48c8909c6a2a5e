package zones

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	digest "hash"
	"io"
	"io/fs"
	"strings"

	"meridian/config"
	"meridian/errtext"
)

// maxEntry is the largest entry in bytes, over all its lines: enough for 65535 octets written as \DDD.
const maxEntry = 320 << 10

// entry identifies an entry of a master file by the file and its first line. An entry is a line, or several lines
// within parentheses or quotes (RFC 1035 5.1).
type entry struct {
	path string
	line uint32
}

// masterReader reads a master file for the parser, one entry at a time. It scans the text only to find the beginning
// of each entry, which the parser does not report, and to rewrite the entries that the parser cannot read.
type masterReader struct {
	loader *loader
	file   fs.File
	hash   digest.Hash // of what is read
	r      *bufio.Reader
	path   string // in the file system
	origin uint32 // of its errors

	entry   []byte // the entry as written; its buffer is reused
	pending []byte // the part that the parser has not read yet

	line, column    uint32 // of the last byte
	added           uint32 // line ends that only the parser receives
	start, previous uint32 // the first lines of this entry and of the previous one
	length          int    // bytes of the entry
	depth           int    // of parentheses
	quote           bool   // inside quotes
	comment         bool
	escape          bool            // after a backslash
	ended           bool            // the last byte ended an entry
	generate        bool            // the entry is a $GENERATE
	nibbles         *nibbleGenerate // the rest of it, if it has nibble forms

	dropping bool // the entry is skipped
	orphans  bool // an owner was skipped, and so are the entries that repeat it
	padding  int
}

// newSource returns a reader at the beginning of a file.
func (l *loader) newSource(file fs.File, path, display string) *masterReader {
	s := &masterReader{loader: l, file: file, hash: sha256.New(), path: path, ended: true, line: 1}
	s.r = bufio.NewReaderSize(io.TeeReader(file, s.hash), 16<<10)
	s.origin = l.addFile(path, display)
	l.opened = append(l.opened, s)
	l.reading = append(l.reading, s)
	l.read[path] = s
	return s
}

// addFile returns the origin of the errors of a file that is read.
func (l *loader) addFile(path, display string) uint32 {
	l.c.s.masters = append(l.c.s.masters, "/"+path)
	return l.c.origin(config.Error{File: display})
}

// Stat makes the reader an fs.File, which $INCLUDE needs.
func (s *masterReader) Stat() (fs.FileInfo, error) { return s.file.Stat() }

// Close closes this file. Reading continues with the including file.
func (s *masterReader) Close() error {
	l := s.loader
	l.reading = l.reading[:max(1, len(l.reading)-1)] // the outermost file stays
	return s.file.Close()
}

// Read implements io.Reader; the parser uses ReadByte.
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

// ReadByte returns the next byte for the parser. For a skipped entry it returns only the line ends, so that the
// parser counts lines correctly.
func (s *masterReader) ReadByte() (byte, error) {
	for len(s.pending) == 0 {
		if s.nibbles != nil {
			s.nextNibbles()
		} else if err := s.readEntry(); err != nil {
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

// separates reports whether b, the next byte, separates words inside parentheses (RFC 1035 5.1) although the parser
// does not treat it as a separator.
func (s *masterReader) separates(b byte) bool {
	return (b == '\n' || b == ';') && s.depth > 0 && !s.quote && !s.comment && !s.escape && !s.ended
}

// rendered returns the entry in the form for the parser.
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

// directive returns a directive in the form for the parser, and stores the TTL of $TTL.
func (s *masterReader) directive() []byte {
	name, _, rest := nextWord(s.entry)
	switch strings.ToUpper(string(name)) {
	case "$TTL":
		ttl, _, _ := nextWord(rest)
		s.loader.ttl = string(ttl)
	case "$GENERATE":
		return s.generated(rewriteGenerate(s.entry, s.loader.ttl))
	}
	return s.entry
}

// generated returns a $GENERATE in the form for the parser; empty if nextNibbles returns it.
func (s *masterReader) generated(line []byte) []byte {
	nibbles, err := newNibbleGenerate(line)
	switch {
	case err != nil:
		s.loader.c.errorf(place{s.origin, s.start}, "", "%s", err)
		return s.lineEnds()
	case nibbles != nil:
		s.nibbles = nibbles
		return nil
	}
	return append(line, s.lineEnds()...)
}

// nextNibbles adds the next line of a $GENERATE with nibble forms to pending, and the line ends of the entry after the
// last.
func (s *masterReader) nextNibbles() {
	if s.pending = s.nibbles.line(); s.pending == nil {
		s.nibbles, s.pending = nil, s.lineEnds()
		return
	}
	s.added++
}

// lineEnds returns as many line ends as the entry has.
func (s *masterReader) lineEnds() []byte {
	return bytes.Repeat([]byte{'\n'}, bytes.Count(s.entry, []byte{'\n'}))
}

// nextByte reads a byte of the file. At the end it adds two line ends. Without these, the parser takes a last record
// without data for a dynamic update.
func (s *masterReader) nextByte() (byte, error) {
	b, err := s.r.ReadByte()
	switch {
	case err == nil:
		return b, nil
	case err != io.EOF:
		return 0, s.stop(fmt.Sprintf("read error: %s", errtext.TrimPath(err)))
	case s.padding == 2:
		return 0, err
	}
	s.padding++
	return '\n', nil
}

// stop ends reading of the whole zone.
func (s *masterReader) stop(what string) error {
	f := s.loader.c.at(place{origin: s.origin}, what, "")
	f.Pos = config.Pos{Line: s.line, Column: max(1, s.column)}
	s.loader.stopped = &f
	return f
}

// advance scans b, and rejects bytes that no master file contains.
func (s *masterReader) advance(b byte) error {
	if s.ended {
		s.begin(b)
	}
	s.column++
	s.length++
	s.loader.bytes++
	switch {
	case isBinary(b):
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

// isBinary reports whether no master file contains the byte.
func isBinary(b byte) bool {
	return b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != '\f' || b == 0x7f
}

// begin starts an entry with b as its first byte.
func (s *masterReader) begin(b byte) {
	s.previous, s.start = s.start, s.line
	s.length, s.depth, s.ended = 0, 0, false
	s.generate = b == '$' // until the second byte excludes it
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

// follow updates the same state as the parser's scanner.
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

// entryAt returns the first line of the entry that contains a line. The parser reads ahead at most one entry.
func (s *masterReader) entryAt(line uint32) uint32 {
	if line < s.start {
		return s.previous
	}
	return s.start
}
