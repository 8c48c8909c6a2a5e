package yamldoc

import "gopkg.in/yaml.v3"

// ItemReader reads a list in the form that programs write for large files, one item per line, from the text, without a
// node for each word:
//
//   - {name: us-1, addresses: [192.0.2.1]}
//
// The plain version is the list as nodes. Like the scanner, it never guesses: if one item has another form, the list is
// rejected and read as nodes.
type ItemReader struct {
	Key   string                        // of the list, in an entry of a lazy section
	Begin func()                        // starts a list
	Item  func(text []byte, at Pos) int // reads an item at the beginning of text; returns its length, or 0 to reject the list
}

// itemList is a list that an ItemReader has read.
type itemList struct {
	node   *yaml.Node // represents the list, without content; nil: none
	from   place      // of the list
	indent int        // of its key
}

// place is a position that a scanner can return to.
type place struct {
	lineScanner
	at, depth int
}

func (s *scanner) place() place { return place{s.lineScanner, s.at, s.depth} }

func (s *scanner) back(to place) { s.lineScanner, s.at, s.depth = to.lineScanner, to.at, to.depth }

// itemList reads the list under a key at indent, from after its colon. If it is rejected, it returns nil and restores
// the position.
func (s *scanner) itemList(indent int) *yaml.Node {
	from := s.place()
	line, column, ok := s.readItems(indent)
	if !ok {
		s.back(from)
		return nil
	}
	n := s.nodes.node(yaml.SequenceNode, 0, "!!seq", line, column)
	s.list = itemList{n, from, indent}
	return n
}

// readItems reads the items and returns the position of the first dash.
func (s *scanner) readItems(indent int) (line, column int, ok bool) {
	if !s.nextLine() || s.indent < indent || !s.dash() {
		return 0, 0, false
	}
	s.items.Begin()
	line, column, own := s.line, s.column(), s.indent
	for s.indent == own && s.dash() {
		if s.at += len("- "); s.at >= len(s.data) || s.data[s.at-1] != ' ' {
			return 0, 0, false
		}
		length := s.items.Item(s.data[s.at:], Pos{uint32(s.line), uint32(s.column())})
		s.at += length
		if length == 0 || !s.nextLine() {
			return 0, 0, false
		}
	}
	return line, column, s.indent <= indent
}

// WithItems runs during with the lists of an ItemReader read by it if possible. Later reads, to locate errors, get all
// nodes.
func (doc *Document) WithItems(items *ItemReader, during func()) {
	if s := doc.scanner; s != nil {
		s.items = items
		defer func() { s.items = nil }()
	}
	during()
}

// HasItems reports whether n is the list of the current entry that the ItemReader has read.
func (doc *Document) HasItems(n *yaml.Node) bool {
	return doc.scanner != nil && doc.scanner.list.node == n
}

// Expand adds to n, for which HasItems is true, its nodes after all. It returns false if there is no room for them.
func (doc *Document) Expand(n *yaml.Node) bool {
	s := doc.scanner
	list := s.list
	s.list.node = nil
	s.back(list.from)
	expanded := s.value(list.indent)
	if expanded == nil {
		return false
	}
	n.Content = append(n.Content, expanded.Content...)
	return true
}
