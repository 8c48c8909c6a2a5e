package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// nodeKey tells a node from all others of its document, and outlasts it: a node
// may be read again, and hold something else in the meantime.
type nodeKey struct {
	pos   Pos // of a mapping, also that of its first key
	kind  yaml.Kind
	empty bool // no text marks the place, and something else may begin there
}

func nodeKeyOf(n *yaml.Node) nodeKey {
	return nodeKey{pos: posOf(n), kind: n.Kind, empty: n.Value == ""}
}

// diagnostic is a fault or warning that has no path yet.
type diagnostic struct {
	at         nodeKey
	atKey      bool // where it is told is the key of the node, if it has one
	what, hint string
}

// diagnostics are those of one severity.
type diagnostics struct {
	listed  []diagnostic
	omitted int // beyond maxTold
}

// maxListed is how many faults, or warnings, a file is told of: one typing error
// in a template makes millions, and a reload must survive it.
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

// errorAtKey is a fault of n as a whole, such as a key that it lacks.
func (d *decoder) errorAtKey(n *yaml.Node, what, hint string) {
	d.errs.add(diagnostic{at: nodeKeyOf(n), atKey: true, what: what, hint: hint})
}

func (d *decoder) warn(n *yaml.Node, what, hint string) { d.warnAt(nodeKeyOf(n), what, hint) }

func (d *decoder) warnAt(at nodeKey, what, hint string) {
	d.warnings.add(diagnostic{at: at, what: what, hint: hint})
}

// report is what was found, in file order, each with its path.
func (d *decoder) report() (faults, warnings []Error) {
	if len(d.errs.listed) == 0 && len(d.warnings.listed) == 0 {
		return nil, nil
	}
	at := d.locate()
	return d.place(d.errs, at, "faults"), d.place(d.warnings, at, "warnings")
}

func (d *decoder) place(found diagnostics, at map[nodeKey]location, what string) []Error {
	var faults []Error
	for _, f := range found.listed {
		where := at[f.at]
		pos := where.node
		if f.atKey {
			pos = where.key
		}
		faults = append(faults, Error{File: d.file, Pos: pos, Path: where.path, What: f.what + d.variableOf(f.at), Hint: f.hint})
	}
	slices.SortStableFunc(faults, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	faults = slices.Compact(faults) // what an alias repeats is at fault once
	for i := range faults {
		if f := &faults[i]; f.Pos.Line > 0 {
			f.File, f.Pos = d.sources.at(f.Pos)
		}
	}
	if found.omitted > 0 {
		faults = append(faults, Error{File: d.file, What: fmt.Sprintf("%d more %s", found.omitted, what), Hint: "see to these first"})
	}
	return faults
}

// location is where a node stands.
type location struct {
	node, key Pos // key: of the key that leads to the node; the node's own in lists
	path      string
}

// locate finds the nodes at which something was found by a second walk over the
// document, which reads only what is wanted of it.
func (d *decoder) locate() map[nodeKey]location {
	l := &pathFinder{doc: d.doc, wanted: make(map[nodeKey]bool), found: make(map[nodeKey]location)}
	for _, findings := range [][]diagnostic{d.errs.listed, d.warnings.listed} {
		for _, f := range findings {
			l.wanted[f.at] = true
			l.lines = append(l.lines, int(f.at.pos.Line))
		}
	}
	slices.Sort(l.lines)
	l.visit(d.doc.root, d.doc.root)
	return l.found
}

// pathFinder is one walk over a document.
type pathFinder struct {
	doc    *document
	path   []step
	wanted map[nodeKey]bool
	found  map[nodeKey]location
	lines  []int // of what is wanted, in order
	line   int   // asked about last
	wants  bool  // whether lines holds it
}

// step leads from a node to one below it.
type step struct {
	key   *yaml.Node // nil: in a list
	index int
}

// visit notes n, which key leads to, and what is below it.
func (l *pathFinder) visit(key, n *yaml.Node) {
	l.note(key, n)
	depth := len(l.path)
	switch n.Kind {
	case yaml.MappingNode:
		for k, value := range l.doc.entriesWithin(n, l.wantsAny) {
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

// wantsAny reports whether anything is wanted on these lines.
func (l *pathFinder) wantsAny(first, last int) bool {
	i, _ := slices.BinarySearch(l.lines, first)
	return i < len(l.lines) && l.lines[i] <= last
}

func (l *pathFinder) note(key, n *yaml.Node) {
	at := nodeKeyOf(n)
	if line := int(at.pos.Line); line != l.line { // fast path: there are many nodes, and maps are slow
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

// pathString is the path as messages have it: pools.web.members[2].
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

// segment is a key as part of a path: quoted where it would be hard to read.
func segment(key *yaml.Node) string {
	if q := quote(key.Value); q[1:len(q)-1] != key.Value || key.Value == "" {
		return q
	}
	return key.Value
}
