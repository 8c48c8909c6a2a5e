package transfer

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/transfer/journal"
	"meridian/zones"
)

// The limits of what updates may make.
const (
	maxTypes   = 100     // record sets of one name
	maxOverlay = 100_000 // records of a zone
)

// UpdateRequest is a dynamic update with a verified signature (RFC 2136).
type UpdateRequest struct {
	Packet []byte
	Key    dnsname.Name
	At     time.Time
}

// Update is the outcome of an UpdateRequest.
type Update struct {
	Rcode  int
	Reason string          // of a refusal
	Change *journal.Change // nil: nothing changes
	Sets   []zones.SetChange
}

// refusal is the outcome of an update that is not made.
type refusal struct {
	rcode int
	why   string
}

// draft is a zone while an update is applied to it: the names that it looks at, with their records.
type draft struct {
	data    *zones.Data
	zone    zones.ZoneID
	apex    dnsname.Wire
	pending map[string][]journal.Record // by owner: as earlier updates of the evaluator leave it
	names   map[string][]journal.Record // by owner: its records now
	before  map[string][]journal.Record
	ttls    map[changedSet]uint32 // of the record of a set that was added last
	soa     journal.Record
	request *UpdateRequest
	rules   []config.UpdateRule
}

// Evaluator applies updates to a zone one after the other, before any of them is on disk or served: each sees the changes of those
// before it. It looks only at the names of the updates.
type Evaluator struct {
	cfg     *config.Config
	data    *zones.Data
	zone    zones.ZoneID
	names   map[string][]journal.Record // by owner: the records of changed names
	digest  journal.Digest              // of the zone
	overlay int                         // records that updates have changed
	changes []*journal.Change
	sets    []zones.SetChange
	setAt   map[changedSet]int // the index in sets
}

type changedSet struct {
	owner string
	typ   uint16
}

// NewEvaluator returns an evaluator for a zone that is served, with the state of its journal.
func NewEvaluator(cfg *config.Config, data *zones.Data, zone zones.ZoneID, state journal.State) *Evaluator {
	return &Evaluator{cfg: cfg, data: data, zone: zone, names: map[string][]journal.Record{}, digest: state.Digest, overlay: state.Added + state.Deleted, setAt: map[changedSet]int{}}
}

// Changes returns the changes of the updates so far, in their order.
func (e *Evaluator) Changes() []*journal.Change { return e.changes }

// Sets returns the record sets that all changes together leave.
func (e *Evaluator) Sets() []zones.SetChange { return e.sets }

// Evaluate applies an update: prerequisites, permissions, then changes (RFC 2136 3).
func (e *Evaluator) Evaluate(r *UpdateRequest) *Update {
	u, d := e.evaluate(r)
	if u.Change == nil {
		return u
	}
	if err := e.data.CheckUpdate(e.zone, u.Sets); err != nil {
		return &Update{Rcode: dns.RcodeRefused, Reason: err.Error()}
	}
	SetDigest(u.Change, e.digest)
	e.digest, e.overlay = u.Change.Digest, e.overlay+len(u.Change.Added)+len(u.Change.Deleted)
	e.changes = append(e.changes, u.Change)
	for owner, records := range d.names {
		e.names[owner] = records
	}
	e.names[string(d.apex)] = replaceSOA(d.names[string(d.apex)], u.Change.NewSOA)
	for _, set := range u.Sets {
		key := changedSet{string(set.Owner), set.Type}
		if at, again := e.setAt[key]; again {
			e.sets[at] = set
			continue
		}
		e.setAt[key], e.sets = len(e.sets), append(e.sets, set)
	}
	return u
}

// replaceSOA returns records with another SOA.
func replaceSOA(records []journal.Record, soa journal.Record) []journal.Record {
	replaced := slices.Clone(records)
	for i, r := range replaced {
		if r.Type() == dns.TypeSOA {
			replaced[i] = soa
		}
	}
	return replaced
}

