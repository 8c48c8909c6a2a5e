package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
	"meridian/errtext"
)

// RecordTypes are the types that members may have records of.
var RecordTypes = [...]uint16{dns.TypeSRV, dns.TypeMX, dns.TypeTXT, dns.TypeSVCB, dns.TypeHTTPS}

// RecordTypeName returns the name of a type of record.
func RecordTypeName(rrtype uint16) string { return dns.Type(rrtype).String() }

// Record is a record of a member: the pool answers it at each name that it is bound to.
type Record struct {
	Type uint16 // of RecordTypes
	Text string // the data, as in a master file; {name} is the name of the member
	Path string // relative to the member: .records.SRV[0]
	Pos  Pos
}

// In returns the record of a member in a zone: names without a final dot are relative to the zone, as in its master
// file. Its owner is the root.
func (r *Record) In(zone dnsname.Name, member string) (dns.RR, error) {
	text, err := r.expand(member)
	if err != nil {
		return nil, err
	}
	z := dns.NewZoneParser(strings.NewReader(". 0 IN "+RecordTypeName(r.Type)+" "+text+"\n"), string(zone), "")
	rr, ok := z.Next()
	switch {
	case z.Err() != nil:
		return nil, errors.New(plainParseError(z.Err()))
	case !ok || rr.Header().Rrtype != r.Type:
		return nil, errors.New("it has no data")
	}
	return rr, nil
}

// placeholders are words in braces, which records have names for.
var placeholders = regexp.MustCompile(`\{[a-z_]+\}`)

// nameText escapes the characters that have a meaning in a master file.
var nameText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `;`, `\;`, `(`, `\(`, `)`, `\)`)

// expand replaces the placeholders in a record. In TXT records other words in braces are text.
func (r *Record) expand(member string) (string, error) {
	const name = "{name}"
	if strings.ContainsAny(r.Text, "\r\n") {
		return "", errors.New("a record is one line")
	}
	if r.Type != dns.TypeTXT {
		for _, found := range placeholders.FindAllString(r.Text, -1) {
			if found != name {
				return "", fmt.Errorf("unknown placeholder %s; %s is the name of the member", found, name)
			}
		}
	}
	return strings.ReplaceAll(r.Text, name, nameText.Replace(member)), nil
}

// plainParseError returns what is wrong with a record, without the position in the one line that was parsed.
func plainParseError(err error) string {
	text := strings.TrimPrefix(err.Error(), "dns: ")
	text, _, _ = strings.Cut(text, " at line: ")
	return text
}

// HasOnlyRecords reports whether a member has records and nothing else: it has no address, is not probed and counts as
// up.
func (m *Member) HasOnlyRecords() bool {
	return len(m.Records) > 0 && len(m.Addresses) == 0 && m.Target == "" && m.CName == "" && m.Pool == ""
}

// RecordsOf returns whether a member has records of a type.
func (m *Member) RecordsOf(rrtype uint16) bool {
	return slices.ContainsFunc(m.Records, func(r Record) bool { return r.Type == rrtype })
}

// records reads the records of a member.
func (r *poolReader) records(n *yaml.Node) {
	m := &r.member
	m.Records = nil
	keys := []field{
		{name: "A", refused: "addresses are written under addresses of the member"},
		{name: "AAAA", refused: "addresses are written under addresses of the member"},
		{name: "CNAME", refused: "a CNAME is written as cname of the member"},
	}
	for _, rrtype := range RecordTypes {
		keys = append(keys, field{name: RecordTypeName(rrtype), set: r.recordsOf(rrtype)})
	}
	r.mapping(n, keys)
}

// recordsOf reads the records of one type of the current member.
func (r *poolReader) recordsOf(rrtype uint16) setter {
	m := &r.member
	return func(n *yaml.Node) {
		i := 0
		ok := r.list(n, func(item *yaml.Node) {
			if text, ok := r.word(item); ok {
				path := fmt.Sprintf(".records.%s[%d]", RecordTypeName(rrtype), i)
				m.Records = append(m.Records, Record{Type: rrtype, Text: text, Path: path, Pos: posOf(item)})
			}
			i++
		})
		if ok && i == 0 {
			r.errorAtKey(n, "an empty list", "write at least one record, or leave the key out")
		}
	}
}

// checkRecords checks the records of a member, which may be beside addresses or a target. Names are checked when
// the zones are compiled: they depend on the zone.
func (r *poolReader) checkRecords(n *yaml.Node) {
	m := &r.member
	key := yamldoc.Child(n, "records")
	if key == nil {
		return
	}
	for _, other := range []string{"pool", "cname"} {
		if yamldoc.Child(n, other) != nil {
			r.errorf(key, "records beside "+other, "write them at members with addresses, a target, or records alone")
			return
		}
	}
	for _, list := range yamldoc.Pairs(key) {
		for _, item := range list.Content {
			r.checkRecord(item)
		}
	}
	if m.HasOnlyRecords() {
		r.rejectUnprobedCheck(n, m, "records alone", "a member without addresses is not probed: write its addresses too, or leave the check out")
	}
}

// checkRecord checks the data of one record of the current member.
func (r *poolReader) checkRecord(item *yaml.Node) {
	m := &r.member
	i := slices.IndexFunc(m.Records, func(of Record) bool { return of.Pos == posOf(item) })
	if i < 0 || m.Name == "" {
		return // it has an error already
	}
	of := &m.Records[i]
	if _, err := of.In(".", m.Name); err != nil {
		r.errorf(item, fmt.Sprintf("%s is not data of type %s: %s", quote(of.Text), RecordTypeName(of.Type), err), "write it as in a master file, such as "+exampleOf(of.Type))
	}
}

// exampleOf returns the data of a record of a type.
func exampleOf(rrtype uint16) string {
	switch rrtype {
	case dns.TypeSRV:
		return `"10 5 443 {name}"`
	case dns.TypeMX:
		return `"10 {name}"`
	case dns.TypeTXT:
		return `'"some text"'`
	}
	return `"1 {name} alpn=h2"`
}

// mixedRecords warns of pools with members that lack a type of record that others have: clients get the records of
// another member of the same region, or no data.
func (s *linter) mixedRecords(p *Pool) {
	for t, rrtype := range RecordTypes {
		if s.typesOf(p)>>t&1 == 0 {
			continue
		}
		var without []string
		for i := range p.Members {
			if s.memberTypes(&p.Members[i])>>t&1 == 0 {
				without = append(without, quote(p.Members[i].Name))
			}
		}
		if len(without) > 0 && len(without) < len(p.Members) {
			s.warnAt(keyAt(p.Pos),
				fmt.Sprintf("%d of %d members have no %s records: %s", len(without), len(p.Members), RecordTypeName(rrtype), errtext.List(without)),
				"give all members of a pool records of the same types")
		}
	}
}

// typesOf returns the types of the records of a pool's members, one bit each in the order of RecordTypes.
func (s *linter) typesOf(p *Pool) (types uint8) {
	if known, ok := s.types[p.Name]; ok {
		return known
	}
	for i := range p.Members {
		if p.Members[i].CName == "" {
			types |= s.memberTypes(&p.Members[i])
		}
	}
	s.types[p.Name] = types
	return types
}

// memberTypes is typesOf for a member. A CNAME answers every type.
func (s *linter) memberTypes(m *Member) (types uint8) {
	switch {
	case m.CName != "":
		return ^uint8(0)
	case m.Pool != "":
		return s.typesOf(s.pools[m.Pool])
	}
	for _, r := range m.Records {
		types |= 1 << slices.Index(RecordTypes[:], r.Type)
	}
	return types
}
