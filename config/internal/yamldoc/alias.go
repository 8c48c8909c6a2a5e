package yamldoc

import (
	"fmt"
	"strings"

	"meridian/errtext"

	"gopkg.in/yaml.v3"
)

// The limits of aliases: they may make a document at most maxGrowth times as large as written, plus freeGrowth nodes.
// That is enough for any shared block and stops "billion laughs".
const (
	maxGrowth  = 10
	freeGrowth = 1000
)

// expand replaces aliases by the nodes that they refer to and merge keys ("<<") by the keys of the merged mappings, so
// that the decoder handles neither. Shared nodes stay shared: the tree becomes a graph without cycles. expand rejects
// tags other than those of plain YAML.
func expand(root *yaml.Node) *Error {
	x := &expander{
		sizes: make(map[*yaml.Node]int),
		limit: maxGrowth*count(root) + freeGrowth,
	}
	x.expandBelow(root)
	return x.err
}

// count returns the number of nodes of a document as written.
func count(n *yaml.Node) int {
	nodes := 1
	for _, child := range n.Content {
		nodes += count(child)
	}
	return nodes
}

// expander walks over a document and stops at the first error.
type expander struct {
	sizes    map[*yaml.Node]int // size of each anchored node in nodes with all aliases followed; underWay while visiting it
	expanded int                // nodes that aliases have added
	limit    int                // upper limit of expanded
	err      *Error
}

// underWay marks a node that is still being visited.
const underWay = -1

// expandBelow expands the nodes below n and returns the size of n.
func (x *expander) expandBelow(n *yaml.Node) int {
	if n.Style&yaml.TaggedStyle != 0 && !plainTag(n.Tag) {
		x.fail(n, "tag "+errtext.Quote(n.Tag)+" is not known", "leave the tag out")
	}
	if n.Anchor != "" {
		x.sizes[n] = underWay
	}
	size := 1
	for i, child := range n.Content {
		if x.err != nil {
			return size
		}
		if child.Kind == yaml.AliasNode {
			n.Content[i] = child.Alias
			size += x.followAlias(child)
		} else {
			size += x.expandBelow(child)
		}
	}
	if n.Kind == yaml.MappingNode {
		x.merge(n)
	}
	if n.Anchor != "" {
		x.sizes[n] = size
	}
	return size
}

// followAlias counts the nodes that an alias adds. The limit also prevents integer overflow: nothing is added after the
// limit is passed.
func (x *expander) followAlias(alias *yaml.Node) int {
	size := x.sizes[alias.Alias]
	if size == underWay {
		x.fail(alias, "alias "+errtext.Quote("*"+alias.Value)+" is inside its own anchor", "an anchor cannot contain itself")
		return 0
	}
	x.expanded += size
	if x.expanded > x.limit {
		x.fail(alias,
			fmt.Sprintf("aliases make the document more than %d times as large as it is written", maxGrowth),
			"write their values out")
	}
	return size
}

// merge replaces the merge keys of n by the keys of the merged mappings: the own keys of n win, then those of the
// mapping named first.
func (x *expander) merge(n *yaml.Node) {
	if !hasMerge(n) || x.err != nil {
		return
	}
	var own []*yaml.Node
	var merged []*yaml.Node // mappings
	for key, value := range Pairs(n) {
		if key.Tag != mergeTag {
			own = append(own, key, value)
			continue
		}
		switch value.Kind {
		case yaml.MappingNode:
			merged = append(merged, value)
		case yaml.SequenceNode:
			merged = append(merged, value.Content...)
		default:
			x.fail(value, "\"<<\" merges "+Describe(value), "it takes a mapping or a list of mappings")
		}
	}
	seen := make(map[string]bool)
	for i := 0; i < len(own); i += 2 {
		seen[own[i].Value] = true
	}
	for _, from := range merged {
		if from.Kind != yaml.MappingNode {
			x.fail(from, "\"<<\" merges "+Describe(from), "it takes a mapping or a list of mappings")
			return
		}
		for key, value := range Pairs(from) {
			if !seen[key.Value] {
				seen[key.Value] = true
				own = append(own, key, value)
			}
		}
	}
	n.Content = own
}

// mergeTag is the tag that the parser gives to an unquoted "<<".
const mergeTag = "!!merge"

func hasMerge(n *yaml.Node) bool {
	for key := range Pairs(n) {
		if key.Tag == mergeTag {
			return true
		}
	}
	return false
}

func (x *expander) fail(n *yaml.Node, what, hint string) {
	if x.err == nil {
		x.err = &Error{Pos: PosOf(n), What: what, Hint: hint}
	}
}

func plainTag(tag string) bool {
	name, ok := strings.CutPrefix(tag, "!!")
	if !ok {
		return false
	}
	switch name {
	case "str", "int", "float", "bool", "null", "map", "seq", "merge":
		return true
	}
	return false
}
