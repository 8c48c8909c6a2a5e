package answer

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/server/answer/answertest"
	"meridian/zones"
)

// reversed returns the labels of a name in lower case, the last one first: such lists have the canonical order.
func reversed(name string) (labels [][]byte) {
	for rest := dnsname.Name(dns.CanonicalName(name)).Wire(); len(rest) > 1; rest = rest.Parent() {
		labels = append(labels, rest[1:1+rest[0]])
	}
	slices.Reverse(labels)
	return labels
}

func canonicalCompare(a, b string) int {
	return slices.CompareFunc(reversed(a), reversed(b), bytes.Compare)
}

// covers reports whether an NSEC record proves that a name has no record of its own.
func covers(nsec *dns.NSEC, name string) bool {
	after := canonicalCompare(nsec.Hdr.Name, name) < 0
	if canonicalCompare(nsec.Hdr.Name, nsec.NextDomain) < 0 {
		return after && canonicalCompare(name, nsec.NextDomain) < 0
	}
	return after // the last one of the zone
}

// nsecs returns the NSEC records in the authority section.
func nsecs(answer *dns.Msg) (all []*dns.NSEC) {
	for _, rr := range answer.Ns {
		if nsec, ok := rr.(*dns.NSEC); ok {
			all = append(all, nsec)
		}
	}
	return all
}

func matching(all []*dns.NSEC, name string) *dns.NSEC {
	i := slices.IndexFunc(all, func(n *dns.NSEC) bool { return canonicalCompare(n.Hdr.Name, name) == 0 })
	if i < 0 {
		return nil
	}
	return all[i]
}

func covering(all []*dns.NSEC, name string) *dns.NSEC {
	i := slices.IndexFunc(all, func(n *dns.NSEC) bool { return covers(n, name) })
	if i < 0 {
		return nil
	}
	return all[i]
}

// wildcardOf returns the wildcard at the closest encloser of a name that nsec covers (RFC 5155 7.2.1 has the same for
// hashed names): the longest ancestor that it has in common with the owner or the next name.
func wildcardOf(nsec *dns.NSEC, name string) string {
	common := 0
	for _, other := range []string{nsec.Hdr.Name, nsec.NextDomain} {
		a, b := reversed(name), reversed(other)
		n := 0
		for n < min(len(a), len(b)) && bytes.Equal(a[n], b[n]) {
			n++
		}
		common = max(common, n)
	}
	labels := dns.Split(name)
	if len(labels) == common {
		return name
	}
	if common == 0 {
		return "*."
	}
	return "*." + name[labels[len(labels)-common]:]
}

// denies reports whether NSEC records prove that a name exists without records of a type: as an empty non-terminal, or
// one with other types.
func denies(all []*dns.NSEC, name string, qtype uint16) bool {
	if at := matching(all, name); at != nil {
		return !slices.Contains(at.TypeBitMap, qtype) && !slices.Contains(at.TypeBitMap, dns.TypeCNAME)
	}
	over := covering(all, name)
	return over != nil && dns.IsSubDomain(name, dns.CanonicalName(over.NextDomain))
}

// checkChainProof checks a denial by the NSEC records of a zone (RFC 4035 5.4), in the way of a validator.
func checkChainProof(answer *dns.Msg, name string, qtype uint16, missing bool) error {
	all := nsecs(answer)
	if qtype == dns.TypeNSEC || qtype == dns.TypeRRSIG {
		qtype = dns.TypeNone // an alias's pool without one denies it, and every name has both
	}
	if missing != (answer.Rcode == dns.RcodeNameError) {
		return fmt.Errorf("code %s, the name is missing: %v", dns.RcodeToString[answer.Rcode], missing)
	}
	over := covering(all, name)
	switch {
	case missing && over == nil:
		return fmt.Errorf("no NSEC record covers %s", name)
	case missing && covering(all, wildcardOf(over, name)) == nil:
		return fmt.Errorf("no NSEC record covers %s", wildcardOf(over, name))
	case missing || denies(all, name, qtype):
		return nil
	case over != nil && denies(all, wildcardOf(over, name), qtype):
		return nil
	}
	return fmt.Errorf("the NSEC records do not deny %s %s", name, dns.Type(qtype))
}

