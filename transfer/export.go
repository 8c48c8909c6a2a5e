package transfer

import (
	"bufio"
	"fmt"
	"io"

	"meridian/dnsname"
	"meridian/zones"
)

// WriteMasterFile writes the zone as a master file: the records of a transfer, those of balanced names with a comment.
func (c *Content) WriteMasterFile(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "; zone %s serial %d\n", c.apex(), c.Serial())
	fmt.Fprintln(out, c.SOA())
	for set := range c.sets {
		comment := ""
		if c.balanced(&set) {
			comment = "\t; balanced"
		}
		for data := range set.RDATA() {
			r := record(&set, data)
			fmt.Fprintf(out, "%s%s\n", r, comment)
		}
	}
	return out.Flush() // with the first error of all
}

// balanced reports whether a set is the answer of a pool.
func (c *Content) balanced(set *zones.OwnedSet) bool {
	if c.signed != nil {
		return false // the snapshot is not known any more
	}
	node, ok := c.data.NodeIn(c.zone, dnsname.Wire(set.Owner).Folded())
	if !ok {
		return false
	}
	_, bound := c.data.BindingID(node)
	_, static := c.data.RRset(node, set.Type)
	return bound && !static
}
