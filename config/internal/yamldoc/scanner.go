package yamldoc

import "gopkg.in/yaml.v3"

// scanner reads plain YAML into the same nodes as yaml.v3, without comments: mappings and lists in blocks or in
// brackets; keys on the line of their colon; scalars on one line, unquoted of a limited character set or quoted without
// escapes, in ASCII. It never guesses: it rejects all other text, and every error, by nil in place of a node, and
// yaml.v3 then parses the text. Nodes are valid until the node pool reuses them.
type scanner struct {
	lineScanner
	at    int // offset of the next character; on the line, but after nextLine at its content
	depth int // number of enclosing collections
	nodes nodePool
	words Words
	plain octets // characters of an unquoted scalar
	first octets // first characters of an unquoted scalar

	items *ItemReader // of a list in the entries; nil: all lists are read as nodes
	list  itemList    // read last
}

// maxDepth limits the nesting of collections.
const maxDepth = 32

// maxKey is the longest key, in octets; YAML has a limit of 1024.
const maxKey = 1000

// octets is a set of octets.
type octets [256]bool

func (o *octets) add(all string) {
	for i := range len(all) {
		o[all[i]] = true
	}
}

func newScanner() *scanner {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	s := new(scanner)
	s.first.add(digits + letters + "._/+=$^()~\\")
	s.plain = s.first
	s.plain.add("-@%*;")
	return s
}

// begin moves to the content of the first line of p.
func (s *scanner) begin(data []byte, p lineSpan) {
	s.lineScanner = lineScanner{data: data[:p.end], start: p.begin, line: p.first}
	s.depth = 0
	s.list.node = nil
	s.skipBlank()
	s.at = s.start + s.indent
}

// entry reads a key and its value, which are the whole text.
func (s *scanner) entry() (key, value *yaml.Node) {
	indent := s.indent
	if key = s.key(); key == nil {
		return nil, nil
	}
	value = s.value(indent)
	if value == nil || s.indent != pastLast {
		return nil, nil
	}
	return key, value
}

// nextLine moves from the line, if only a comment is left of it, to the next one with content.
func (s *scanner) nextLine() bool {
	from := s.at
	s.spaces()
	if !s.lineEnds(from) {
		return false
	}
	s.finishLine(s.at)
	s.skipBlank()
	s.at = s.start + max(s.indent, 0)
	return true
}

// lineEnds reports whether only blanks and a comment are left on the line from the offset from on.
func (s *scanner) lineEnds(from int) bool {
	c := s.peek()
	return s.at >= len(s.data) || c == '\n' || c == '#' && s.at > from
}

// peek returns the next character, or 0 at the end: no text contains 0.
func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) spaces() {
	for s.at < len(s.data) && s.data[s.at] == ' ' {
		s.at++
	}
}

func (s *scanner) column() int { return s.at - s.start + 1 }

// block reads the collection that begins with the line.
func (s *scanner) block() *yaml.Node {
	if s.dash() {
		return s.sequence(s.indent)
	}
	indent := s.indent
	key := s.key()
	if key == nil {
		return nil
	}
	return s.mapping(indent, key)
}

// mapping reads a mapping after its first key; its keys are at indent.
func (s *scanner) mapping(indent int, key *yaml.Node) *yaml.Node {
	if s.depth++; s.depth > maxDepth {
		return nil
	}
	n := s.nodes.node(yaml.MappingNode, 0, "!!map", key.Line, key.Column)
	for {
		value := s.valueOf(key, indent)
		if value == nil {
			return nil
		}
		n.Content = append(n.Content, key, value)
		if s.indent != indent {
			break
		}
		if key = s.key(); key == nil {
			return nil
		}
	}
	s.depth--
	return n
}

// valueOf is value, for a key that may have the list of an ItemReader.
func (s *scanner) valueOf(key *yaml.Node, indent int) *yaml.Node {
	if s.items != nil && s.depth == 1 && s.list.node == nil && key.Value == s.items.Key {
		if list := s.itemList(indent); list != nil {
			return list
		}
	}
	return s.value(indent)
}

// sequence reads a list with dashes at indent.
func (s *scanner) sequence(indent int) *yaml.Node {
	if s.depth++; s.depth > maxDepth {
		return nil
	}
	n := s.nodes.node(yaml.SequenceNode, 0, "!!seq", s.line, s.column())
	for s.indent == indent && s.dash() {
		s.at++
		item := s.item(indent)
		if item == nil {
			return nil
		}
		n.Content = append(n.Content, item)
	}
	s.depth--
	return n
}

// key reads a key and its colon.
func (s *scanner) key() *yaml.Node {
	key := s.scalar(false)
	if key == nil || !s.colon(key) {
		return nil
	}
	return key
}

// colon reads the colon that makes the scalar before it a key.
func (s *scanner) colon(key *yaml.Node) bool {
	if s.peek() != ':' || len(key.Value) > maxKey {
		return false
	}
	s.at++
	c := s.peek()
	return c == ' ' || c == '\n' || s.at == len(s.data)
}

// value reads the value of a key at indent, from after its colon, and moves past its lines: the next one has the same
// or a smaller indentation.
func (s *scanner) value(indent int) *yaml.Node {
	line, column := s.line, s.column()
	if s.nextLine() {
		if s.indent == indent && s.dash() {
			return s.sequence(indent)
		}
		return s.below(indent, line, column)
	}
	return s.last(indent, s.inline(false))
}

// item reads the value of a dash at indent, as value does.
func (s *scanner) item(indent int) *yaml.Node {
	line, column := s.line, s.column()
	if s.nextLine() {
		return s.below(indent, line, column)
	}
	column = s.column()
	n := s.inline(false)
	if n != nil && n.Kind == yaml.ScalarNode && s.colon(n) {
		n = s.mapping(column-1, n)
		if s.indent > indent {
			return nil
		}
		return n
	}
	return s.last(indent, n)
}

// below reads the collection on the lines below an indicator, if there is one.
func (s *scanner) below(indent, line, column int) *yaml.Node {
	if s.indent <= indent {
		return s.nodes.node(yaml.ScalarNode, 0, "!!null", line, column)
	}
	n := s.block()
	if s.indent > indent {
		return nil
	}
	return n
}

// last returns n if the line ends after it and no text continues below.
func (s *scanner) last(indent int, n *yaml.Node) *yaml.Node {
	if n == nil || !s.nextLine() || s.indent > indent {
		return nil
	}
	return n
}

// inline reads a scalar, or a collection in brackets.
func (s *scanner) inline(inFlow bool) *yaml.Node {
	switch s.peek() {
	case '[':
		return s.flow(yaml.SequenceNode, "!!seq", ']')
	case '{':
		return s.flow(yaml.MappingNode, "!!map", '}')
	}
	return s.scalar(inFlow)
}
