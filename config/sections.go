package config

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// section is a mapping of the document, by the way it is read.
type section int

const (
	eager       section = iota // at once, with everything below it
	rootSection                // the document itself: key by key
	geoSection                 // geo: key by key
	zoneSection                // one zone: key by key
	lazy                       // a mapping of small entries: entry by entry, on demand
	lazyZones                  // zones: the same, with a zone in each entry
)

// under returns the section under a key of p.
func (p section) under(key string) section {
	switch {
	case p == rootSection && key == "geo":
		return geoSection
	case p == rootSection && key == "zones":
		return lazyZones
	case p == lazyZones:
		return zoneSection
	case p == rootSection && key == "pools", p == geoSection && key == "networks", p == zoneSection && key == "names":
		return lazy
	}
	return eager
}

func (p section) lazy() bool { return p == lazy || p == lazyZones }

// document is a configuration as nodes.
//
// The plain version is the tree of yaml.v3, and only root is set. It takes about 50 times the memory of the text, and
// more time than the rest of a start. So the document is first read as an outline: a tree in which the mappings that
// grow with the number of pools, names and networks have no content. Their entries are cut from the text by their
// indentation, and read one after the other into the same few nodes:
//
//	geo: {database: City.mmdb}   at once
//	pools:                       a mapping without content, of which
//	  web: {...}                   a piece: nodes until the next piece is read
//	  api:                         a piece
//	    policy: weighted
//	zones:                       a mapping without content
//	  example.com:                 a piece: again an outline
//	    contact: a@example.com
//	    names:                       a mapping without content
//	      www: {pool: web}             a piece
//
// The scanner reads a piece of plain YAML, yaml.v3 reads any other. A separate piece has the same meaning as in its
// place if it is one key of a block and its value, closes every quote and bracket that it opens, and has no anchor,
// alias, tag, merge key or document mark. Otherwise the document is rejected as an outline, and yaml.v3 parses the
// whole.
type document struct {
	root          *yaml.Node
	data          []byte
	limit         int // the longest text for yaml.v3, in octets
	scanner       *scanner
	lazy          []lazySection // outer ones before those in their entries
	fallbackBytes int           // octets of the current pieces that yaml.v3 has read
	fallback      *Error        // the reason why this is not an outline
	sources       sourceFiles   // the files in data, if there are several
}

// lazySection is a mapping with entries that are read on demand.
type lazySection struct {
	node    *yaml.Node
	section section
	text    lineSpan
	indent  int
	more    []sectionText // its parts in other files
	read    bool
}

// sectionText is a text of a lazySection, with its keys at indent.
type sectionText struct {
	text   lineSpan
	indent int
}

// texts returns all texts of the section.
func (s *lazySection) texts() []sectionText {
	return append([]sectionText{{s.text, s.indent}}, s.more...)
}

// outlined returns the outline of data, which is not usable if it is rejected.
func outlined(data []byte, limit int) *document {
	doc := &document{data: data, limit: limit, scanner: newScanner()}
	doc.root = doc.outline(lineSpan{end: len(data), first: 1})
	if doc.root == nil && doc.fallback == nil {
		doc.fallBack(Pos{1, 1}, "no key in the first column")
	}
	return doc
}

// outline returns the outline of a file, which is text; nil if it has no value or is rejected.
func (doc *document) outline(text lineSpan) *yaml.Node {
	data := doc.data[:text.end]
	if at := invalidLineBreak(data[text.begin:]); at >= 0 {
		doc.fallBack(posAt(data, text.begin+at), "a line break other than LF, or a character that YAML does not have")
		return nil
	}
	l := lineScanner{data: data, start: text.begin, line: text.first}
	l.skipBlank()
	if l.indent == 0 && l.mark() && bytes.HasPrefix(data[l.start:], []byte("---\n")) {
		l.finishLine(l.start)
		l.skipBlank()
	}
	if l.indent == pastLast {
		return nil
	}
	if l.indent != 0 {
		doc.fallBack(l.pos(), "no key in the first column")
		return nil
	}
	return doc.mapping(rootSection, lineSpan{begin: l.start, end: text.end, first: l.line}, 0)
}

