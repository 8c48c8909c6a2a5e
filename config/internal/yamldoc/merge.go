package yamldoc

import (
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/errtext"
)

// Tree returns a document that is no outline, of the trees that AddTree adds.
func Tree(data []byte) *Document { return &Document{data: data} }

// AddTree adds the tree of a file, after files with so many lines.
func (doc *Document) AddTree(root *yaml.Node, lines int) {
	shiftLines(root, lines)
	doc.add(root)
}

// add adds the root of a file to those of the files before it.
func (doc *Document) add(root *yaml.Node) {
	switch {
	case doc.Root == nil:
		doc.Root = root
	case root != nil:
		doc.merge(doc.Root, root)
	}
}

// merge adds the entries of mapping b of another file to a. Mappings under the same key are merged; other keys that
// both have are then present twice.
func (doc *Document) merge(a, b *yaml.Node) {
	values := make(map[string]*yaml.Node, len(a.Content)/2)
	for key, value := range Pairs(a) {
		values[key.Value] = value
	}
	for key, value := range Pairs(b) {
		mine := values[key.Value]
		if mine != nil && mine.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode {
			doc.mergeMappings(mine, key, value)
		} else {
			a.Content = append(a.Content, key, value)
		}
	}
}

// mergeMappings adds the entries of value, which is under key, to mine.
func (doc *Document) mergeMappings(mine, key, value *yaml.Node) {
	to, from := doc.lazyIndex(mine), doc.lazyIndex(value)
	switch {
	case to < 0 && from < 0:
		doc.merge(mine, value)
	case to >= 0 && from >= 0:
		s := &doc.lazy[from]
		doc.lazy[to].more = append(append(doc.lazy[to].more, sectionText{s.text, s.indent}), s.more...)
		doc.lazy = slices.Delete(doc.lazy, from, from+1)
	default:
		doc.FallBack(PosOf(key), errtext.Quote(key.Value)+" in brackets in one file and in a block in another")
	}
}
