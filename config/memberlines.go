package config

import (
	"fmt"
	"hash/maphash"
	"net/netip"

	"gopkg.in/yaml.v3"
)

// memberList is a list of members in the form that programs write for large files, one per line:
//
//   - {name: us-1, region: us, weight: 70, addresses: [192.0.2.1, "2001:db8::1"]}
//
// It is read from the text directly into Members, without a node for each word, which takes a quarter of the time. The
// plain version is the list as nodes. Like the scanner it never guesses: a list with a line in any other form, or with
// an error, is rejected and read as nodes.
type memberList struct {
	list      *yaml.Node // represents the list, without content; nil: none
	from      scannerAt  // position of the list
	indent    int        // of its key
	members   []Member   // without the defaults of the pool
	addresses []netip.Addr
}

// scannerAt is a position that a scanner can return to.
type scannerAt struct {
	lineScanner
	at, depth int
}

// memberList reads the members under a key at indent, from after its colon. If it rejects them, it returns nil and restores
// the position.
func (s *scanner) memberList(indent int) *yaml.Node {
	from := scannerAt{s.lineScanner, s.at, s.depth}
	list := &s.lines
	list.members, list.addresses = list.members[:0], list.addresses[:0]
	if !s.nextLine() || s.indent < indent || !s.dash() {
		s.back(from)
		return nil
	}
	line, column, own := s.line, s.column(), s.indent
	for s.indent == own && s.dash() {
		list.members = append(list.members, s.member)
		if !s.memberLine(&list.members[len(list.members)-1]) || !s.nextLine() {
			s.back(from)
			return nil
		}
	}
	if s.indent > indent {
		s.back(from)
		return nil
	}
	list.list = s.nodes.node(yaml.SequenceNode, 0, "!!seq", line, column)
	list.from, list.indent = from, indent
	return list.list
}

func (s *scanner) back(to scannerAt) { s.lineScanner, s.at, s.depth = to.lineScanner, to.at, to.depth }

// expandNodes adds to the list its nodes after all. It returns false if there is no room for them.
func (s *scanner) expandNodes() bool {
	list := s.lines.list
	s.lines.list = nil
	s.back(s.lines.from)
	n := s.value(s.lines.indent)
	if n == nil {
		return false
	}
	list.Content = append(list.Content, n.Content...)
	return true
}

// The keys of a member that a member list may have.
const (
	hasName = 1 << iota
	hasRegion
	hasAddresses
	hasWeight
	hasCheck
	hasEnabled
)

// memberLine reads the member on the line, from its dash to its closing bracket. Check is as written: empty if absent,
// "none" for none.
func (s *scanner) memberLine(m *Member) bool {
	if !s.take("- {") {
		return false
	}
	m.Pos = Pos{uint32(s.line), uint32(s.column() - 1)}
	has := 0
	for {
		key := s.memberKey(m)
		if key == 0 || has&key != 0 {
			return false
		}
		has |= key
		if s.take("}") {
			return has&(hasName|hasAddresses) == hasName|hasAddresses
		}
		if !s.take(", ") {
			return false
		}
	}
}

// memberKey reads a key and its value; 0: not a key of a member list.
func (s *scanner) memberKey(m *Member) int {
	ok, key := false, 0
	switch {
	case s.take("name: "):
		key, ok = hasName, s.identifier(&m.Name)
	case s.take("region: "):
		key, ok = hasRegion, s.identifier(&m.Region)
	case s.take("addresses: ["):
		key, ok = hasAddresses, s.unicasts(m)
	case s.take("weight: "):
		key, ok = hasWeight, s.weight(&m.Weight)
	case s.take("check: "):
		key, ok = hasCheck, s.identifier(&m.Check)
	case s.take("enabled: true"):
		key, ok, m.Enabled = hasEnabled, true, true
	case s.take("enabled: false"):
		key, ok, m.Enabled = hasEnabled, true, false
	}
	if !ok {
		return 0
	}
	return key
}

// take moves past word if that is next.
func (s *scanner) take(word string) bool {
	end := s.at + len(word)
	if end > len(s.data) || string(s.data[s.at:end]) != word {
		return false
	}
	s.at = end
	return true
}

// identifier reads a name that is certainly valid: letters and digits, and "-._" after the first character.
func (s *scanner) identifier(to *string) bool {
	begin := s.at
	for s.at < len(s.data) && s.word[s.data[s.at]] {
		s.at++
	}
	if s.at == begin || s.data[begin] == '-' || !s.first[s.data[begin]] {
		return false
	}
	w := s.words.get(s.data[begin:s.at])
	*to = w.text
	return w.plainTag() != "!!null"
}

// weight reads a weight within its range.
func (s *scanner) weight(to *int) bool {
	begin, value := s.at, 0
	for s.at < len(s.data) && digit(s.data[s.at]) && value <= MaxWeight {
		value = 10*value + int(s.data[s.at]-'0')
		s.at++
	}
	*to = value
	return s.at > begin && value <= MaxWeight && (s.data[begin] != '0' || s.at == begin+1)
}

