package transfer

import (
	"cmp"
	"maps"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/transfer/journal"
	"meridian/zones"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// withOverlay returns the data with what updates changed in a zone. The files win where both cannot be: at names that are
// balanced now or belong to another zone, and where a CNAME meets other records. It returns the names that were left out.
func withOverlay(data *zones.Data, zone zones.ZoneID, o *journal.Overlay) (*zones.Data, []string, error) {
	byOwner := map[string][]journal.Record{}
	for _, records := range [2]map[journal.Record]journal.Origin{o.Deleted, o.Added} {
		for r := range records {
			byOwner[string(r.Owner())] = append(byOwner[string(r.Owner())], r)
		}
	}
	var changes []zones.SetChange
	var left []string
	for _, owner := range sortedKeys(byOwner) {
		name := dnsname.Wire(owner)
		sets, ok := overlaid(data, zone, name, byOwner[owner], o)
		if !ok {
			left = append(left, name.String())
			continue
		}
		changes = append(changes, sets...)
	}
	if o.SOA != "" {
		serial := data.Serial(zone)
		changes = append(changes, setOf([]journal.Record{o.SOA.WithSerial(serial)}))
	}
	if len(changes) == 0 {
		return data, left, nil
	}
	updated, err := data.Update(zone, changes)
	return updated, left, err
}

// inBoth returns the records that updates added and that the files have too.
func inBoth(data *zones.Data, zone zones.ZoneID, o *journal.Overlay) (both []journal.Record) {
	files := map[string]map[journal.Record]bool{} // by owner, with TTL 0
	for r := range o.Added {
		owner := string(r.Owner())
		if files[owner] == nil {
			files[owner] = map[journal.Record]bool{}
			for _, in := range currentRecords(data, zone, r.Owner()) {
				files[owner][in.WithTTL(0)] = true
			}
		}
		if files[owner][r.WithTTL(0)] {
			both = append(both, r)
		}
	}
	return both
}

// overlaid returns the record sets of a name with what updates changed; false: the files do not leave room for them.
func overlaid(data *zones.Data, zone zones.ZoneID, owner dnsname.Wire, changed []journal.Record, o *journal.Overlay) (sets []zones.SetChange, ok bool) {
	if node, known := data.NodeIn(zone, owner); known {
		if data.Balanced(node) != nil && len(owner) != len(data.Apex(zone)) {
			return nil, false
		}
	} else if !data.Holds(zone, owner) {
		return nil, false
	}
	types := map[uint16]bool{}
	for _, r := range changed {
		types[r.Type()] = true
	}
	now := overlaidRecords(currentRecords(data, zone, owner), slices.Sorted(slices.Values(changed)), o)
	isAlias := func(r journal.Record) bool { return r.Type() == dns.TypeCNAME }
	if len(now) > 1 && slices.ContainsFunc(now, isAlias) {
		return nil, false
	}
	for _, typ := range sortedKeys(types) {
		sets = append(sets, setsOf(owner, typ, now))
	}
	return sets, true
}

// overlaidRecords returns the records of a name with what updates changed there. A set has the TTL of what was added to it.
func overlaidRecords(file, changed []journal.Record, o *journal.Overlay) (now []journal.Record) {
	ttl := map[uint16]uint32{}
	for _, r := range changed {
		if _, added := o.Added[r]; added {
			ttl[r.Type()] = r.TTL()
		}
	}
	for _, r := range file {
		if t, set := ttl[r.Type()]; set {
			r = r.WithTTL(t)
		}
		if _, deleted := o.Deleted[r.WithTTL(0)]; !deleted {
			now = append(now, r)
		}
	}
	for _, r := range changed {
		if _, added := o.Added[r]; added && !slices.Contains(now, r) {
			now = append(now, r)
		}
	}
	return now
}
