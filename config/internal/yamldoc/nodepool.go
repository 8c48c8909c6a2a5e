package yamldoc

import "gopkg.in/yaml.v3"

// nodePool allocates nodes. When used is reset, it reuses them, with the grown capacity of their lists of children.
type nodePool struct {
	blocks []*[nodesPerBlock]yaml.Node // nodes do not move
	used   int
}

const (
	nodesPerBlock = 1024
	maxNodes      = 2 << 20 // in use at once; about 350 MB
)

func (s *nodePool) full() bool { return s.used >= maxNodes }

func (s *nodePool) node(kind yaml.Kind, style yaml.Style, tag string, line, column int) *yaml.Node {
	if s.used/nodesPerBlock == len(s.blocks) {
		s.blocks = append(s.blocks, new([nodesPerBlock]yaml.Node))
	}
	n := &s.blocks[s.used/nodesPerBlock][s.used%nodesPerBlock]
	s.used++
	n.Kind, n.Style, n.Tag, n.Value = kind, style, tag, ""
	n.Content = n.Content[:0]
	n.Line, n.Column = line, column
	return n // no other field is ever set
}