// unicasts reads addresses up to the closing bracket of their list.
func (s *scanner) unicasts(m *Member) bool {
	list := &s.lines
	first := len(list.addresses)
	for {
		a, ok := s.unicast()
		if !ok {
			return false
		}
		list.addresses = append(list.addresses, a)
		if s.take("]") {
			m.Addresses = list.addresses[first:]
			return true
		}
		if !s.take(", ") {
			return false
		}
	}
}

// unicast reads an address that an answer may carry, quoted or not.
func (s *scanner) unicast() (netip.Addr, bool) {
	quote := s.peek()
	quoted := quote == '"' || quote == '\''
	if quoted {
		s.at++
	}
	begin := s.at
	for s.at < len(s.data) && s.address[s.data[s.at]] {
		s.at++
	}
	text := s.data[begin:s.at]
	switch {
	case quoted && s.peek() != quote, len(text) == 0:
		return netip.Addr{}, false
	case quoted:
		s.at++
	case text[0] == ':', text[len(text)-1] == ':':
		return netip.Addr{}, false // not allowed in an unquoted scalar
	}
	a, ok := parseAddr(text)
	return a, ok && notUnicast(a) == ""
}

// takeMemberList moves the members of the list that n represents to the pool. It returns false if there is no list, or if it is
// not valid in this pool; then n has its nodes.
func (r *poolReader) takeMemberList(n *yaml.Node) bool {
	s := r.doc.scanner
	if s == nil || s.lines.list != n {
		return false
	}
	if unsound := r.validate(&s.lines); unsound != "" {
		if !s.expandNodes() {
			r.doc.fallBack(posOf(n), "more values to be held at once than there is room for, and the members cannot be read line by line: "+unsound)
		}
		return false
	}
	s.lines.list = nil
	p := &r.pool
	p.Members = r.memberSlices.take(len(s.lines.members))
	copy(p.Members, s.lines.members)
	addresses := r.addressSlices.take(len(s.lines.addresses))
	for i := range p.Members {
		m := &p.Members[i]
		n := copy(addresses, m.Addresses)
		m.Addresses, addresses = addresses[:n:n], addresses[n:]
	}
	return true
}

// validate completes the members of a list by defaults of the pool and the file, and returns the problem of the first
// invalid member, or "".
func (r *poolReader) validate(list *memberList) (unsound string) {
	p := &r.pool
	switch p.Policy {
	case Proximity, Weighted, RoundRobin, Failover, Hash, Fastest, LatencyPolicy, LeastLoad, AllMembers:
	default:
		return "members of policy " + string(p.Policy) + " take more room"
	}
	r.duplicates.reset(len(list.members) + len(list.addresses))
	for i := range list.members {
		m := &list.members[i]
		if problem := r.complete(m); problem != "" {
			return m.problem(problem)
		}
		if r.duplicates.name(m.Name) {
			return m.problem("has the name of another")
		}
		for _, a := range m.Addresses {
			if r.duplicates.addr(a) {
				return m.problem("has the address " + a.String() + " twice in this pool")
			}
		}
	}
	return ""
}

// complete resolves the region and check of a member, and returns its problem, or "".
func (r *poolReader) complete(m *Member) (problem string) {
	switch {
	case m.Region == "" && r.pool.Policy.RanksRegions():
		return "has no region"
	case m.Region != "" && !r.known(kindRegion, &m.Region):
		return "has a region that is not defined above the pools"
	case m.Check == noCheck:
		m.Check = ""
	case m.Check == "":
		m.Check = r.pool.Check
	case !r.known(kindCheck, &m.Check):
		return "has a check that is not defined above the pools"
	}
	return ""
}

// problem returns a text about the member of a list.
func (m *Member) problem(what string) string {
	return fmt.Sprintf("member %s on line %d %s", quote(m.Name), m.Pos.Line, what)
}

// known reports whether a thing of kind k is defined already, and marks it as used.
func (d *decoder) known(k kind, name *string) bool {
	def := d.declared[k][*name]
	if def == nil {
		return false
	}
	*name, def.used = def.name, true
	return true
}

// duplicateFilter finds names and addresses that a list has twice. It misses none; a false positive is practically
// impossible and costs only time.
type duplicateFilter struct {
	seed  maphash.Seed
	slots []uint64 // hashes of the values added; at most half full; the length is a power of two
}

// reset clears the filter and makes room.
func (r *duplicateFilter) reset(room int) {
	if r.slots == nil {
		r.seed = maphash.MakeSeed()
	}
	size := 64
	for size < 2*room {
		size *= 2
	}
	if size > len(r.slots) {
		r.slots = make([]uint64, size)
		return
	}
	r.slots = r.slots[:size]
	clear(r.slots)
}

func (r *duplicateFilter) name(s string) bool { return r.twice(maphash.String(r.seed, s)) }

func (r *duplicateFilter) addr(a netip.Addr) bool { return r.twice(maphash.Comparable(r.seed, a)) }

// twice reports whether hash is present, and adds it.
func (r *duplicateFilter) twice(hash uint64) bool {
	hash |= 1 // 0 marks a free slot
	mask := uint64(len(r.slots) - 1)
	for at := hash >> 32 & mask; ; at = (at + 1) & mask {
		switch r.slots[at] {
		case 0:
			r.slots[at] = hash
			return false
		case hash:
			return true
		}
	}
}
