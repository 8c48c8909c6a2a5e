package telemetry

import (
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/health"
	"meridian/pools"
)

// series are the metrics that grow in number with the configuration, collected once for a scrape.
type series struct {
	measured  *control.Measurement
	pools     []pools.PoolStatus
	endpoints map[int]pools.AddressStatus // by target
	deferred  map[string]int              // by pool
	expiry    map[[2]string]time.Time     // of certificates, by check and address
	loads     int                         // members with a load
	members   int
}

func newSeries(m *control.Measurement, certificates []health.Certificate) *series {
	s := &series{measured: m, endpoints: map[int]pools.AddressStatus{}, deferred: map[string]int{}, expiry: expiries(certificates)}
	for p := range m.Tree.Status() {
		s.pools = append(s.pools, p)
		for i := range p.Members {
			s.addMember(&p.Members[i])
		}
	}
	for _, d := range m.Tree.Deferrals() {
		s.deferred[d.Pool]++
	}
	return s
}

// expiries returns when the first certificate of each check and address expires: checks that differ in a member's own
// settings have one name.
func expiries(all []health.Certificate) map[[2]string]time.Time {
	first := make(map[[2]string]time.Time, len(all))
	for _, c := range all {
		noteExpiry(first, labelOf(c.Check), c.Addr.String(), c.Expires)
	}
	return first
}

// noteExpiry keeps the earliest of several times with equal labels.
func noteExpiry(first map[[2]string]time.Time, check, address string, at time.Time) {
	labels := [2]string{check, address}
	if known, ok := first[labels]; !ok || at.Before(known) {
		first[labels] = at
	}
}

// sendExpiry sends when certificates expire: of each address, or with less detail of each check.
func (s *series) sendExpiry(c *collection, detail config.Detail) {
	sums := s.expiry
	if detail != config.MemberDetail {
		sums = map[[2]string]time.Time{}
		for labels, at := range s.expiry {
			noteExpiry(sums, labels[0], "", at)
		}
	}
	for labels, at := range sums {
		c.value("certificate_expiry_timestamp_seconds", seconds(at), labels[:]...)
	}
}

func (s *series) addMember(m *pools.MemberStatus) {
	s.members++
	if ratio(m.Load) >= 0 {
		s.loads++
	}
	for _, a := range m.Addresses {
		if a.Target >= 0 {
			s.endpoints[a.Target] = a
		}
	}
}

// ratio returns the load of a member divided by its capacity; negative: not known.
func ratio(load *pools.StepLoad) float64 {
	if load == nil || load.Capacity <= 0 || !load.Fresh {
		return -1
	}
	return load.Load / load.Capacity
}

// fixedSeries is about how many series do not depend on pools and zones.
const fixedSeries = 300

// count returns how many series there are with a detail.
func (s *series) count(detail config.Detail) int {
	fixed := fixedSeries + len(s.measured.Filters)
	checks := len(s.measured.Config.Checks) * seriesPerCheck
	regions := len(s.measured.Config.Regions) + 1
	perPool := 2*pools.ModeCount + len([]string{"live", "eligible", "deferred"})
	switch detail {
	case config.RegionDetail:
		return fixed + checks + regions + pools.ModeCount
	case config.PoolDetail:
		return fixed + s.keySeries() + s.copySeries() + checks + len(s.measured.Config.Zones) + len(s.pools)*perPool + len(s.sums(detail))
	}
	return fixed + s.keySeries() + s.copySeries() + checks + len(s.measured.Config.Zones) + len(s.pools)*perPool + len(s.measured.Answers.Members) + s.members + s.loads + len(s.endpoints) + len(s.expiry)
}

// seriesPerCheck is the most series of a check: three results, three states, a histogram, and an expiry.
const seriesPerCheck = 3 + 3 + 15 + 1

// send sends the series of a detail.
func (s *series) send(c *collection, detail config.Detail) {
	answers := &s.measured.Answers
	s.sendExpiry(c, detail)
	s.sendKeys(c, detail)
	s.sendCopies(c, detail)
	if detail != config.RegionDetail {
		s.sendCatalogs(c)
	}
	for names, n := range s.sums(detail) {
		c.value("member_answers_total", float64(n), names.Pool, names.Member, names.Region)
	}
	if detail == config.RegionDetail {
		c.value("zone_queries_total", float64(sum(answers.Zones)), "")
		byMode := map[string]uint64{}
		for pool, n := range answers.Pools {
			byMode[pool.Mode] += n
		}
		for mode, n := range byMode {
			c.value("pool_answers_total", float64(n), "", mode)
		}
		return
	}
	for zone, n := range answers.Zones {
		c.value("zone_queries_total", float64(n), zone)
	}
	for pool, n := range answers.Pools {
		c.value("pool_answers_total", float64(n), pool.Pool, pool.Mode)
	}
	for i := range s.pools {
		s.sendPool(c, &s.pools[i])
	}
	if detail == config.MemberDetail {
		s.sendMembers(c)
	}
}

// sums returns the answers of members, summed to a detail.
func (s *series) sums(detail config.Detail) map[pools.MemberNames]uint64 {
	all := s.measured.Answers.Members
	if detail == config.MemberDetail {
		return all
	}
	sums := map[pools.MemberNames]uint64{}
	for names, n := range all {
		names.Member = ""
		if detail == config.RegionDetail {
			names.Pool = ""
		}
		sums[names] += n
	}
	return sums
}

func sum(counts map[string]uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func (s *series) sendPool(c *collection, p *pools.PoolStatus) {
	c.value("pool_live", oneIf(p.Live[pools.IPv4] && p.Live[pools.IPv6]), p.Pool)
	c.value("pool_eligible_members", float64(min(p.Eligible[pools.IPv4], p.Eligible[pools.IPv6])), p.Pool)
	c.value("pool_ejections_deferred", float64(s.deferred[p.Pool]), p.Pool)
	for mode := range pools.ModeCount {
		is := pools.Mode(mode)
		c.value("pool_mode", oneIf(p.Mode[pools.IPv4] == is || p.Mode[pools.IPv6] == is), p.Pool, is.String())
	}
}

func (s *series) sendMembers(c *collection) {
	for i := range s.pools {
		p := &s.pools[i]
		for j := range p.Members {
			m := &p.Members[j]
			c.value("member_eligible", oneIf(m.Eligible[pools.IPv4] && m.Eligible[pools.IPv6]), p.Pool, m.Member)
			if load := ratio(m.Load); load >= 0 {
				c.value("load_ratio", load, p.Pool, m.Member)
			}
		}
	}
	targets := s.measured.Tree.Targets()
	sent := map[[2]string]bool{} // checks that differ in a member's own settings have one name
	for target, a := range s.endpoints {
		labels := [2]string{labelOf(targets[target].Check), a.Addr.String()}
		if !sent[labels] {
			sent[labels] = true
			c.value("endpoint_up", oneIf(a.Up), labels[:]...)
		}
	}
}