// mapping reads the mapping in text, with its keys at indent.
func (doc *document) mapping(p section, text lineSpan, indent int) *yaml.Node {
	n := doc.scanner.nodes.node(yaml.MappingNode, 0, "!!map", text.first, indent+1)
	if p.lazy() {
		doc.lazy = append(doc.lazy, lazySection{node: n, section: p, text: text, indent: indent})
		return n
	}
	doc.pieces(text, indent, func(next lineSpan) bool {
		key, value := doc.entry(p, next, indent)
		n.Content = append(n.Content, key, value)
		return doc.fallback == nil
	})
	return n
}

// pieces splits text at the keys at indent.
func (doc *document) pieces(text lineSpan, indent int, yield func(lineSpan) bool) {
	l := lineScanner{data: doc.data[:text.end], start: text.begin, line: text.first}
	for l.skipBlank(); l.indent != pastLast; {
		if l.indent != indent || l.mark() {
			doc.fallBack(l.pos(), "a document mark, or an indentation other than that of the keys before")
			return
		}
		if !yield(l.takeEntry()) {
			return
		}
	}
}

// entry reads a key of p and its value, which are all of text; it returns nils after rejecting them.
func (doc *document) entry(p section, text lineSpan, indent int) (key, value *yaml.Node) {
	s := doc.scanner
	nodes := s.nodes.used
	if p != lazy {
		if key, value = doc.nested(p, text, indent); key != nil {
			return key, value
		}
		s.nodes.used = nodes
	}
	s.begin(doc.data, text)
	if key, value = s.entry(); key != nil {
		return key, value
	}
	if s.nodes.full() {
		doc.fallBack(Pos{uint32(text.first), uint32(indent + 1)}, fmt.Sprintf("more than %d values to be held at once", maxNodes))
		return nil, nil
	}
	s.nodes.used = nodes
	return doc.parseFallback(text, indent)
}

// nested reads an entry with an outline as value; nils if it is none.
func (doc *document) nested(p section, text lineSpan, indent int) (key, value *yaml.Node) {
	s := doc.scanner
	s.begin(doc.data, text)
	key = s.key()
	if key == nil {
		return nil, nil
	}
	below := p.under(key.Value)
	if below == eager || !s.nextLine() || s.indent <= indent {
		return nil, nil
	}
	inner, innerIndent := lineSpan{begin: s.start, end: text.end, first: s.line}, s.indent
	if s.key() == nil {
		return nil, nil // not a mapping in a block
	}
	return key, doc.mapping(below, inner, innerIndent)
}

// parseFallback reads an entry by yaml.v3.
func (doc *document) parseFallback(text lineSpan, indent int) (key, value *yaml.Node) {
	data := doc.data[text.begin:text.end]
	at := Pos{uint32(text.first), uint32(indent + 1)}
	if doc.fallbackBytes += len(data); doc.fallbackBytes > doc.limit {
		doc.fallBack(at, "more than that is not in plain form")
		return nil, nil
	}
	root, problem := parseTree(data)
	if problem != nil {
		problem.Pos.Line += uint32(text.first - 1)
		doc.fallback = problem
		if strings.Contains(problem.What, "unknown anchor") {
			doc.fallBack(problem.Pos, "an alias")
		}
		return nil, nil
	}
	shiftLines(root, text.first-1)
	if odd := documentScoped(root); odd != nil {
		doc.fallBack(posOf(odd), "an anchor, tag or merge key")
		return nil, nil
	}
	if !oneEntry(root, at) {
		doc.fallBack(at, "no key with a value on one line")
		return nil, nil
	}
	return root.Content[0], root.Content[1]
}

// oneEntry reports whether n is a mapping in a block with one key at pos.
func oneEntry(n *yaml.Node, at Pos) bool {
	return n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 && len(n.Content) == 2 && posOf(n.Content[0]) == at
}