func (e *Evaluator) evaluate(r *UpdateRequest) (*Update, *draft) {
	z := &e.cfg.Zones[e.zone]
	d := &draft{
		data: e.data, zone: e.zone, apex: e.data.Apex(e.zone), pending: e.names, names: map[string][]journal.Record{}, before: map[string][]journal.Record{}, ttls: map[changedSet]uint32{},
		request: r, rules: z.Update,
	}
	msg := new(dns.Msg)
	if err := msg.Unpack(r.Packet); err != nil {
		return &Update{Rcode: dns.RcodeFormatError, Reason: "the message does not parse"}, nil
	}
	soa := d.recordsOf(d.apex, dns.TypeSOA)
	if len(soa) == 0 {
		return &Update{Rcode: dns.RcodeServerFailure, Reason: "the zone has no data"}, nil
	}
	d.soa = soa[0]
	before := d.soa
	for _, step := range []func(*dns.Msg) *refusal{d.checkPrerequisites, d.checkUpdates, d.apply} {
		if refused := step(msg); refused != nil {
			return &Update{Rcode: refused.rcode, Reason: refused.why}, nil
		}
	}
	u := d.outcome(before)
	if u.Change != nil && e.overlay+len(u.Change.Added)+len(u.Change.Deleted) > maxOverlay {
		return &Update{Rcode: dns.RcodeRefused, Reason: fmt.Sprintf("updates have changed more than %d records of the zone", maxOverlay)}, nil
	}
	return u.number(z.Serial, before, d.soa, r), d
}

// number gives the change its serial.
func (u *Update) number(policy config.SerialPolicy, before, soa journal.Record, r *UpdateRequest) *Update {
	if u.Change == nil {
		return u
	}
	serial := raised(policy, before.Serial(), r.At)
	if soa != before {
		serial = soa.Serial()
	}
	u.Change.OldSOA, u.Change.NewSOA = before, soa.WithSerial(serial)
	u.Change.Update = &journal.Origin{Key: strings.TrimSuffix(string(r.Key), "."), At: r.At.UTC().Truncate(time.Second)}
	u.Sets = append(u.Sets, setOf([]journal.Record{u.Change.NewSOA}))
	return u
}

// load returns the records of a name, which are read once.
func (d *draft) load(owner dnsname.Wire) []journal.Record {
	if records, ok := d.names[string(owner)]; ok {
		return records
	}
	records, changed := d.pending[string(owner)]
	if !changed {
		records = currentRecords(d.data, d.zone, owner)
	}
	d.before[string(owner)] = records
	d.names[string(owner)] = slices.Clone(records)
	return d.names[string(owner)]
}

// currentRecords returns the static records of a name.
func currentRecords(data *zones.Data, zone zones.ZoneID, owner dnsname.Wire) (records []journal.Record) {
	node, ok := data.NodeIn(zone, owner)
	if !ok {
		return nil
	}
	for _, set := range data.RRsets(node) {
		for rdata := range set.RDATA() {
			records = append(records, journal.NewRecord(owner, set.Type, set.TTL, rdata))
		}
	}
	return records
}

func (d *draft) recordsOf(owner dnsname.Wire, typ uint16) (of []journal.Record) {
	for _, r := range d.load(owner) {
		if r.Type() == typ {
			of = append(of, r)
		}
	}
	return of
}

// balanced reports whether a pool answers at a name, or the name is that of whoami.
func (d *draft) balanced(owner dnsname.Wire) bool {
	node, ok := d.data.NodeIn(d.zone, owner)
	return ok && (d.data.Balanced(node) != nil || d.data.IsWhoami(node))
}

// owner returns the name of a record in lower case, if it is in the zone.
func (d *draft) owner(h *dns.RR_Header) (dnsname.Wire, *refusal) {
	name, err := dnsname.Parse(h.Name)
	if err != nil {
		return nil, &refusal{dns.RcodeFormatError, err.Error()}
	}
	owner := name.Wire()
	rest := owner
	for len(rest) > len(d.apex) {
		rest = rest.Parent()
	}
	if !bytes.Equal(rest, d.apex) {
		return nil, &refusal{dns.RcodeNotZone, h.Name + " is not in the zone"}
	}
	return owner, nil
}

// folded returns data with the names in it in lower case: they compare without case, and all else with it (RFC 2136 1.1.1).
func folded(typ uint16, data string) string {
	plain := []byte(data)
	dnssec.FoldNames(typ, plain)
	return string(plain)
}

// sameData reports whether data of a type is equal. It is called for all records of a name, so it folds only what may be equal.
func sameData(typ uint16, a, b string) bool {
	return a == b || len(a) == len(b) && strings.EqualFold(a, b) && folded(typ, a) == folded(typ, b)
}

// metaType reports whether a type is not one of data (RFC 6895 3.1).
func metaType(typ uint16) bool {
	return typ == 0 || typ == dns.TypeOPT || 128 <= typ && typ <= 255
}

