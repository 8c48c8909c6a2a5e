package transfer

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/pools"
	"meridian/transfer/journal"
	"meridian/zones"
)

// Live holds the records of balanced names in zones with pools: live, as they are with the present serials of the zones: the answer to a client
// of unknown location at that time. A name without any address then has the records of pools: default, so that it exists at
// secondaries. It is immutable. nil is that of a configuration without such zones.
type Live struct {
	zones map[zones.ZoneID]map[uint32][]zones.RRset // by zones.Data.BindingID
}

// LiveZones returns the zones whose transfers follow health states.
func LiveZones(cfg *config.Config) (all []zones.ZoneID) {
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; z.Transfer.Pools == config.LivePools && len(z.Names) > 0 && z.Journaled() {
			all = append(all, zones.ZoneID(i))
		}
	}
	return all
}

// CaptureLive returns the present records of some zones. The snapshot is in use.
func CaptureLive(data *zones.Data, tree *pools.Tree, cfg *config.Config, wanted []zones.ZoneID) (*Live, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	now, defaults := NewDefaults(data, tree, nil), NewDefaults(data, tree, nil)
	now.fresh = tree // with its health states
	live := &Live{zones: map[zones.ZoneID]map[uint32][]zones.RRset{}}
	for _, zone := range wanted {
		present, err := now.Content(cfg, zone)
		if err != nil {
			return nil, err
		}
		for id, sets := range present.pools {
			if len(sets) > 0 {
				continue
			}
			content, err := defaults.Content(cfg, zone)
			if err != nil {
				return nil, err
			}
			present.pools[id] = content.pools[id]
		}
		live.zones[zone] = present.pools
	}
	return live, nil
}

// of returns the records of a zone; nil: its transfers do not follow health states.
func (l *Live) of(zone zones.ZoneID) map[uint32][]zones.RRset {
	if l == nil {
		return nil
	}
	return l.zones[zone]
}

// Same reports whether a zone has the same records in both.
func (l *Live) Same(other *Live, zone zones.ZoneID) bool {
	a, b := l.of(zone), other.of(zone)
	if len(a) != len(b) {
		return false
	}
	for id, sets := range a {
		if !slices.EqualFunc(sets, b[id], sameSet) {
			return false
		}
	}
	return true
}

func sameSet(a, b zones.RRset) bool {
	return a.Type == b.Type && a.TTL == b.TTL && slices.Equal(a.Data, b.Data)
}

// With returns l with a zone as it is in another one.
func (l *Live) With(other *Live, zone zones.ZoneID) *Live {
	next := &Live{zones: map[zones.ZoneID]map[uint32][]zones.RRset{}}
	for id, sets := range l.zones {
		next.zones[id] = sets
	}
	next.zones[zone] = other.zones[zone]
	return next
}

// In returns the records of some zones in other data of the same configuration, where bindings may have other numbers. It returns nil if the
// balanced names differ.
func (l *Live) In(before, next *zones.Data, wanted []zones.ZoneID) *Live {
	if l == nil {
		return nil
	}
	moved := &Live{zones: map[zones.ZoneID]map[uint32][]zones.RRset{}}
	for _, zone := range wanted {
		had, has := bindingsOf(before, zone), bindingsOf(next, zone)
		sets := l.zones[zone]
		if sets == nil || !slices.EqualFunc(had, has, func(a, b boundNode) bool { return a.name == b.name }) {
			return nil
		}
		moved.zones[zone] = make(map[uint32][]zones.RRset, len(sets))
		for i := range has {
			moved.zones[zone][has[i].id] = sets[had[i].id]
		}
	}
	return moved
}

// boundNode is a balanced name.
type boundNode struct {
	name string
	id   uint32 // of its binding
}

// bindingsOf returns the balanced names of a zone, in order.
func bindingsOf(data *zones.Data, zone zones.ZoneID) (all []boundNode) {
	for node := range data.Walk(zone) {
		if id, balanced := data.BindingID(node); balanced {
			all = append(all, boundNode{string(data.NodeName(node)), id})
		}
	}
	return all
}

// changeTo returns the records of a zone that differ, in the order of the zone.
func (l *Live) changeTo(next *Live, data *zones.Data, zone zones.ZoneID) (deleted, added []journal.Record) {
	before, after := l.of(zone), next.of(zone)
	for node := range data.Walk(zone) {
		id, balanced := data.BindingID(node)
		if !balanced || slices.EqualFunc(before[id], after[id], sameSet) {
			continue
		}
		old, now := recordsOf(data, node, before[id]), recordsOf(data, node, after[id])
		for _, r := range old {
			if !slices.Contains(now, r) {
				deleted = append(deleted, r)
			}
		}
		for _, r := range now {
			if !slices.Contains(old, r) {
				added = append(added, r)
			}
		}
	}
	return deleted, added
}

func recordsOf(data *zones.Data, node zones.NodeID, sets []zones.RRset) (all []journal.Record) {
	for i := range sets {
		set := zones.OwnedSet{Owner: data.NodeName(node), RRset: sets[i]}
		for rdata := range set.RDATA() {
			all = append(all, record(&set, rdata))
		}
	}
	return all
}

// Publish gives a zone a higher serial in its journal, for the records that it has in next. It returns the change of the zone that is
// to be served with them; after an error there is none. A change that is larger than the zone is not kept: secondaries take the whole zone.
func (l *Live) Publish(next *Live, served *View, zone zones.ZoneID, of *journal.Journal, now time.Time) (zones.ZoneChange, error) {
	deleted, added := l.changeTo(next, served.Data, zone)
	return served.raise(zone, deleted, added, of, now)
}

// PublishSerial is Publish for a zone whose records stay, and only signatures change.
func PublishSerial(served *View, zone zones.ZoneID, of *journal.Journal, now time.Time) (zones.ZoneChange, error) {
	return served.raise(zone, nil, nil, of, now)
}

// raise gives a zone a higher serial in its journal, for a change of records that are not in its data.
func (v *View) raise(zone zones.ZoneID, deleted, added []journal.Record, of *journal.Journal, now time.Time) (zones.ZoneChange, error) {
	data := v.Data
	soa := currentRecords(data, zone, data.Apex(zone))
	soa = slices.DeleteFunc(soa, func(r journal.Record) bool { return r.Type() != dns.TypeSOA })
	change := &journal.Change{OldSOA: soa[0], Deleted: deleted, Added: added}
	change.NewSOA = soa[0].WithSerial(raised(v.Config.Zones[zone].Serial, soa[0].Serial(), now))
	sets := []zones.SetChange{setOf([]journal.Record{change.NewSOA})}
	if err := data.CheckUpdate(zone, sets); err != nil {
		return zones.ZoneChange{}, err
	}
	state, _ := of.State()
	SetDigest(change, state.Digest)
	content, err := v.Defaults.Content(v.Config, zone)
	if err != nil {
		return zones.ZoneChange{}, err
	}
	if sizeOf(change) > max(messageSize, content.size()) {
		of.Begin(change.To(), change.Digest)
		err = of.Save() // after an error the next change begins the journal at the serial that is served
	} else {
		err = of.Append(change)
	}
	if err != nil {
		return zones.ZoneChange{}, err
	}
	return zones.ZoneChange{Zone: zone, Sets: sets}, nil
}
