package config

import (
	"fmt"
	"hash/maphash"
	"net/netip"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// memberList reads lists of members in the form that programs write for large files, one per line:
//
//   - {name: us-1, region: us, weight: 70, addresses: [192.0.2.1, "2001:db8::1"]}
//
// It reads the text directly into Members, without a node for each word, which takes a quarter of the time: without it,
// a start with a million members takes 1.4 to 1.9 times as long. The plain version is the list as nodes. It never
// guesses: a list with a line in any other form, or with an error, is rejected and read as nodes.
type memberList struct {
	member    Member   // a member before its keys are read
	members   []Member // of the list read last, without the defaults of the pool
	addresses []netip.Addr
	words     yamldoc.Words

	wordSet, addressSet *octets // octets of names and of addresses
	text                []byte  // of the current member
	at                  int     // offset of the next character in it
}

func newMemberList(member Member) *memberList {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return &memberList{member: member, wordSet: octetsOf(digits + letters + "-._"), addressSet: octetsOf(digits + "abcdefABCDEF:.")}
}

// reader returns the functions that read lists into l.
func (l *memberList) reader() *yamldoc.ItemReader {
	return &yamldoc.ItemReader{
		Key:   "members",
		Begin: func() { l.members, l.addresses = l.members[:0], l.addresses[:0] },
		Item: func(text []byte, at yamldoc.Pos) int {
			l.text, l.at = text, 0
			l.members = append(l.members, l.member)
			m := &l.members[len(l.members)-1]
			if m.Pos = Pos(at); !l.memberLine(m) {
				return 0
			}
			return l.at
		},
	}
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

// memberLine reads the member at the beginning of the text, up to its closing bracket. Check is as written: empty if
// absent, "none" for none.
func (l *memberList) memberLine(m *Member) bool {
	if !l.take("{") {
		return false
	}
	has := 0
	for {
		key := l.memberKey(m)
		if key == 0 || has&key != 0 {
			return false
		}
		has |= key
		if l.take("}") {
			return has&(hasName|hasAddresses) == hasName|hasAddresses
		}
		if !l.take(", ") {
			return false
		}
	}
}

// memberKey reads a key and its value; 0: not a key of a member list.
func (l *memberList) memberKey(m *Member) int {
	ok, key := false, 0
	switch {
	case l.take("name: "):
		key, ok = hasName, l.identifier(&m.Name)
	case l.take("region: "):
		key, ok = hasRegion, l.identifier(&m.Region)
	case l.take("addresses: ["):
		key, ok = hasAddresses, l.unicasts(m)
	case l.take("weight: "):
		key, ok = hasWeight, l.weight(&m.Weight)
	case l.take("check: "):
		key, ok = hasCheck, l.identifier(&m.Check)
	case l.take("enabled: true"):
		key, ok, m.Enabled = hasEnabled, true, true
	case l.take("enabled: false"):
		key, ok, m.Enabled = hasEnabled, true, false
	}
	if !ok {
		return 0
	}
	return key
}

// take moves past word if that is next.
func (l *memberList) take(word string) bool {
	end := l.at + len(word)
	if end > len(l.text) || string(l.text[l.at:end]) != word {
		return false
	}
	l.at = end
	return true
}

// span moves past octets that are in a set, and returns them.
func (l *memberList) span(set *octets) []byte {
	begin := l.at
	for l.at < len(l.text) && set[l.text[l.at]] {
		l.at++
	}
	return l.text[begin:l.at]
}

// octets is a set of octets.
type octets [256]bool

func octetsOf(all string) *octets {
	set := new(octets)
	for i := range len(all) {
		set[all[i]] = true
	}
	return set
}

// identifier reads a name that is certainly valid: letters and digits, and "-._" after the first character.
func (l *memberList) identifier(to *string) bool {
	text := l.span(l.wordSet)
	if len(text) == 0 || text[0] == '-' {
		return false
	}
	w := l.words.Get(text)
	*to = w.Text
	return w.PlainTag() != "!!null"
}

// weight reads a weight within its range.
func (l *memberList) weight(to *int) bool {
	begin, value := l.at, 0
	for l.at < len(l.text) && digit(l.text[l.at]) && value <= MaxWeight {
		value = 10*value + int(l.text[l.at]-'0')
		l.at++
	}
	*to = value
	return l.at > begin && value <= MaxWeight && (l.text[begin] != '0' || l.at == begin+1)
}

// unicasts reads addresses up to the closing bracket of their list.
func (l *memberList) unicasts(m *Member) bool {
	first := len(l.addresses)
	for {
		a, ok := l.unicast()
		if !ok {
			return false
		}
		l.addresses = append(l.addresses, a)
		if l.take("]") {
			m.Addresses = l.addresses[first:]
			return true
		}
		if !l.take(", ") {
			return false
		}
	}
}

// unicast reads an address that an answer may carry, quoted or not.
func (l *memberList) unicast() (netip.Addr, bool) {
	quote := ""
	if l.take(`"`) {
		quote = `"`
	} else if l.take("'") {
		quote = "'"
	}
	text := l.span(l.addressSet)
	switch {
	case len(text) == 0, !l.take(quote):
		return netip.Addr{}, false
	case quote != "":
	case text[0] == ':', text[len(text)-1] == ':':
		return netip.Addr{}, false // not allowed in an unquoted scalar
	}
	a, ok := parseAddr(text)
	return a, ok && notUnicast(a) == ""
}

// takeMemberList moves the members of the list that n represents to the pool. It returns false if n is no such list, or
// if it is not valid in this pool; then n has its nodes.
func (r *poolReader) takeMemberList(n *yaml.Node) bool {
	if !r.doc.HasItems(n) {
		return false
	}
	list := r.lines
	if unsound := r.validate(list); unsound != "" {
		if !r.doc.Expand(n) {
			r.doc.FallBack(yamldoc.PosOf(n), "more values to be held at once than there is room for, and the members cannot be read line by line: "+unsound)
		}
		return false
	}
	p := &r.pool
	p.Members = r.memberSlices.take(len(list.members))
	copy(p.Members, list.members)
	addresses := r.addressSlices.take(len(list.addresses))
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
