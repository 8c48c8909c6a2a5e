package yamldoc

import (
	"gopkg.in/yaml.v3"
)

// flow reads a collection in brackets: [a, b] or {a: b, c: d}.
func (s *scanner) flow(kind yaml.Kind, tag string, closing byte) *yaml.Node {
	if s.depth++; s.depth > maxDepth {
		return nil
	}
	n := s.nodes.node(kind, yaml.FlowStyle, tag, s.line, s.column())
	s.at++
	s.gap()
	if s.peek() != closing && !s.flowItems(n, closing) {
		return nil
	}
	s.at++
	s.depth--
	return n
}

// flowItems reads the items of n up to the closing bracket.
func (s *scanner) flowItems(n *yaml.Node, closing byte) bool {
	for {
		if n.Kind == yaml.MappingNode {
			key := s.scalar(true)
			if key == nil || !s.colon(key) {
				return false
			}
			s.spaces()
			n.Content = append(n.Content, key)
		}
		item := s.inline(true)
		if item == nil {
			return false
		}
		n.Content = append(n.Content, item)
		s.gap()
		switch s.peek() {
		case closing:
			return true
		case ',':
			s.at++
			s.gap()
		default:
			return false
		}
	}
}

// gap skips blanks and line breaks inside brackets.
func (s *scanner) gap() {
	for s.spaces(); s.peek() == '\n'; s.spaces() {
		s.at++
		s.start = s.at
		s.line++
	}
}
