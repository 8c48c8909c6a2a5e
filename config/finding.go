package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// place tells a node from all others of its document, and outlasts it: a node
// may be read again, and hold something else in the meantime.
type place struct {
	pos   Pos // of a mapping, also that of its first key
	kind  yaml.Kind
	empty bool // no text marks the place, and something else may begin there
}

func placeOf(n *yaml.Node) place {
	return place{pos: posOf(n), kind: n.Kind, empty: n.Value == ""}
}

// finding is a fault or warning that has no path yet.
type finding struct {
	at         place
	atKey      bool // where it is told is the key of the node, if it has one
	what, hint string
}

// findings are those of one severity.
type findings struct {
	told []finding
	more int // beyond maxTold
}

// maxTold is how many faults, or warnings, a file is told of: one typing error
// in a template makes millions, and a reload must survive it.
const maxTold = 100_000

func (f *findings) add(one finding) {
	if len(f.told) == maxTold {
		f.more++
		return
	}
	f.told = append(f.told, one)
}

func (d *decoder) fault(n *yaml.Node, what, hint string) { d.faultAt(placeOf(n), what, hint) }

func (d *decoder) faultAt(at place, what, hint string) {
	if d.variables[at] == unset {
		return
	}
	d.faults.add(finding{at: at, what: what, hint: hint})
}

// faultAtKey is a fault of n as a whole, such as a key that it lacks.
func (d *decoder) faultAtKey(n *yaml.Node, what, hint string) {
	d.faults.add(finding{at: placeOf(n), atKey: true, what: what, hint: hint})
}

func (d *decoder) warn(n *yaml.Node, what, hint string) { d.warnAt(placeOf(n), what, hint) }

func (d *decoder) warnAt(at place, what, hint string) {
	d.warnings.add(finding{at: at, what: what, hint: hint})
}

// report is what was found, in file order, each with its path.
func (d *decoder) report() (faults, warnings []Fault) {
	if len(d.faults.told) == 0 && len(d.warnings.told) == 0 {
		return nil, nil
	}
	at := d.locate()
	return d.place(d.faults, at, "faults"), d.place(d.warnings, at, "warnings")
}

func (d *decoder) place(found findings, at map[place]location, what string) []Fault {
	var faults []Fault
	for _, f := range found.told {
		where := at[f.at]
		pos := where.node
		if f.atKey {
			pos = where.key
		}
		faults = append(faults, Fault{File: d.file, Pos: pos, Path: where.path, What: f.what + d.variableOf(f.at), Hint: f.hint})
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	faults = slices.Compact(faults) // what an alias repeats is at fault once
	for i := range faults {
		if f := &faults[i]; f.Pos.Line > 0 {
			f.File, f.Pos = d.sources.at(f.Pos)
		}
	}
	if found.more > 0 {
		faults = append(faults, Fault{File: d.file, What: fmt.Sprintf("%d more %s", found.more, what), Hint: "see to these first"})
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
func (d *decoder) locate() map[place]location {
	l := &locator{doc: d.doc, wanted: make(map[place]bool), found: make(map[place]location)}
	for _, findings := range [][]finding{d.faults.told, d.warnings.told} {
		for _, f := range findings {
			l.wanted[f.at] = true
			l.lines = append(l.lines, int(f.at.pos.Line))
		}
	}
	slices.Sort(l.lines)
	l.visit(d.doc.root, d.doc.root)
	return l.found
}

// locator is one walk over a document.
type locator struct {
	doc    *document
	path   []step
	wanted map[place]bool
	found  map[place]location
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
func (l *locator) visit(key, n *yaml.Node) {
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
func (l *locator) wantsAny(first, last int) bool {
	i, _ := slices.BinarySearch(l.lines, first)
	return i < len(l.lines) && l.lines[i] <= last
}

func (l *locator) note(key, n *yaml.Node) {
	at := placeOf(n)
	if line := int(at.pos.Line); line != l.line { // fast path: there are many nodes, and maps are slow
		l.line, l.wants = line, l.wantsAny(line, line)
	}
	if !l.wants {
		return
	}
	if _, known := l.found[at]; known || !l.wanted[at] {
		return
	}
	l.found[at] = location{node: at.pos, key: posOf(key), path: l.written()}
}

// written is the path as messages have it: pools.web.members[2].
func (l *locator) written() string {
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
