package yamldoc

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Section describes a mapping of the document by the way it is read. A nil Section is read at once, with everything
// below it.
type Section struct {
	Keys map[string]*Section // read key by key; the sections under some keys
	Lazy bool                // small entries, many of them: read entry by entry, on demand
	Each *Section            // of a lazy section: the section under each key
}

// under returns the section under a key.
func (p *Section) under(key string) *Section {
	if p.Lazy {
		return p.Each
	}
	return p.Keys[key]
}

// Document is a configuration as nodes.
//
// The plain version is the tree of yaml.v3: see Tree. It takes about 50 times the memory of the text, and
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
type Document struct {
	Root          *yaml.Node // nil: no value
	data          []byte
	limit         int // the longest text for yaml.v3, in octets
	scanner       *scanner
	lazy          []lazySection // outer ones before those in their entries
	fallbackBytes int           // octets of the current pieces that yaml.v3 has read
	fallback      *Error        // the reason why this is not an outline
}

// lazySection is a mapping with entries that are read on demand.
type lazySection struct {
	node    *yaml.Node
	section *Section
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

// File is a file in the text of a document.
type File struct {
	Lines int // lines of the files before it
	End   int // offset of its end
}

// Outline returns the outline of data, which holds files one after the other, in sections below root. It passes no text
// longer than limit octets to yaml.v3. If the document is not an outline, Fallback returns the reason.
func Outline(data []byte, files []File, root *Section, limit int) *Document {
	doc := &Document{data: data, limit: limit, scanner: newScanner()}
	begin := 0
	for _, f := range files {
		top := doc.outline(root, lineSpan{begin: begin, end: f.End, first: f.Lines + 1})
		if doc.fallback != nil {
			return doc
		}
		doc.add(top)
		begin = f.End
	}
	if doc.Root == nil {
		doc.FallBack(Pos{1, 1}, "no key in the first column")
	}
	return doc
}

// Outlined reports whether the document is an outline.
func (doc *Document) Outlined() bool { return doc.scanner != nil }

// Fallback returns the reason why the document is not an outline, or nil.
func (doc *Document) Fallback() *Error { return doc.fallback }

// outline returns the outline of a file, which is text; nil if it has no value or is rejected.
func (doc *Document) outline(root *Section, text lineSpan) *yaml.Node {
	data := doc.data[:text.end]
	if at := invalidLineBreak(data[text.begin:]); at >= 0 {
		doc.FallBack(posAt(data, text.begin+at), "a line break other than LF, or a character that YAML does not have")
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
		doc.FallBack(l.pos(), "no key in the first column")
		return nil
	}
	return doc.mapping(root, lineSpan{begin: l.start, end: text.end, first: l.line}, 0)
}

// mapping reads the mapping in text, with its keys at indent.
func (doc *Document) mapping(p *Section, text lineSpan, indent int) *yaml.Node {
	n := doc.scanner.nodes.node(yaml.MappingNode, 0, "!!map", text.first, indent+1)
	if p.Lazy {
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
func (doc *Document) pieces(text lineSpan, indent int, yield func(lineSpan) bool) {
	l := lineScanner{data: doc.data[:text.end], start: text.begin, line: text.first}
	for l.skipBlank(); l.indent != pastLast; {
		if l.indent != indent || l.mark() {
			doc.FallBack(l.pos(), "a document mark, or an indentation other than that of the keys before")
			return
		}
		if !yield(l.takeEntry()) {
			return
		}
	}
}

// entry reads a key of p and its value, which are all of text; it returns nils after rejecting them.
func (doc *Document) entry(p *Section, text lineSpan, indent int) (key, value *yaml.Node) {
	s := doc.scanner
	nodes := s.nodes.used
	if !p.Lazy || p.Each != nil {
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
		doc.FallBack(Pos{uint32(text.first), uint32(indent + 1)}, fmt.Sprintf("more than %d values to be held at once", maxNodes))
		return nil, nil
	}
	s.nodes.used = nodes
	return doc.parseFallback(text, indent)
}

// nested reads an entry with an outline as value; nils if it is none.
func (doc *Document) nested(p *Section, text lineSpan, indent int) (key, value *yaml.Node) {
	s := doc.scanner
	s.begin(doc.data, text)
	key = s.key()
	if key == nil {
		return nil, nil
	}
	below := p.under(key.Value)
	if below == nil || !s.nextLine() || s.indent <= indent {
		return nil, nil
	}
	inner, innerIndent := lineSpan{begin: s.start, end: text.end, first: s.line}, s.indent
	if s.key() == nil {
		return nil, nil // not a mapping in a block
	}
	return key, doc.mapping(below, inner, innerIndent)
}

// parseFallback reads an entry by yaml.v3.
func (doc *Document) parseFallback(text lineSpan, indent int) (key, value *yaml.Node) {
	data := doc.data[text.begin:text.end]
	at := Pos{uint32(text.first), uint32(indent + 1)}
	if doc.fallbackBytes += len(data); doc.fallbackBytes > doc.limit {
		doc.FallBack(at, "more than that is not in plain form")
		return nil, nil
	}
	root, problem := parseTree(data)
	if problem != nil {
		problem.Pos.Line += uint32(text.first - 1)
		doc.fallback = problem
		if strings.Contains(problem.What, "unknown anchor") {
			doc.FallBack(problem.Pos, "an alias")
		}
		return nil, nil
	}
	shiftLines(root, text.first-1)
	if odd := documentScoped(root); odd != nil {
		doc.FallBack(PosOf(odd), "an anchor, tag or merge key")
		return nil, nil
	}
	if !oneEntry(root, at) {
		doc.FallBack(at, "no key with a value on one line")
		return nil, nil
	}
	return root.Content[0], root.Content[1]
}

// oneEntry reports whether n is a mapping in a block with one key at pos.
func oneEntry(n *yaml.Node, at Pos) bool {
	return n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 && len(n.Content) == 2 && PosOf(n.Content[0]) == at
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

// FallBack rejects text that is not part of an outline, but may be in a smaller file.
func (doc *Document) FallBack(at Pos, what string) {
	doc.fallback = &Error{Pos: at, What: what, Hint: fmt.Sprintf("a file longer than %d MiB must be in plain form, see docs/reference/configuration.md", doc.limit>>20)}
}

// Entries returns the keys and values of mapping n, in the order written. Those of a lazySection are valid until the
// next one.
func (doc *Document) Entries(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return doc.EntriesWithin(n, func(int, int) bool { return true })
}

// EntriesWithin is Entries without the entries of a lazySection whose lines, from the first to the last, are not
// wanted.
func (doc *Document) EntriesWithin(n *yaml.Node, wanted func(first, last int) bool) iter.Seq2[*yaml.Node, *yaml.Node] {
	i := doc.lazyIndex(n)
	if i < 0 {
		return Pairs(n)
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
func (doc *Document) withEntry(p *Section, text lineSpan, indent int, yield func(key, value *yaml.Node) bool) bool {
	nodes, streams, held := doc.scanner.nodes.used, len(doc.lazy), doc.fallbackBytes
	key, value := doc.entry(p, text, indent)
	more := doc.fallback == nil && yield(key, value) && doc.finish(streams)
	doc.scanner.nodes.used, doc.lazy, doc.fallbackBytes = nodes, doc.lazy[:streams], held
	return more
}

// Finish reads the sections that were never read, such as those of a duplicate key: their errors count, too. It reports
// whether the document is still an outline.
func (doc *Document) Finish() bool { return doc.finish(0) }

// finish reads the sections from the given index on.
func (doc *Document) finish(from int) bool {
	for i := from; i < len(doc.lazy); i++ {
		if !doc.lazy[i].read {
			for range doc.Entries(doc.lazy[i].node) {
				continue
			}
		}
	}
	return doc.fallback == nil
}

// Count returns an upper bound of the number of entries of mapping n.
func (doc *Document) Count(n *yaml.Node) int {
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
func (doc *Document) lazyIndex(n *yaml.Node) int {
	return slices.IndexFunc(doc.lazy, func(s lazySection) bool { return s.node == n })
}

// LinesWith returns the lines that contain a text, once for each time.
func (doc *Document) LinesWith(text string) (lines []int) {
	data, line := doc.data, 1
	for {
		at := bytes.Index(data, []byte(text))
		if at < 0 {
			return lines
		}
		line += bytes.Count(data[:at], []byte{'\n'})
		lines = append(lines, line)
		data = data[at+len(text):]
	}
}
