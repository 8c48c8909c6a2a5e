package config

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// nodeKey identifies a node of a document and remains valid after the node is reused.
type nodeKey struct {
	pos   Pos // of a mapping: also that of its first key
	kind  yaml.Kind
	empty bool // the node has no text, and another may begin at the same position
}

func nodeKeyOf(n *yaml.Node) nodeKey {
	return nodeKey{pos: posOf(n), kind: n.Kind, empty: n.Value == ""}
}

// diagnostic is an error or warning without its path, which is computed later.
type diagnostic struct {
	at         nodeKey
	atKey      bool // report the position of the node's key, if it has one
	what, hint string
}

// diagnostics holds the diagnostics of one severity.
type diagnostics struct {
	listed  []diagnostic
	omitted int // number beyond maxListed
}

// maxListed limits the errors and the warnings that are reported: one error in a template causes millions, and a reload
// must survive it.
const maxListed = 100_000

func (f *diagnostics) add(one diagnostic) {
	if len(f.listed) == maxListed {
		f.omitted++
		return
	}
	f.listed = append(f.listed, one)
}

func (d *decoder) errorf(n *yaml.Node, what, hint string) { d.errorAt(nodeKeyOf(n), what, hint) }

func (d *decoder) errorAt(at nodeKey, what, hint string) {
	if d.variables[at] == unset {
		return
	}
	d.errs.add(diagnostic{at: at, what: what, hint: hint})
}

// errorAtKey records an error of n as a whole, such as a missing key.
func (d *decoder) errorAtKey(n *yaml.Node, what, hint string) {
	d.errs.add(diagnostic{at: nodeKeyOf(n), atKey: true, what: what, hint: hint})
}

func (d *decoder) warn(n *yaml.Node, what, hint string) { d.warnAt(nodeKeyOf(n), what, hint) }

func (d *decoder) warnAt(at nodeKey, what, hint string) {
	d.warnings.add(diagnostic{at: at, what: what, hint: hint})
}

// report returns the errors and warnings in file order, with their paths.
func (d *decoder) report() (errs, warnings []Error) {
	if len(d.errs.listed) == 0 && len(d.warnings.listed) == 0 {
		return nil, nil
	}
	at := d.locate()
	return d.place(d.errs, at, "errors"), d.place(d.warnings, at, "warnings")
}

func (d *decoder) place(found diagnostics, at map[nodeKey]location, what string) []Error {
	var errs []Error
	for _, f := range found.listed {
		where := at[f.at]
		pos := where.node
		if f.atKey {
			pos = where.key
		}
		errs = append(errs, Error{File: d.file, Pos: pos, Path: where.path, What: f.what + d.variableOf(f.at), Hint: f.hint})
	}
	slices.SortStableFunc(errs, func(a, b Error) int { return a.Pos.Compare(b.Pos) })
	errs = slices.Compact(errs) // an alias repeats errors of its anchor
	for i := range errs {
		if f := &errs[i]; f.Pos.Line > 0 {
			f.File, f.Pos = d.sources.at(f.Pos)
		}
	}
	if found.omitted > 0 {
		errs = append(errs, Error{File: d.file, What: fmt.Sprintf("%d more %s", found.omitted, what), Hint: "correct these first"})
	}
	return errs
}

// location is the position and path of a node.
type location struct {
	node, key Pos // key: position of the key of the node; in lists the node's own
	path      string
}

// locate finds the nodes of the diagnostics in a second walk over the document, which reads only the necessary parts.
func (d *decoder) locate() map[nodeKey]location {
	l := &pathFinder{doc: d.doc, wanted: make(map[nodeKey]bool), found: make(map[nodeKey]location)}
	for _, findings := range [][]diagnostic{d.errs.listed, d.warnings.listed} {
		for _, f := range findings {
			l.wanted[f.at] = true
			l.lines = append(l.lines, int(f.at.pos.Line))
		}
	}
	slices.Sort(l.lines)
	l.visit(d.doc.Root, d.doc.Root)
	return l.found
}

// pathFinder walks over a document.
type pathFinder struct {
	doc    *yamldoc.Document
	path   []step
	wanted map[nodeKey]bool
	found  map[nodeKey]location
	lines  []int // wanted lines, sorted
	line   int   // last line looked up
	wants  bool  // whether lines holds it
}

// step is one step of a path from a node to a child.
type step struct {
	key   *yaml.Node // nil: in a list
	index int
}

// visit records n, reached by key, and the nodes below.
func (l *pathFinder) visit(key, n *yaml.Node) {
	l.note(key, n)
	depth := len(l.path)
	switch n.Kind {
	case yaml.MappingNode:
		for k, value := range l.doc.EntriesWithin(n, l.wantsAny) {
			l.path = append(l.path[:depth], step{key: k})
			l.note(k, k)
			l.visit(k, value)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			l.path = append(l.path[:depth], step{index: i})
			l.visit(item, item)
		}
	}
	l.path = l.path[:depth]
}

// wantsAny reports whether any of these lines is wanted.
func (l *pathFinder) wantsAny(first, last int) bool {
	i, _ := slices.BinarySearch(l.lines, first)
	return i < len(l.lines) && l.lines[i] <= last
}

func (l *pathFinder) note(key, n *yaml.Node) {
	at := nodeKeyOf(n)
	if line := int(at.pos.Line); line != l.line { // fast path: there are many nodes, and map lookups are slow
		l.line, l.wants = line, l.wantsAny(line, line)
	}
	if !l.wants {
		return
	}
	if _, known := l.found[at]; known || !l.wanted[at] {
		return
	}
	l.found[at] = location{node: at.pos, key: posOf(key), path: l.pathString()}
}

// pathString returns the path in the form of messages: pools.web.members[2].
func (l *pathFinder) pathString() string {
	var b strings.Builder
	for i, s := range l.path {
		switch {
		case s.key == nil:
			fmt.Fprintf(&b, "[%d]", s.index)
			continue
		case i > 0:
			b.WriteByte('.')
		}
		b.WriteString(segment(s.key))
	}
	return b.String()
}

// segment returns a key as part of a path, quoted if it would be hard to read.
func segment(key *yaml.Node) string {
	if q := quote(key.Value); q[1:len(q)-1] != key.Value || key.Value == "" {
		return q
	}
	return key.Value
}
