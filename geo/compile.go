package geo

import "errors"

// compiler merges the sources into one trie of rankings for one family: what
// networks says, below it the database, below that the built-in table, and the
// default region's ranking where nothing is known. It walks all three at once.
type compiler struct {
	*sources
	ids    []uint32 // ranking of each place
	v4     bool
	trie       // what comes out: leaves are rankings, with apartFlag where private
	budget int // nodes of the database that may still be visited
	err    error
}

// errLoop is what a database is refused with whose search tree leads in circles.
var errLoop = errors.New("is broken: its search tree is not a tree")

// maxVisitsPerNode is how often each node of a database may be visited, on average,
// before it is taken for a loop; a real tree has each node once, and IPv4 as well
// under a few other prefixes.
const maxVisitsPerNode = 16

// compile is the root of the merged trie of one family.
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

// noCountry is a country of nobody's: what the built-in table says of private space,
// where its source has errors, is passed over.
const noCountry ref = 0

// overlay is what is known of a prefix of depth bits where networks says own,
// the database r, and the built-in table home.
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

// halve is the halves of a record: those of a leaf are like it.
func (c *compiler) halve(r record) (a, b record) {
	if c.db == nil || !c.db.isNode(r) {
		return r, r
	}
	if !c.v4 && c.db.alias(r) {
		return record(c.db.nodes), record(c.db.nodes)
	}
	return c.db.split(r)
}

// known is what the database and the built-in table know of a prefix of depth bits.
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

// homes is what the built-in table knows.
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
