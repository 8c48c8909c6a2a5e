package config

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// section is a mapping of the document, by how it is read.
type section int

const (
	eager       section = iota // at once, with all below it
	rootSection                // the document itself: key by key
	geoPart                    // geo: key by key
	zonePart                   // one zone: key by key
	lazy                       // a mapping of small entries: entry by entry, only when asked for
	lazyZones                  // zones: the same, with a zone in each
)

// under is the part that a key of p holds.
func (p section) under(key string) section {
	switch {
	case p == rootSection && key == "geo":
		return geoPart
	case p == rootSection && key == "zones":
		return lazyZones
	case p == lazyZones:
		return zonePart
	case p == rootSection && key == "pools", p == geoPart && key == "networks", p == zonePart && key == "names":
		return lazy
	}
	return eager
}

func (p section) lazy() bool { return p == lazy || p == lazyZones }

// document is a configuration as nodes.
//
// The plain version is what yaml.v3 makes of the text: one tree, of which only
// root is set here. It takes some 50 times the memory of the text, and more
// time than all the rest of a start. So the document is first taken for an
// outline: a tree in which the mappings that grow with the number of pools,
// names and networks have no content. Their entries are cut out of the text at
// their indentation, and read one after the other into the same few nodes:
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
// The scanner reads a piece of plain YAML, yaml.v3 any other. A piece alone
// means what it means in its place, as long as it is one key of a block and its
// value, closes every quote and bracket that it opens, and has no anchor, alias,
// tag, merge key or document mark. Where that fails the document is refused as
// an outline, and is for yaml.v3 as a whole.
type document struct {
	root          *yaml.Node
	data          []byte
	limit         int // the longest text to give to yaml.v3, in octets
	scanner       *scanner
	lazy          []lazySection // the outer ones before those in their entries
	fallbackBytes int           // octets of the pieces in use that yaml.v3 has read
	fallback      *Error        // why this is no outline
	sources       sourceFiles   // the files in data, if there are several
}

// lazySection is a mapping whose entries are read when they are asked for.
type lazySection struct {
	node   *yaml.Node
	part   section
	text   lineSpan
	indent int
	more   []streamText // what other files have of it
	read   bool
}

// streamText is the text of a stream, its keys at indent.
type streamText struct {
	text   lineSpan
	indent int
}

// texts are all texts of the stream.
func (s *lazySection) texts() []streamText {
	return append([]streamText{{s.text, s.indent}}, s.more...)
}

// outlined is the outline of data, which must not be used if it is refused.
func outlined(data []byte, limit int) *document {
	doc := &document{data: data, limit: limit, scanner: newScanner()}
	doc.root = doc.outline(lineSpan{end: len(data), first: 1})
	if doc.root == nil && doc.fallback == nil {
		doc.fallBack(Pos{1, 1}, "no key in the first column")
	}
	return doc
}

// outline is the outline of a file, which is text; nil if that has no value or is refused.
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

// mapping reads the mapping that text holds, its keys at indent.
func (doc *document) mapping(p section, text lineSpan, indent int) *yaml.Node {
	n := doc.scanner.slab.node(yaml.MappingNode, 0, "!!map", text.first, indent+1)
	if p.lazy() {
		doc.lazy = append(doc.lazy, lazySection{node: n, part: p, text: text, indent: indent})
		return n
	}
	doc.pieces(text, indent, func(next lineSpan) bool {
		key, value := doc.entry(p, next, indent)
		n.Content = append(n.Content, key, value)
		return doc.fallback == nil
	})
	return n
}

// pieces cuts text into those that the keys at indent head.
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

// entry reads a key of p and its value, which are all of text; it returns nils
// when it has refused them.
func (doc *document) entry(p section, text lineSpan, indent int) (key, value *yaml.Node) {
	s := doc.scanner
	nodes := s.slab.used
	if p != lazy {
		if key, value = doc.nested(p, text, indent); key != nil {
			return key, value
		}
		s.slab.used = nodes
	}
	s.begin(doc.data, text)
	if key, value = s.entry(); key != nil {
		return key, value
	}
	if s.slab.full() {
		doc.fallBack(Pos{uint32(text.first), uint32(indent + 1)}, fmt.Sprintf("more than %d values to be held at once", maxNodes))
		return nil, nil
	}
	s.slab.used = nodes
	return doc.parseFallback(text, indent)
}

