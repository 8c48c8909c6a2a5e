package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// finding is a fault or warning that has no path yet.
type finding struct {
	node       *yaml.Node
	atKey      bool // the place is the key of node, where it has one
	what, hint string
}

func (d *decoder) fault(n *yaml.Node, what, hint string) {
	d.faults = append(d.faults, finding{node: n, what: what, hint: hint})
}

// faultAtKey is a fault of n as a whole, such as a key that it lacks.
func (d *decoder) faultAtKey(n *yaml.Node, what, hint string) {
	d.faults = append(d.faults, finding{node: n, atKey: true, what: what, hint: hint})
}

func (d *decoder) warn(n *yaml.Node, what, hint string) {
	d.warnings = append(d.warnings, finding{node: n, what: what, hint: hint})
}

// report is what was found, in file order, each with its path.
func (d *decoder) report() (faults, warnings []Fault) {
	if len(d.faults) == 0 && len(d.warnings) == 0 {
		return nil, nil
	}
	at := d.locate()
	return d.place(d.faults, at), d.place(d.warnings, at)
}

func (d *decoder) place(findings []finding, at map[*yaml.Node]location) []Fault {
	var faults []Fault
	for _, f := range findings {
		where := at[f.node]
		pos := where.node
		if f.atKey {
			pos = where.key
		}
		faults = append(faults, Fault{File: d.file, Pos: pos, Path: where.path, What: f.what, Hint: f.hint})
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return slices.Compact(faults) // what an alias repeats is at fault once
}

// location is where a node stands.
type location struct {
	node, key Pos // key: of the key that leads to the node; the node's own in lists
	path      string
}

// locate finds the places of all nodes that something was found at.
func (d *decoder) locate() map[*yaml.Node]location {
	wanted := make(map[*yaml.Node]bool)
	for _, f := range d.faults {
		wanted[f.node] = true
	}
	for _, f := range d.warnings {
		wanted[f.node] = true
	}
	l := &locator{wanted: wanted, found: make(map[*yaml.Node]location)}
	l.visit(d.root, d.root)
	return l.found
}

// locator is one walk over a document.
type locator struct {
	path   []string
	wanted map[*yaml.Node]bool
	found  map[*yaml.Node]location
}

// visit notes n, which key leads to, and what is below it.
func (l *locator) visit(key, n *yaml.Node) {
	l.note(key, n)
	switch n.Kind {
	case yaml.MappingNode:
		for k, value := range pairs(n) {
			l.push("."+segment(k), func() {
				l.note(k, k)
				l.visit(k, value)
			})
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			l.push(fmt.Sprintf("[%d]", i), func() { l.visit(item, item) })
		}
	}
}

func (l *locator) push(segment string, then func()) {
	l.path = append(l.path, segment)
	then()
	l.path = l.path[:len(l.path)-1]
}

func (l *locator) note(key, n *yaml.Node) {
	if _, known := l.found[n]; known || !l.wanted[n] {
		return
	}
	path := strings.TrimPrefix(strings.Join(l.path, ""), ".")
	l.found[n] = location{node: posOf(n), key: posOf(key), path: path}
}

// segment is a key as part of a path: quoted where it would be hard to read.
func segment(key *yaml.Node) string {
	if q := quote(key.Value); q[1:len(q)-1] != key.Value || key.Value == "" {
		return q
	}
	return key.Value
}
