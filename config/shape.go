package config

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// shapes records what the decoder accepts at each node, while [Schema] reads documents that it made. A nil *shapes
// records nothing: that is the case for every configuration that is loaded.
type shapes struct {
	of map[*yaml.Node]*shape
}

// shape describes the content that the decoder accepts at one node.
type shape struct {
	seen       bool     // the decoder has looked at the node
	rejected   bool     // the node is of another kind than the decoder wants
	keys       []string // of a mapping with fixed keys: those that it accepts; nil: another value
	userKeys   bool     // a mapping with keys that the user chooses
	entered    bool     // the value of a key that the user chose
	required   []string // keys that the mapping lacks
	exactlyOne []oneOfKeys
	scalar     map[string]any // the schema of a scalar, if it is not any text
}

// oneOfKeys are keys of which a mapping has exactly one, or none if it has another key.
type oneOfKeys struct {
	keys  []string
	other string // empty: none may stand in for them
}

func (o oneOfKeys) equal(p oneOfKeys) bool { return o.other == p.other && slices.Equal(o.keys, p.keys) }

func newShapes() *shapes { return &shapes{of: make(map[*yaml.Node]*shape)} }

// at returns the shape of a node, to be completed.
func (s *shapes) at(n *yaml.Node) *shape {
	of := s.of[n]
	if of == nil {
		of = new(shape)
		s.of[n] = of
	}
	return of
}

func (s *shapes) see(n *yaml.Node) {
	if s != nil {
		s.at(n).seen = true
	}
}

func (s *shapes) reject(n *yaml.Node) {
	if s != nil {
		s.at(n).rejected = true
	}
}

func (s *shapes) mapping(n *yaml.Node, keys []field) {
	if s != nil {
		s.at(n).keys = append([]string{}, accepted(keys)...)
	}
}

func (s *shapes) userMapping(n *yaml.Node) {
	if s != nil {
		s.at(n).userKeys = true
	}
}

func (s *shapes) entry(value *yaml.Node) {
	if s != nil {
		s.at(value).entered = true
	}
}

func (s *shapes) require(n *yaml.Node, key string) {
	if s != nil {
		s.at(n).required = append(s.at(n).required, key)
	}
}

func (s *shapes) oneKey(n *yaml.Node, group oneOfKeys) {
	if s != nil {
		s.at(n).exactlyOne = append(s.at(n).exactlyOne, group)
	}
}

// scalarIs records the schema of a scalar.
func (s *shapes) scalarIs(n *yaml.Node, schema map[string]any) { s.at(n).scalar = schema }
