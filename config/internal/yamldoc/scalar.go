package yamldoc

import (
	"encoding/binary"

	"gopkg.in/yaml.v3"
)

// scalar reads a single value and, if unquoted, the blanks after it.
func (s *scanner) scalar(inFlow bool) *yaml.Node {
	if s.nodes.full() {
		return nil
	}
	line, column := s.line, s.column()
	switch c := s.peek(); c {
	case '"', '\'':
		text, ok := s.quoted(c)
		if !ok {
			return nil
		}
		style := yaml.DoubleQuotedStyle
		if c == '\'' {
			style = yaml.SingleQuotedStyle
		}
		n := s.nodes.node(yaml.ScalarNode, style, "!!str", line, column)
		n.Value = s.words.Get(text).Text
		return n
	}
	text, ok := s.unquoted(inFlow)
	if !ok {
		return nil
	}
	w := s.words.Get(text)
	n := s.nodes.node(yaml.ScalarNode, 0, w.PlainTag(), line, column)
	n.Value = w.Text
	return n
}

// quoted reads a quoted scalar without escapes.
func (s *scanner) quoted(quote byte) ([]byte, bool) {
	rest := s.data[s.at+1:]
	for i, c := range rest {
		switch {
		case c == quote:
			s.at += i + 2
			return rest[:i], s.peek() != quote // a doubled quote is an escape
		case c == '\\' && quote == '"', c < ' ', c > '~':
			return nil, false
		}
	}
	return nil, false
}

// unquoted reads a scalar up to its possible end: a colon, a comment or the end of the line; in brackets also a comma
// or closing bracket.
func (s *scanner) unquoted(inFlow bool) ([]byte, bool) {
	if !s.beginsUnquoted() {
		return nil, false
	}
	begin := s.at
	for {
		for s.at < len(s.data) && s.plain[s.data[s.at]] {
			s.at++
		}
		end := s.at
		switch c := s.peek(); c {
		case ':':
			if !s.inWord(s.at + 1) {
				return s.data[begin:end], true
			}
			s.at++
		case ' ':
			s.spaces()
			if s.at < len(s.data) && s.plain[s.data[s.at]] {
				continue // a blank inside
			}
			return s.endScalar(begin, end, inFlow)
		default:
			return s.endScalar(begin, end, inFlow)
		}
	}
}

// endScalar returns the scalar from begin to end if the following text is allowed.
func (s *scanner) endScalar(begin, end int, inFlow bool) ([]byte, bool) {
	switch c := s.peek(); {
	case s.at == len(s.data), c == '\n', inFlow && (c == ',' || c == ']' || c == '}'):
	case c == '#' && s.at > end && !inFlow:
		s.at = end // the blank before it marks the comment
	default:
		return nil, false
	}
	return s.data[begin:end], true
}

// beginsUnquoted reports whether an unquoted scalar begins here.
func (s *scanner) beginsUnquoted() bool {
	c := s.peek()
	if c != '-' {
		return s.first[c]
	}
	return s.at+1 < len(s.data) && s.first[s.data[s.at+1]] // such as -1
}

// inWord reports whether the text at offset i continues a scalar after a colon.
func (s *scanner) inWord(i int) bool {
	return i < len(s.data) && (s.plain[s.data[i]] || s.data[i] == ':')
}

// Words caches texts of scalars by their hashes; a new text replaces an old one in the same place. A text that a file
// repeats is then mostly one string.
type Words [1 << wordBits]Word

const wordBits = 12

// Word is the text of a scalar.
type Word struct {
	Text string
	tag  string // tag if unquoted; empty: not known yet
}

// maxWord is the longest text in the cache, in octets.
const maxWord = 40

// Get returns the word with this text, valid until the next call.
func (w *Words) Get(text []byte) *Word {
	if len(text) > maxWord {
		return &Word{Text: string(text)}
	}
	found := &w[hashEnds(text)>>(64-wordBits)]
	if found.Text != string(text) {
		*found = Word{Text: string(text)}
	}
	return found
}

// hashEnds returns a hash of the first and last eight octets of text, best in its high bits.
func hashEnds(text []byte) uint64 {
	var head, tail uint64
	switch n := len(text); {
	case n >= 8:
		head, tail = binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[n-8:])
	case n >= 4:
		head, tail = uint64(binary.LittleEndian.Uint32(text)), uint64(binary.LittleEndian.Uint32(text[n-4:]))
	default:
		for _, c := range text {
			head = head<<8 | uint64(c)
		}
	}
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	return ((head+uint64(len(text)))*odd ^ tail) * odd
}

// PlainTag returns the YAML tag of the unquoted word. It does not call the parser for the most common and certain
// cases.
func (w *Word) PlainTag() string {
	if w.tag != "" {
		return w.tag
	}
	switch s := w.Text; {
	case s == "":
		w.tag = "!!null"
	case plainText(s):
		w.tag = "!!str"
	default:
		w.tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: s}).ShortTag()
	}
	return w.tag
}

// plainText reports whether s is certainly text: it begins with a letter that cannot begin true, false, null or a
// number, or is shaped like an address. It may return false for text.
func plainText(s string) bool {
	switch c := s[0]; {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		switch c | 0x20 {
		case 'y', 'n', 't', 'f', 'o':
			return len(s) > len("false")
		}
		return true
	case c < '0' || c > '9':
		return false
	}
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			dots++
		case c < '0' || c > '9':
			return false
		}
	}
	return dots > 1
}
