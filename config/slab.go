package config

import (
	"encoding/binary"

	"gopkg.in/yaml.v3"
)

// slab gives out nodes and takes them back, the last ones first, to give them
// out again: with what their lists of children have grown to.
type slab struct {
	blocks []*[slabBlock]yaml.Node // nodes stay where they are
	used   int
}

const (
	slabBlock = 1024
	maxNodes  = 4 << 20 // in use at once; about 700 MB
)

func (s *slab) full() bool { return s.used >= maxNodes }

func (s *slab) node(kind yaml.Kind, style yaml.Style, tag string, line, column int) *yaml.Node {
	if s.used/slabBlock == len(s.blocks) {
		s.blocks = append(s.blocks, new([slabBlock]yaml.Node))
	}
	n := &s.blocks[s.used/slabBlock][s.used%slabBlock]
	s.used++
	n.Kind, n.Style, n.Tag, n.Value = kind, style, tag, ""
	n.Content = n.Content[:0]
	n.Line, n.Column = line, column
	return n // no other field is ever set
}

// words holds texts of scalars by their hashes, each until another text needs
// its place: what a file says often is mostly one string.
type words [1 << wordBits]word

const wordBits = 12

// word is the text of a scalar.
type word struct {
	text string
	tag  string // if it is unquoted; empty: not known yet
}

// maxWord is the longest text that is worth a place, in octets.
const maxWord = 40

func (w *words) get(text []byte) *word {
	if len(text) > maxWord {
		return &word{text: string(text)}
	}
	found := &w[ends(text)>>(64-wordBits)]
	if found.text != string(text) {
		*found = word{text: string(text)}
	}
	return found
}

// ends is a hash of the first and last eight octets of text, best in its high bits.
func ends(text []byte) uint64 {
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
	const odd = 0x9e3779b97f4a7c15 // 2^64 by the golden ratio
	return ((head+uint64(len(text)))*odd ^ tail) * odd
}

// plainTag is the tag that YAML gives the word where it stands unquoted. The parser
// is asked but for what is most common and sure.
func (w *word) plainTag() string {
	if w.tag != "" {
		return w.tag
	}
	switch s := w.text; {
	case s == "":
		w.tag = "!!null"
	case plainText(s):
		w.tag = "!!str"
	default:
		w.tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: s}).ShortTag()
	}
	return w.tag
}

// plainText reports whether s is surely a text: it begins with a letter that no
// word for true, false, null or a number does, or is shaped like an address. It
// may say no to a text.
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