// checkUpdates checks the form of all changes, and that the key may make them (RFC 2136 3.3, 3.4.1).
func (d *draft) checkUpdates(msg *dns.Msg) *refusal {
	var forbidden *refusal
	for _, rr := range msg.Ns {
		h := rr.Header()
		owner, refused := d.owner(h)
		if refused != nil {
			return refused
		}
		if !wellFormed(rr) {
			return &refusal{dns.RcodeFormatError, "a change that is not well-formed"}
		}
		if forbidden == nil {
			forbidden = d.forbidden(owner, h)
		}
	}
	return forbidden
}

// wellFormed reports whether a change has what its class wants (RFC 2136 2.5):
//
//	class  type        TTL  data
//	IN     of data     any  some     add the record
//	ANY    or ANY      0    none     delete the record set, or all at the name
//	NONE   of data     0    some     delete the record
func wellFormed(rr dns.RR) bool {
	h := rr.Header()
	switch h.Class {
	case dns.ClassINET:
		_, err := dataOf(rr)
		return !metaType(h.Rrtype) && err == nil && h.Ttl < 1<<31
	case dns.ClassANY:
		return h.Ttl == 0 && h.Rdlength == 0 && (h.Rrtype == dns.TypeANY || !metaType(h.Rrtype))
	case dns.ClassNONE:
		_, err := dataOf(rr)
		return h.Ttl == 0 && !metaType(h.Rrtype) && err == nil
	}
	return false
}

// forbidden returns why the key may not make a change; nil: it may.
func (d *draft) forbidden(owner dnsname.Wire, h *dns.RR_Header) *refusal {
	refuse := func(why string) *refusal { return &refusal{dns.RcodeRefused, why} }
	switch apex := bytes.Equal(owner, d.apex); {
	case config.MadeBySigning(h.Rrtype):
		return refuse(dns.Type(h.Rrtype).String() + " records are made by signing")
	case h.Rrtype == dns.TypeDNAME:
		return refuse("DNAME records are only changed in the file")
	case d.balanced(owner) && !d.isOrigin(owner, h.Rrtype):
		return refuse(h.Name + " is bound to a pool or whoami")
	case !d.data.Holds(d.zone, owner):
		return refuse(h.Name + " is in another zone of this server")
	case h.Rrtype == dns.TypeNS && !apex && d.data.HidesOthers(owner):
		return refuse("a delegation would hide balanced names or another zone")
	}
	name := relativeName(owner, d.apex)
	for i := range d.rules {
		if d.rules[i].Key == d.request.Key && d.rules[i].Allows(name, h.Rrtype) {
			return nil
		}
	}
	return refuse(fmt.Sprintf("the key may not change %s of %s", dns.Type(h.Rrtype), h.Name))
}

// relativeName returns a name relative to its zone, as an operator writes it.
func relativeName(owner, apex dnsname.Wire) string {
	name := owner.String()
	switch {
	case len(owner) == len(apex):
		return "@"
	case len(apex) == 1:
		return strings.TrimSuffix(name, ".")
	}
	return strings.TrimSuffix(name, "."+apex.String())
}

// apply makes the changes (RFC 2136 3.4.2).
func (d *draft) apply(msg *dns.Msg) *refusal {
	for _, rr := range msg.Ns {
		h := rr.Header()
		owner, _ := d.owner(h)
		switch h.Class {
		case dns.ClassINET:
			data, _ := dataOf(rr)
			d.add(owner, journal.NewRecord(owner, h.Rrtype, h.Ttl, data))
		case dns.ClassANY:
			d.remove(owner, func(r journal.Record) bool {
				return (h.Rrtype == dns.TypeANY || r.Type() == h.Rrtype) && !d.isOrigin(owner, r.Type())
			})
		case dns.ClassNONE:
			data, _ := dataOf(rr)
			if h.Rrtype == dns.TypeSOA || d.isOrigin(owner, h.Rrtype) && len(d.recordsOf(owner, h.Rrtype)) == 1 {
				continue // the zone keeps its SOA and its last NS
			}
			d.remove(owner, func(r journal.Record) bool { return r.Type() == h.Rrtype && sameData(h.Rrtype, r.Data(), string(data)) })
		}
	}
	d.setTTLs()
	return d.checkSizes()
}

// setTTLs gives the records of each set one TTL, that of the last record that the update has added to it.
func (d *draft) setTTLs() {
	for owner, records := range d.names {
		for i, r := range records {
			if ttl, added := d.ttls[changedSet{owner, r.Type()}]; added && r.TTL() != ttl {
				records[i] = r.WithTTL(ttl)
			}
		}
	}
}