// checkWildcards checks that there is a proof for each set that is signed by a wildcard (RFC 4035 5.3.4).
func checkWildcards(answer *dns.Msg) error {
	for _, rr := range answer.Answer {
		sig, ok := rr.(*dns.RRSIG)
		if !ok || int(sig.Labels) == dns.CountLabel(sig.Hdr.Name) {
			continue
		}
		over := covering(nsecs(answer), sig.Hdr.Name)
		if over == nil {
			return fmt.Errorf("%s is by a wildcard, and no NSEC record covers it", sig.Hdr.Name)
		}
		if labels := dns.CountLabel(wildcardOf(over, sig.Hdr.Name)); labels != int(sig.Labels)+1 {
			return fmt.Errorf("%s is by the wildcard at %d labels, the closest encloser is at %d", sig.Hdr.Name, sig.Labels, labels-1)
		}
	}
	return nil
}

// onlyWildcardProofs reports whether the authority section is for aliases by wildcards, in an answer that ends outside our
// zones or in a loop.
func onlyWildcardProofs(answer *dns.Msg) bool {
	return len(answer.Answer) > 0 && !slices.ContainsFunc(answer.Ns, func(rr dns.RR) bool {
		return rr.Header().Rrtype != dns.TypeNSEC && rr.Header().Rrtype != dns.TypeRRSIG
	})
}

// aggressive is a cache of NSEC records, as of a resolver that makes negative answers from them (RFC 8198).
type aggressive struct {
	zones *zones.Data
	seen  map[string]*dns.NSEC // from chains
	made  map[string]madeNSEC  // by owner: the last record that was made for a question
}

// madeNSEC is an NSEC record that was made for a question.
type madeNSEC struct {
	*dns.NSEC
	qtype uint16
}

func newAggressive(data *zones.Data) *aggressive {
	return &aggressive{data, map[string]*dns.NSEC{}, map[string]madeNSEC{}}
}

// add remembers the records of an answer.
func (c *aggressive) add(query, answer *dns.Msg) {
	for _, nsec := range nsecs(answer) {
		owner := dns.CanonicalName(nsec.Hdr.Name)
		if dns.CanonicalName(nsec.NextDomain) == `\000.`+owner {
			c.made[owner] = madeNSEC{nsec, query.Question[0].Qtype}
		} else {
			c.seen[nsec.String()] = nsec
		}
	}
}

// deniesType reports whether an NSEC record denies a type at its owner. At a zone cut, that of the parent's side is for DS
// only, and that of the zone for all else (RFC 4035 5.2).
func deniesType(nsec *dns.NSEC, qtype uint16) bool {
	has := func(typ uint16) bool { return slices.Contains(nsec.TypeBitMap, typ) }
	if has(dns.TypeNS) && has(dns.TypeSOA) == (qtype == dns.TypeDS) {
		return false
	}
	return !has(qtype) && !has(dns.TypeCNAME)
}

// deniesOther returns an error if a record that was made for a question about another type denies a set: clients that get
// the type would be denied it. One for the same type is for a client that gets no address, which others may get; and a
// denial never has the type CNAME (RFC 6840 4.3), which only some members of a pool may be.
func (c *aggressive) deniesOther(rr dns.RR) error {
	h := rr.Header()
	if at, ok := c.made[dns.CanonicalName(h.Name)]; ok && at.qtype != h.Rrtype && h.Rrtype != dns.TypeCNAME && deniesType(at.NSEC, h.Rrtype) {
		return fmt.Errorf("%v, made for %s, denies %v", at.NSEC, dns.Type(at.qtype), rr)
	}
	return nil
}

// check returns an error if a resolver with the cache would deny a set of an answer.
func (c *aggressive) check(answer *dns.Msg) error {
	byWildcard, made := map[string]bool{}, map[string]bool{}
	for _, rr := range answer.Answer {
		switch rr := rr.(type) {
		case *dns.RRSIG:
			if int(rr.Labels) < dns.CountLabel(rr.Hdr.Name) {
				byWildcard[rr.Hdr.Name] = true
			}
			made[rr.Hdr.Name] = true
		}
	}
	for _, rr := range answer.Answer {
		h := rr.Header()
		if h.Rrtype == dns.TypeRRSIG || !made[h.Name] {
			continue
		}
		if err := c.deniesOther(rr); err != nil {
			return err
		}
		zone := c.zones.Lookup(dnsname.Name(dns.CanonicalName(h.Name)).Wire(), h.Rrtype).Zone
		for _, nsec := range c.seen {
			if c.zones.Lookup(dnsname.Name(dns.CanonicalName(nsec.Hdr.Name)).Wire(), dns.TypeDS).Zone != zone {
				continue
			}
			if canonicalCompare(nsec.Hdr.Name, h.Name) == 0 && deniesType(nsec, h.Rrtype) {
				return fmt.Errorf("%v denies %v", nsec, rr)
			}
			if covers(nsec, h.Name) && !byWildcard[h.Name] {
				return fmt.Errorf("%v denies the name of %v", nsec, rr)
			}
		}
	}
	return nil
}

