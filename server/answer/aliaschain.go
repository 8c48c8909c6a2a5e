package answer

import (
	"bytes"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// maxChain is the maximum number of names that an answer may pass through.
const maxChain = 16

// aliasChain holds the names that an answer passes through after the question's, each the target
// of a CNAME record. It has no pointers and is reused.
type aliasChain struct {
	n       int
	targets [maxChain]aliasTarget
	last    [2][dnsname.MaxSize]byte // the current name in its original spelling, and room for the next
	dnames  dnameUses
}

// reset begins another answer.
func (c *aliasChain) reset() { c.n, c.dnames.n = 0, 0 }

// dnameUses holds the DNAME records of an answer. Each is in the answer once, however many names it renames (RFC 6672
// 3.1); if it makes a name longer each time, the chain is a loop.
type dnameUses struct {
	n    int
	uses [maxChain]dnameUse
}

// dnameUse is a DNAME record, by its node, and the length of the last name's part before its owner.
type dnameUse struct {
	node   zones.NodeID
	prefix int
}

// add records a use. It returns whether the record is already in the answer, and whether the chain loops.
func (d *dnameUses) add(node zones.NodeID, prefix int) (again, loops bool) {
	for i := range d.n {
		if use := &d.uses[i]; use.node == node {
			loops = prefix > use.prefix
			use.prefix = prefix
			return true, loops
		}
	}
	d.uses[d.n] = dnameUse{node, prefix}
	d.n++
	return false, false
}

// aliasTarget is the target of a CNAME record.
type aliasTarget struct {
	offset int // of the name in the message
	size   int
	name   [dnsname.MaxSize]byte // in lower case
}

func (t *aliasTarget) folded() []byte { return t.name[:t.size] }

// follow adds a target at offset of the message. It returns false if the chain ends because the
// target is already part of it.
func (c *aliasChain) follow(question []byte, target dnsname.Wire, offset int) bool {
	t := &c.targets[c.n]
	t.offset, t.size = offset, len(target)
	for i, b := range target {
		t.name[i] = dnsname.Lower(b)
	}
	if bytes.Equal(t.folded(), question) {
		return false
	}
	for i := range c.n {
		if bytes.Equal(t.folded(), c.targets[i].folded()) {
			return false
		}
	}
	c.n++
	return true
}

// place returns the offset in the message of a name that equals the question's name or a target,
// or is an ancestor of one. The root is shorter than a pointer and is not found. The name is in
// lower case.
func (c *aliasChain) place(question, name []byte) (offset int, ok bool) {
	if at, ok := ancestorOf(question, name); ok {
		return questionName + at, true
	}
	for i := range c.n {
		if at, ok := ancestorOf(c.targets[i].folded(), name); ok {
			return c.targets[i].offset + at, true
		}
	}
	return 0, false
}

// spell copies a name into the chain, where it stays valid until the name after the next.
func (c *aliasChain) spell(parts ...[]byte) dnsname.Wire {
	buf := c.last[c.n&1][:0]
	for _, part := range parts {
		buf = append(buf, part...)
	}
	return buf
}

// ancestorOf finds the offset of owner in name; both are in lower case. The root is shorter than
// a pointer to it and is not searched for.
func ancestorOf(name, owner []byte) (at int, ok bool) {
	for ; name[at] != 0; at += 1 + int(name[at]) {
		if len(name)-at == len(owner) {
			return at, bytes.Equal(name[at:], owner)
		}
	}
	return 0, false
}

// fastAlias adds the CNAME of set and returns its target.
func (r *Responder) fastAlias(a *reply, match zones.Match, set zones.RRset) dnsname.Wire {
	a.flags |= flagAA
	a.rrset(answerSection, set, a.owner)
	a.target = len(a.out) - a.base - (len(set.Data) - 2)
	if a.signs {
		r.sign(a, answerSection, signee{match.Zone, match.Node, a.name}, a.owner, set, set.TTL)
	}
	return r.chain.spell(set.Data[2:])
}

// fastSynthesis adds the DNAME of match, an ancestor of the current name, and the CNAME
// synthesized from it (RFC 6672 3.1), and returns the name to continue with. A name that is too
// long gives YXDOMAIN (3.2). A loop ends the answer.
func (r *Responder) fastSynthesis(a *reply, current dnsname.Wire, match zones.Match) dnsname.Wire {
	node := match.Node
	q, data := &r.query, r.at.active.zones
	above := data.NodeName(node)
	set, _ := data.RRset(node, dns.TypeDNAME)
	prefix, target := current[:len(current)-len(above)], set.Data[2:]
	again, loops := r.chain.dnames.add(node, len(prefix))
	if loops {
		return nil
	}
	a.flags |= flagAA
	if !again {
		at := r.pointTo(above)
		a.rrset(answerSection, set, at)
		if a.signs {
			r.sign(a, answerSection, signee{match.Zone, node, above}, at, set, set.TTL)
		}
	}
	if len(prefix)+len(target) > dnsname.MaxSize {
		a.rcode = dns.RcodeYXDomain
		return nil
	}
	next := r.chain.spell(prefix, target)
	a.cname(next, set.TTL)
	if q.qtype == dns.TypeCNAME {
		return nil
	}
	return next
}

// pointTo returns the offset of the name in the message: the current name or an ancestor. It
// returns 0 for the root.
func (r *Responder) pointTo(name []byte) int {
	if r.chain.n == 0 { // the common case
		if len(name) == 1 {
			return 0
		}
		return questionName + len(r.query.name) - len(name)
	}
	offset, _ := r.chain.place(r.query.name, name)
	return offset
}