// isOrigin reports whether records are the SOA or NS of the zone.
func (d *draft) isOrigin(owner dnsname.Wire, typ uint16) bool {
	return (typ == dns.TypeSOA || typ == dns.TypeNS) && bytes.Equal(owner, d.apex)
}

func (d *draft) remove(owner dnsname.Wire, which func(journal.Record) bool) {
	d.names[string(owner)] = slices.DeleteFunc(d.load(owner), which)
}

// add adds a record. A CNAME beside other records is ignored, and so are others beside a CNAME.
func (d *draft) add(owner dnsname.Wire, r journal.Record) {
	typ, records, at := r.Type(), d.load(owner), -1
	if typ == dns.TypeSOA {
		if bytes.Equal(owner, d.apex) && journal.Newer(r.Serial(), d.soa.Serial()) {
			d.soa = r
		}
		return
	}
	for i, other := range records {
		switch otherType := other.Type(); {
		case (typ == dns.TypeCNAME) != (otherType == dns.TypeCNAME):
			return
		case typ == dns.TypeCNAME, typ == otherType && sameData(typ, other.Data(), r.Data()):
			at = i
		}
	}
	if at >= 0 {
		records[at] = r
	} else {
		d.names[string(owner)] = append(records, r)
	}
	d.ttls[changedSet{string(owner), typ}] = r.TTL()
}

// checkSizes refuses more records at a name than any application needs.
func (d *draft) checkSizes() *refusal {
	for owner, records := range d.names {
		count := map[uint16]int{}
		for _, r := range records {
			if count[r.Type()]++; count[r.Type()] > zones.MaxInSet && len(records) > len(d.before[owner]) {
				return &refusal{dns.RcodeRefused, fmt.Sprintf("%s would have more than %d records of a type", dnsname.Wire(owner), zones.MaxInSet)}
			}
		}
		if len(count) > maxTypes {
			return &refusal{dns.RcodeRefused, fmt.Sprintf("%s would have more than %d types", dnsname.Wire(owner), maxTypes)}
		}
	}
	return nil
}

// outcome returns what changes.
func (d *draft) outcome(soa journal.Record) *Update {
	c := new(journal.Change)
	u := &Update{Rcode: dns.RcodeSuccess}
	for _, owner := range sortedKeys(d.names) {
		before, now := d.before[owner], d.names[owner]
		changed, had, has := map[uint16]bool{}, setFrom(before), setFrom(now)
		for _, r := range before {
			if !has[r] && r.Type() != dns.TypeSOA {
				c.Deleted = append(c.Deleted, r)
				changed[r.Type()] = true
			}
		}
		for _, r := range now {
			if !had[r] {
				c.Added = append(c.Added, r)
				changed[r.Type()] = true
			}
		}
		for _, typ := range sortedKeys(changed) {
			u.Sets = append(u.Sets, setsOf(dnsname.Wire(owner), typ, now))
		}
	}
	if len(c.Deleted)+len(c.Added) > 0 || d.soa != soa {
		u.Change = c
	}
	return u
}

// setFrom returns records as a set.
func setFrom(records []journal.Record) map[journal.Record]bool {
	set := make(map[journal.Record]bool, len(records))
	for _, r := range records {
		set[r] = true
	}
	return set
}

// setsOf returns the change that makes the records of a type at a name these.
func setsOf(owner dnsname.Wire, typ uint16, records []journal.Record) zones.SetChange {
	set := zones.SetChange{Owner: owner, Type: typ}
	for _, r := range records {
		if r.Type() == typ {
			set.TTL = r.TTL()
			set.Data = append(set.Data, []byte(r.Data()))
		}
	}
	return set
}

// setOf is setsOf for records of one name and type.
func setOf(records []journal.Record) zones.SetChange {
	return setsOf(records[0].Owner(), records[0].Type(), records)
}

// dataOf returns the data of a record in wire form; an error: it has none, and its type needs some.
func dataOf(rr dns.RR) ([]byte, error) {
	if rr.Header().Rdlength == 0 {
		return nil, fmt.Errorf("%s without data", dns.Type(rr.Header().Rrtype))
	}
	plain := dns.Copy(rr)
	plain.Header().Name, plain.Header().Class = ".", dns.ClassINET
	buf := make([]byte, dns.MaxMsgSize)
	end, err := dns.PackRR(plain, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return buf[1+recordFixed : end], nil
}