// documentScoped returns the first node from n on that has a meaning only in its document, or nil.
func documentScoped(n *yaml.Node) *yaml.Node {
	if n.Anchor != "" || n.Kind == yaml.AliasNode || n.Style&yaml.TaggedStyle != 0 || n.Tag == mergeTag {
		return n
	}
	for _, child := range n.Content {
		if odd := documentScoped(child); odd != nil {
			return odd
		}
	}
	return nil
}

// shiftLines adds lines to the positions in n.
func shiftLines(n *yaml.Node, lines int) {
	n.Line += lines
	for _, child := range n.Content {
		shiftLines(child, lines)
	}
}

// fallBack rejects text that is not part of an outline, but may be in a smaller file.
func (doc *document) fallBack(at Pos, what string) {
	doc.fallback = &Error{Pos: at, What: what, Hint: fmt.Sprintf("a file longer than %d MiB must be in plain form, see docs/reference/configuration.md", doc.limit>>20)}
}

// entries returns the keys and values of mapping n, in the order written. Those of a lazySection are valid until the
// next one.
func (doc *document) entries(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return doc.entriesWithin(n, func(int, int) bool { return true })
}

// entriesWithin is entries without the entries of a lazySection whose lines, from the first to the last, are not
// wanted.
func (doc *document) entriesWithin(n *yaml.Node, wanted func(first, last int) bool) iter.Seq2[*yaml.Node, *yaml.Node] {
	i := doc.lazyIndex(n)
	if i < 0 {
		return pairs(n)
	}
	return func(yield func(key, value *yaml.Node) bool) {
		s := &doc.lazy[i]
		s.read = true
		in, more := s.section, s.more
		read := func(from sectionText) bool {
			going := true
			doc.pieces(from.text, from.indent, func(text lineSpan) bool {
				going = !wanted(text.first, text.last) || doc.withEntry(in, text, from.indent, yield)
				return going
			})
			return going && doc.fallback == nil
		}
		for going := read(sectionText{s.text, s.indent}); going && len(more) > 0; more = more[1:] {
			going = read(more[0])
		}
	}
}

// withEntry reads an entry; its nodes are reused after yield returns. It reports whether to continue.
func (doc *document) withEntry(p section, text lineSpan, indent int, yield func(key, value *yaml.Node) bool) bool {
	nodes, streams, held := doc.scanner.nodes.used, len(doc.lazy), doc.fallbackBytes
	key, value := doc.entry(p, text, indent)
	more := doc.fallback == nil && yield(key, value) && doc.finish(streams)
	doc.scanner.nodes.used, doc.lazy, doc.fallbackBytes = nodes, doc.lazy[:streams], held
	return more
}

// finish reads the sections from the given index on that were never read, such as those of a duplicate key: their
// errors count, too. It reports whether the document is still an outline.
func (doc *document) finish(from int) bool {
	for i := from; i < len(doc.lazy); i++ {
		if !doc.lazy[i].read {
			for range doc.entries(doc.lazy[i].node) {
				continue
			}
		}
	}
	return doc.fallback == nil
}

// count returns an upper bound of the number of entries of mapping n.
func (doc *document) count(n *yaml.Node) int {
	i := doc.lazyIndex(n)
	if i < 0 {
		return len(n.Content) / 2
	}
	keys := 0
	for _, from := range doc.lazy[i].texts() {
		l := lineScanner{data: doc.data[:from.text.end], start: from.text.begin}
		for l.skipBlank(); l.indent != pastLast; l.skipBlank() {
			if l.indent == from.indent {
				keys++
			}
			l.finishLine(l.start)
		}
	}
	return keys
}

// lazyIndex returns the index of the lazySection that n represents, or -1.
func (doc *document) lazyIndex(n *yaml.Node) int {
	return slices.IndexFunc(doc.lazy, func(s lazySection) bool { return s.node == n })
}

// withMemberLists runs read with the members of pools read as memberLists if possible, each from a copy of member. Later
// reads, to locate errors, get all nodes.
func (doc *document) withMemberLists(member Member, read func()) {
	if s := doc.scanner; s != nil {
		s.memberLists, s.member = true, member
		defer func() { s.memberLists = false }()
	}
	read()
}
