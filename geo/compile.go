package geo

import "errors"

// compiler merges the sources into one trie of rankings for one family. networks comes first, then the database, then
// the built-in table. Where none of them has a location, the leaf is the default region's ranking. It walks all three
// at once.
type compiler struct {
	*sources
	ids    []uint32 // ranking of each place
	v4     bool
	trie       // the result: leaves are rankings, with privateFlag where private
	budget int // nodes of the database that may still be visited
	err    error
}

// errLoop reports a database with a cycle in its search tree.
var errLoop = errors.New("is broken: its search tree is not a tree")

// maxVisitsPerNode bounds the average visits of a database node; above it, the tree has a cycle. A real tree visits
// each node once, and IPv4 again under a few other prefixes.
const maxVisitsPerNode = 16

// compile returns the root of the merged trie of one family.
func (c *compiler) compile() (root ref, err error) {
	b, own := c.builtin.roots, c.networks.roots
	if c.db == nil {
		return c.overlay(*own.of(c.v4), 0, *b.of(c.v4), 0), nil
	}
	c.budget = maxVisitsPerNode * int(c.db.nodes)
	err = recoverFault(func() error {
		root = c.overlay(*own.of(c.v4), c.db.start(c.v4), *b.of(c.v4), 0)
		return c.err
	})
	return root, err
}

// noCountry is the built-in table's value for no country. The table may contain private space by error of its source;
// the compiler ignores that.
const noCountry ref = 0

// overlay merges a prefix of depth bits: own is from networks, r from the database, home from the built-in table.
func (c *compiler) overlay(own ref, r record, home ref, depth int) ref {
	if own.isLeaf() {
		switch own {
		case unset:
			return c.known(r, home, 0, depth)
		case privateRange:
			return c.known(r, noCountry, privateFlag, depth)
		default:
			return ref(c.ids[c.override[own-firstOverride]])
		}
	}
	ownA, ownB := c.networks.split(own)
	rA, rB := c.halve(r)
	homeA, homeB := c.builtin.split(home)
	a := c.overlay(ownA, rA, homeA, depth+1)
	b := c.overlay(ownB, rB, homeB, depth+1)
	return c.join(a, b)
}

// halve returns the halves of a record. The halves of a leaf equal the leaf.
func (c *compiler) halve(r record) (a, b record) {
	if c.db == nil || !c.db.isNode(r) {
		return r, r
	}
	if !c.v4 && c.db.alias(r) {
		return record(c.db.nodes), record(c.db.nodes)
	}
	return c.db.split(r)
}

// known merges the database and the built-in table for a prefix of depth bits.
func (c *compiler) known(r record, home ref, flag ref, depth int) ref {
	if c.db == nil {
		return c.homes(home, flag)
	}
	if !c.db.isNode(r) {
		if offset, ok := c.db.offset(r); ok {
			place, ok := c.place(offset)
			if !ok {
				c.err, c.budget = errOverwritten, 0
				return 0
			}
			if place != defaultPoint {
				return ref(c.ids[place]) | flag
			}
		}
		return c.homes(home, flag)
	}
	if !c.v4 && c.db.alias(r) {
		return c.homes(home, flag)
	}
	if c.budget--; c.budget < 0 || depth == c.width() {
		if c.err == nil {
			c.err = errLoop
		}
		c.budget = 0
		return 0
	}
	rA, rB := c.db.split(r)
	homeA, homeB := c.builtin.split(home)
	a := c.known(rA, homeA, flag, depth+1)
	b := c.known(rB, homeB, flag, depth+1)
	return c.join(a, b)
}

// homes returns the trie of the built-in table's rankings.
func (c *compiler) homes(home ref, flag ref) ref {
	if home.isLeaf() {
		return ref(c.ids[c.builtinCountry[home.value()]]) | flag
	}
	homeA, homeB := c.builtin.split(home)
	a := c.homes(homeA, flag)
	b := c.homes(homeB, flag)
	return c.join(a, b)
}

func (c *compiler) width() int {
	if c.v4 {
		return bitsV4
	}
	return bitsV6
}
