package geo

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
)

// These constants estimate a round trip from the distance if there is no measurement. Light in fibre takes 1 ms for
// 100 km both ways. The rest accounts for detours, the first and last mile, and the server.
const (
	expectedBase = 10.0 // milliseconds
	expectedRate = 50.0 // kilometres for each further one
)

// expected returns the expected round trip in milliseconds for a biased distance.
func expected(biased float64) float64 { return expectedBase + biased/expectedRate }

// Estimate is the round trip between a client and a region, derived from a Latency.
type Estimate struct {
	Region   int           // index into the given regions
	RTT      time.Duration // used for ranking
	Expected time.Duration // from the distance alone, bias included
	Measured time.Duration // from the table; 0: no measurement, RTT is Expected
	Samples  int           // of Measured; 0: not in the table
	By       string        // client of the row: "network 198.51.100.0/24", "AS64500", "country DE"
}

// Estimates returns the estimate of t for addr and each region, in the order of LatencyTable. It is slow and only for
// explanations.
func (l *Locator) Estimates(addr netip.Addr, t *Latency, regions []config.Region) []Estimate {
	at := l.Locate(addr)
	place := newPoint(config.Location{Lat: at.Lat, Lon: at.Lon})
	all := make([]Estimate, len(regions))
	order := make([]ranked, len(regions))
	for i, region := range regions {
		biased := Biased(place.distance(newPoint(region.Location)), region.Bias)
		if at.From == "" { // no source places the client, and there is no default region
			biased = 0
		}
		order[i] = ranked{region: uint16(i), km: biased, ms: expected(biased)}
		all[i] = Estimate{Region: i, Expected: roundTripOf(order[i].ms)}
		if row := t.about(addr, at, region.Name); row != nil {
			order[i].ms = row.mixed(order[i].ms, l.cfg.Latency.Samples)
			all[i].Measured, all[i].Samples, all[i].By = roundTripOf(float64(row.ms)), int(row.samples), row.of.String()
		}
		all[i].RTT = roundTripOf(order[i].ms)
	}
	quickestFirst(order, milliseconds(l.cfg.Latency.Tolerance))
	sorted := make([]Estimate, len(order))
	for i, o := range order {
		sorted[i] = all[o.region]
	}
	return sorted
}

// about returns the most specific row for a region and a client at a location, or nil.
func (l *Latency) about(addr netip.Addr, at Location, region string) *roundTrip {
	if l == nil {
		return nil
	}
	k, v4 := keyOf(addr)
	kind := measuredV6
	if v4 {
		kind = measuredV4
	}
	var best *roundTrip
	networks := l.networks(kind)
	for i := range networks {
		row := &networks[i]
		if l.regions[row.region] == region && row.of.key.prefix(v4, int(row.of.bits)).Contains(k.addr(v4)) && (best == nil || row.of.bits > best.of.bits) {
			best = row
		}
	}
	for _, wider := range []measured{measuredSystem(at.ASN), measuredIn(at.Country)} {
		rows := l.of(wider)
		for i := range rows {
			if best == nil && l.regions[rows[i].region] == region {
				best = &rows[i]
			}
		}
	}
	return best
}

// mixed returns the round trip in milliseconds from a row. With fewer samples than wanted, the expected round trip
// fills the missing share:
//
//	samples of the row      round trip
//	not given               the row's
//	n, at least wanted      the row's
//	n, fewer                (n·the row's + (wanted-n)·expected) / wanted
func (r *roundTrip) mixed(expected float64, wanted int) float64 {
	n := int(r.samples)
	if n == 0 || n >= wanted {
		return float64(r.ms)
	}
	return (float64(n)*float64(r.ms) + float64(wanted-n)*expected) / float64(wanted)
}

// quickestFirst sorts regions by round trip. Each next region is the nearest of those within tolerance milliseconds
// of the quickest that remains. Among equally near ones, the configured order decides.
func quickestFirst(order []ranked, tolerance float64) {
	slices.SortFunc(order, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.km, b.km), cmp.Compare(a.region, b.region))
	})
	for i := range order {
		best := i
		for j := i + 1; j < len(order) && order[j].ms <= order[i].ms+tolerance; j++ {
			if c := cmp.Compare(order[j].km, order[best].km); c < 0 || c == 0 && order[j].region < order[best].region {
				best = j
			}
		}
		next := order[best]
		copy(order[i+1:best+1], order[i:best])
		order[i] = next
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func roundTripOf(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// addr returns the address of k.
func (k key) addr(v4 bool) netip.Addr {
	if v4 {
		return k.prefix(true, bitsV4).Addr()
	}
	return k.prefix(false, bitsV6).Addr()
}
