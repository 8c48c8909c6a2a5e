package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Aliases may make a document at most maxGrowth times as large as it is
// written, give or take freeGrowth nodes: enough for any shared block, and the
// end of "billion laughs".
const (
	maxGrowth  = 10
	freeGrowth = 1000
)

// expand replaces aliases by what they stand for and merge keys ("<<") by the
// keys that they bring, so that decoding knows neither. Shared nodes stay
// shared: the tree becomes a graph without cycles. Tags other than those of
// plain YAML are refused.
func expand(root *yaml.Node) *Error {
	x := &expander{
		sizes: make(map[*yaml.Node]int),
		limit: maxGrowth*count(root) + freeGrowth,
	}
	x.visit(root)
	return x.err
}

// count is the number of nodes of a document as it is written.
func count(n *yaml.Node) int {
	nodes := 1
	for _, child := range n.Content {
		nodes += count(child)
	}
	return nodes
}

// expander is one walk over a document, which ends at the first fault.
type expander struct {
	sizes    map[*yaml.Node]int // of anchored nodes, in nodes with all aliases followed; underWay inside one
	expanded int                // nodes that aliases have added
	limit    int                // the most that they may
	err      *Error
}

// underWay is the size of a node whose end is not reached yet.
const underWay = -1

// visit expands what is below n and returns its size.
func (x *expander) visit(n *yaml.Node) int {
	if n.Style&yaml.TaggedStyle != 0 && !plainTag(n.Tag) {
		x.fail(n, "tag "+quote(n.Tag)+" is not known", "leave the tag out")
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
			size += x.follow(child)
		} else {
			size += x.visit(child)
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

// follow counts what an alias adds. The limit also keeps sizes from growing
// beyond what an int holds: nothing is added up after it is passed.
func (x *expander) follow(alias *yaml.Node) int {
	size := x.sizes[alias.Alias]
	if size == underWay {
		x.fail(alias, "alias "+quote("*"+alias.Value)+" stands inside its own anchor", "an anchor cannot hold itself")
		return 0
	}
	x.expanded += size
	if x.expanded > x.limit {
		x.fail(alias,
			fmt.Sprintf("aliases make the document more than %d times as large as it is written", maxGrowth),
			"write out what they stand for")
	}
	return size
}

// merge puts in place of the merge keys of n the keys that they bring: keys
// of n's own win, then those of the mapping named first.
func (x *expander) merge(n *yaml.Node) {
	if !hasMerge(n) || x.err != nil {
		return
	}
	var own []*yaml.Node
	var merged []*yaml.Node // mappings
	for key, value := range pairs(n) {
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
			x.fail(value, "\"<<\" merges "+describe(value), "it takes a mapping or a list of mappings")
		}
	}
	seen := make(map[string]bool)
	for i := 0; i < len(own); i += 2 {
		seen[own[i].Value] = true
	}
	for _, from := range merged {
		if from.Kind != yaml.MappingNode {
			x.fail(from, "\"<<\" merges "+describe(from), "it takes a mapping or a list of mappings")
			return
		}
		for key, value := range pairs(from) {
			if !seen[key.Value] {
				seen[key.Value] = true
				own = append(own, key, value)
			}
		}
	}
	n.Content = own
}

// mergeTag is what the parser gives an unquoted "<<".
const mergeTag = "!!merge"

func hasMerge(n *yaml.Node) bool {
	for key := range pairs(n) {
		if key.Tag == mergeTag {
			return true
		}
	}
	return false
}

func (x *expander) fail(n *yaml.Node, what, hint string) {
	if x.err == nil {
		x.err = &Error{Pos: posOf(n), What: what, Hint: hint}
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
