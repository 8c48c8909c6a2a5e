// Package yamldoc reads the YAML text of a configuration into nodes, with the position of each, in little memory.
//
// A Document is an outline, of which the nodes of an entry exist only while it is read, or the tree of yaml.v3. Both have
// the same nodes. The package knows no key of a configuration: a Section describes where the many entries are.
package yamldoc

import (
	"cmp"
	"iter"

	"gopkg.in/yaml.v3"

	"meridian/errtext"
)

// Pos is a position in a document. Lines and columns count from 1; columns count characters.
type Pos struct{ Line, Column uint32 }

// Compare orders positions of one file from its beginning.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Error is an error in a document, with a hint at a correct value.
type Error struct {
	Pos        Pos // zero if the error concerns the whole document
	What, Hint string
}

// empty is the error of a file without a value.
const empty = "the file is empty"

// Empty reports whether the error is that the file has no value.
func (e *Error) Empty() bool { return e.What == empty }

// PosOf returns the position of a node.
func PosOf(n *yaml.Node) Pos {
	return Pos{Line: uint32(max(n.Line, 1)), Column: uint32(max(n.Column, 1))}
}

// Pairs returns the keys and values of a mapping, in the order written.
func Pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// Child returns the value of a key of mapping n, or nil if n has no such key.
func Child(n *yaml.Node, name string) *yaml.Node {
	for key, value := range Pairs(n) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

// IsNull reports whether n has no value.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// KindName returns the words for a kind of node.
func KindName(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// Describe returns a short description of n.
func Describe(n *yaml.Node) string {
	switch {
	case IsNull(n):
		return "nothing"
	case n.Kind == yaml.ScalarNode:
		return errtext.Quote(n.Value)
	}
	return KindName(n.Kind)
}
