package snapshot

import (
	"fmt"

	"meridian/config"
	"meridian/dnssec"
	"meridian/zones"
)

// SignedSets is how many signatures a configuration needs, at most, and how many fit in the cache. Names that do not
// exist, and names that only a wildcard matches, are not counted: with compact denial each needs its own.
type SignedSets struct {
	Needed int `json:"needed"`
	Room   int `json:"room"`
}

// setCounter counts the sets that pools can answer.
type setCounter struct {
	cfg     *config.Config
	index   map[string]int
	several []bool
	known   map[int]poolSets
}

// poolSets is what bounds the number of different sets of a pool: its addresses and records, and its groups of members that a client
// can be sent to.
type poolSets struct {
	v4, v6, groups int
	records        [len(config.RecordTypes)]int // by type: members with such records
}

// SignedSets counts the sets of the signed zones; false: none is signed.
func (s *Snapshot) SignedSets() (sets SignedSets, ok bool) {
	if s.Signing == nil {
		return sets, false
	}
	c := &setCounter{cfg: s.Config, index: map[string]int{}, several: s.Config.SeveralAnswers(), known: map[int]poolSets{}}
	for i := range s.Config.Pools {
		c.index[s.Config.Pools[i].Name] = i
	}
	for i, z := range s.Zones.Summary() {
		if s.Signing.Of(zones.ZoneID(i)) == nil {
			continue
		}
		sets.Needed += z.Records + z.Names // a set has at least a record, and each name an NSEC record
		zone := &s.Config.Zones[i]
		for b := range zone.Bindings() {
			sets.Needed += c.ofName(zone, b)
		}
	}
	sets.Room = s.Signing.CacheSize / dnssec.EntrySize
	return sets, true
}

// varietyPeriods is how many periods of bounded draws the cache holds the signatures of: the present one, and the next,
// which are made before it begins.
const varietyPeriods = 2

// ofName counts the sets of a name: for each family, the addresses one by one, or the bounded draws of each group.
func (c *setCounter) ofName(zone *config.Zone, name *config.BalancedName) int {
	at, ok := c.index[name.Pool]
	if !ok {
		return 0
	}
	p := c.ofPool(at)
	count := func(addresses int) int {
		if addresses > 0 && (name.Answers != 1 || c.several[at]) {
			return varietyPeriods * zone.Variety * max(1, p.groups)
		}
		return addresses
	}
	sets := count(p.v4) + count(p.v6)
	if name.HTTPS != nil {
		sets += max(count(p.v4), count(p.v6), 1)
	}
	return sets + c.ofRecords(zone, at, name.Answers != 1 || c.several[at])
}

// ofRecords counts the sets of the records of members: of each member with a type one by one, or the bounded draws of
// each group.
func (c *setCounter) ofRecords(zone *config.Zone, at int, several bool) (sets int) {
	p := c.ofPool(at)
	for _, members := range p.records {
		if members > 0 && several {
			members = varietyPeriods * zone.Variety * max(1, p.groups)
		}
		sets += members
	}
	return sets
}

func (c *setCounter) ofPool(at int) poolSets {
	if known, ok := c.known[at]; ok {
		return known
	}
	c.known[at] = poolSets{} // for a pool that contains itself, which is an error
	p := &c.cfg.Pools[at]
	var sets poolSets
	groups := map[string]bool{}
	for i := range p.Members {
		m := &p.Members[i]
		groups[m.Region] = true
		for _, addr := range m.Addresses {
			if addr.Is4() {
				sets.v4++
			} else {
				sets.v6++
			}
		}
		if m.CName != "" {
			sets.v4++
		}
		if below, ok := c.index[m.Pool]; ok && m.Pool != "" {
			nested := c.ofPool(below)
			sets.v4, sets.v6, sets.groups = sets.v4+nested.v4, sets.v6+nested.v6, sets.groups+nested.groups
			for t := range nested.records {
				sets.records[t] += nested.records[t]
			}
		}
		for t, rrtype := range config.RecordTypes {
			if m.RecordsOf(rrtype) {
				sets.records[t]++
			}
		}
	}
	sets.groups += len(groups)
	c.known[at] = sets
	return sets
}

// warningsOfSets warns if the cache is too small for the signatures of a configuration.
func (s *Snapshot) warningsOfSets() []config.Error {
	sets, ok := s.SignedSets()
	if !ok || sets.Needed <= sets.Room {
		return nil
	}
	return []config.Error{s.Config.ErrorAt(s.Config.DNSSEC.KeysPos, "dnssec.cache",
		fmt.Sprintf("the signed zones can need %d signatures, and %d fit in the cache: some are made again and again", sets.Needed, sets.Room),
		fmt.Sprintf("write at least cache: %dMiB, or a smaller variety", 1+sets.Needed*dnssec.EntrySize>>20))}
}