// TestChainDeniesEachCase checks the records of one denial of each kind.
func TestChainDeniesEachCase(t *testing.T) {
	s := answertest.World(t, "{name: us, region: us, addresses: [192.0.2.1, \"2001:db8::1\"]}", "{name: us, region: us, addresses: [192.0.2.1]}")
	signWorld(t, s, dnssec.Chain)
	r := newEngine(s, nil).Responder()
	v := &validator{snapshot: s, now: time.Now(), verified: map[string]bool{}}
	for _, test := range []struct {
		name   string
		qtype  uint16
		rcode  int
		owners []string // of the NSEC records
	}{
		{"nothing", dns.TypeA, dns.RcodeNameError, []string{"mail.example.com.", "example.com."}},
		{"mail", dns.TypeMX, dns.RcodeSuccess, []string{"mail.example.com."}},
		{"far", dns.TypeAAAA, dns.RcodeSuccess, []string{"far.example.com."}},
		{"www", dns.TypeTXT, dns.RcodeSuccess, []string{"www.example.com."}},
		{"gone", dns.TypeA, dns.RcodeSuccess, []string{"gone.example.com."}}, // made for the client
		{"er", dns.TypeA, dns.RcodeSuccess, []string{"dangle.example.com."}},
		{"x.wild", dns.TypeA, dns.RcodeSuccess, []string{"*.wild.example.com."}},
		{"x.wild", dns.TypeTXT, dns.RcodeSuccess, []string{"*.wild.example.com."}},
		{"a.b.t", dns.TypeA, dns.RcodeSuccess, []string{"*.t.example.com."}},
		{"a.sub", dns.TypeA, dns.RcodeSuccess, []string{"sub.example.com."}},
		{"sub", dns.TypeDS, dns.RcodeSuccess, []string{"sub.example.com."}},
		{"x.wc", dns.TypeA, dns.RcodeSuccess, []string{"*.wc.example.com."}},
		{"x.wc", dns.TypeMX, dns.RcodeSuccess, []string{"*.wc.example.com.", "www.example.com."}},
	} {
		query := answertest.Ask(test.name+".example.com.", test.qtype)
		query.SetEdns0(4096, true)
		var answer dns.Msg
		if err := answer.Unpack(r.Respond(nil, answertest.Packed(t, query), answertest.BenchSource, false)); err != nil {
			t.Fatal(err)
		}
		var owners []string
		for _, nsec := range nsecs(&answer) {
			owners = append(owners, nsec.Hdr.Name)
		}
		if err := v.check(query, &answer); err != nil || answer.Rcode != test.rcode || !slices.Equal(owners, test.owners) {
			t.Errorf("%s %s: %v, NSEC of %q, want %q\n%v", test.name, dns.Type(test.qtype), err, owners, test.owners, &answer)
		}
	}
}

// Random names of a zone with a chain need no new signature once its records are signed: a flood of them costs none.
func TestRandomNamesNeedNoSignatureByChain(t *testing.T) {
	s := answertest.World(t)
	signWorld(t, s, dnssec.Chain)
	e := newEngine(s, func() uint64 { return 7 })
	r := e.Responder()
	ask := func(name string) {
		query := answertest.Ask(name, dns.TypeA)
		query.SetEdns0(1232, true)
		r.Respond(nil, answertest.Packed(t, query), answertest.BenchSource, false)
	}
	ask("nothing-0.example.com.")
	ask("x-0.t.example.com.")
	before := e.Counters().Signed
	for i := range 20 {
		ask(fmt.Sprintf("nothing-%d.example.com.", i))
		ask(fmt.Sprintf("x-%d.t.example.com.", i))
	}
	if made := e.Counters().Signed - before; made != 0 {
		t.Errorf("%d signatures made", made)
	}
}
