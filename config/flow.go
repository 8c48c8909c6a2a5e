package config

import (
	"gopkg.in/yaml.v3"
)

// flow reads a collection in brackets: [a, b] or {a: b, c: d}.
func (s *scanner) flow(kind yaml.Kind, tag string, closing byte) *yaml.Node {
	if s.depth++; s.depth > maxDepth {
		return nil
	}
	n := s.slab.node(kind, yaml.FlowStyle, tag, s.line, s.column())
	s.at++
	s.gap()
	if s.peek() != closing && !s.items(n, closing) {
		return nil
	}
	s.at++
	s.depth--
	return n
}

// items reads what n holds, up to the bracket that closes it.
func (s *scanner) items(n *yaml.Node, closing byte) bool {
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

// gap skips what brackets may have between any two things: blanks and line breaks.
func (s *scanner) gap() {
	for s.spaces(); s.peek() == '\n'; s.spaces() {
		s.at++
		s.start = s.at
		s.line++
	}
}

// scalar reads a single value, and for an unquoted one the blanks behind it.
func (s *scanner) scalar(inFlow bool) *yaml.Node {
	if s.slab.full() {
		return nil
	}
	line, column := s.line, s.column()
	switch c := s.peek(); c {
	case '"', '\'':
		text, ok := s.quoted(c)
		if !ok {
			return nil
		}
		style := yaml.DoubleQuotedStyle
		if c == '\'' {
			style = yaml.SingleQuotedStyle
		}
		n := s.slab.node(yaml.ScalarNode, style, "!!str", line, column)
		n.Value = s.words.get(text).text
		return n
	}
	text, ok := s.unquoted(inFlow)
	if !ok {
		return nil
	}
	w := s.words.get(text)
	n := s.slab.node(yaml.ScalarNode, 0, w.plainTag(), line, column)
	n.Value = w.text
	return n
}

// quoted reads a scalar in quotes that has no escape.
func (s *scanner) quoted(quote byte) ([]byte, bool) {
	rest := s.data[s.at+1:]
	for i, c := range rest {
		switch {
		case c == quote:
			s.at += i + 2
			return rest[:i], s.peek() != quote // twice: an escape
		case c == '\\' && quote == '"', c < ' ', c > '~':
			return nil, false
		}
	}
	return nil, false
}

// unquoted reads a scalar up to what may end it: a colon, a comment or the end
// of the line; in brackets also a comma or closing bracket.
func (s *scanner) unquoted(inFlow bool) ([]byte, bool) {
	if !s.begins() {
		return nil, false
	}
	begin := s.at
	for {
		for s.at < len(s.data) && s.plain[s.data[s.at]] {
			s.at++
		}
		end := s.at
		switch c := s.peek(); c {
		case ':':
			if !s.inWord(s.at + 1) {
				return s.data[begin:end], true
			}
			s.at++
		case ' ':
			s.spaces()
			if s.at < len(s.data) && s.plain[s.data[s.at]] {
				continue // a blank inside
			}
			return s.ended(begin, end, inFlow)
		default:
			return s.ended(begin, end, inFlow)
		}
	}
}

// ended is the scalar from begin to end, if what follows may.
func (s *scanner) ended(begin, end int, inFlow bool) ([]byte, bool) {
	switch c := s.peek(); {
	case s.at == len(s.data), c == '\n', inFlow && (c == ',' || c == ']' || c == '}'):
	case c == '#' && s.at > end && !inFlow:
		s.at = end // the comment is told by the blank before it
	default:
		return nil, false
	}
	return s.data[begin:end], true
}

// begins reports whether an unquoted scalar begins here.
func (s *scanner) begins() bool {
	c := s.peek()
	if c != '-' {
		return s.first[c]
	}
	return s.at+1 < len(s.data) && s.first[s.data[s.at+1]] // such as -1
}

// inWord reports whether what is at offset i goes on with a scalar, after a colon.
func (s *scanner) inWord(i int) bool {
	return i < len(s.data) && (s.plain[s.data[i]] || s.data[i] == ':')
}