// nested reads an entry whose value is an outline; nils if it is none.
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
		doc.fallBack(at, "here is more than that which is not in plain form")
		return nil, nil
	}
	root, fault := parseTree(data)
	if fault != nil {
		fault.Pos.Line += uint32(text.first - 1)
		doc.fallback = fault
		if strings.Contains(fault.What, "unknown anchor") {
			doc.fallBack(fault.Pos, "an alias")
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

// oneEntry reports whether n is a mapping in a block of one key that stands at pos.
func oneEntry(n *yaml.Node, at Pos) bool {
	return n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 && len(n.Content) == 2 && posOf(n.Content[0]) == at
}

// documentScoped is the first node from n on that means something only in its document; nil
// when there is none.
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

// shiftLines adds lines above n.
func shiftLines(n *yaml.Node, lines int) {
	n.Line += lines
	for _, child := range n.Content {
		shiftLines(child, lines)
	}
}

// fallBack says what is no part of an outline, and may be one of a shorter file.
func (doc *document) fallBack(at Pos, what string) {
	doc.fallback = &Error{Pos: at, What: what, Hint: fmt.Sprintf("a file longer than %d MiB is kept plain, see docs/reference/configuration.md", doc.limit>>20)}
}

// entries are the keys and values of mapping n, in the order written. Those of
// a stream last until the next one.
func (doc *document) entries(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return doc.entriesWithin(n, func(int, int) bool { return true })
}

// entriesWithin leaves out those entries of a stream whose lines, from the
// first to the last, are not wanted.
func (doc *document) entriesWithin(n *yaml.Node, wanted func(first, last int) bool) iter.Seq2[*yaml.Node, *yaml.Node] {
	i := doc.stream(n)
	if i < 0 {
		return pairs(n)
	}
	return func(yield func(key, value *yaml.Node) bool) {
		s := &doc.lazy[i]
		s.read = true
		in, more := s.part, s.more
		read := func(from streamText) bool {
			going := true
			doc.pieces(from.text, from.indent, func(text lineSpan) bool {
				going = !wanted(text.first, text.last) || doc.withEntry(in, text, from.indent, yield)
				return going
			})
			return going && doc.fallback == nil
		}
		for going := read(streamText{s.text, s.indent}); going && len(more) > 0; more = more[1:] {
			going = read(more[0])
		}
	}
}

// withEntry reads an entry, which is taken back when yield has returned. It reports
// whether to go on.
func (doc *document) withEntry(p section, text lineSpan, indent int, yield func(key, value *yaml.Node) bool) bool {
	nodes, streams, held := doc.scanner.slab.used, len(doc.lazy), doc.fallbackBytes
	key, value := doc.entry(p, text, indent)
	more := doc.fallback == nil && yield(key, value) && doc.finish(streams)
	doc.scanner.slab.used, doc.lazy, doc.fallbackBytes = nodes, doc.lazy[:streams], held
	return more
}

// finish reads the streams from the one given that nobody has asked for, such
// as those of a key that is there twice: their faults count, too. It reports
// whether the document is still an outline.
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

// count is how many entries mapping n has, at most.
func (doc *document) count(n *yaml.Node) int {
	i := doc.stream(n)
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

// stream is the index of the stream that n stands for; none: -1.
func (doc *document) stream(n *yaml.Node) int {
	return slices.IndexFunc(doc.lazy, func(s lazySection) bool { return s.node == n })
}

// withRosters has the members of the pools that read reads come as rosters where they
// can, each a copy of member before its keys are read. Later readings, to find
// what was faulted, get all nodes.
func (doc *document) withRosters(member Member, read func()) {
	if s := doc.scanner; s != nil {
		s.rosters, s.member = true, member
		defer func() { s.rosters = false }()
	}
	read()
}
