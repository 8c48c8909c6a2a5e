package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/config"
	"meridian/control"
	"meridian/dnssec"
	"meridian/snapshot"
)

// signing sends the metrics of signatures.
func (c *collection) signing(m *control.Measurement) {
	c.value("dnssec_signatures_total", float64(m.Signed))
	c.value("dnssec_cache_hits_total", float64(m.SignatureHits))
	c.value("dnssec_cache_misses_total", float64(m.SignatureMisses))
	c.value("dnssec_cache_entries", float64(m.Signing.Entries))
	c.value("dnssec_cache_evictions_total", float64(m.Signing.Evicted))
	c.signTimes(&m.Signing.Durations)
	c.value("dnssec_queue_full_total", float64(m.Unsigned))
}

// signTimes sends the histogram of how long signatures took.
func (c *collection) signTimes(d *dnssec.SignDurations) {
	buckets := make(map[float64]uint64, len(dnssec.SignBounds))
	for i, bound := range dnssec.SignBounds {
		buckets[bound.Seconds()] = d.Buckets[i]
	}
	f := families["dnssec_sign_seconds"]
	c.to <- prometheus.MustNewConstHistogram(f.desc, d.Buckets[len(dnssec.SignBounds)], d.Seconds, buckets)
}

// sendKeys sends the metrics of signed zones and their keys: with less detail, when the first signature of any zone
// expires.
func (s *series) sendKeys(c *collection, detail config.Detail) {
	zones, first := s.measured.Keys, time.Time{}
	for i := range zones {
		z := &zones[i]
		if first.IsZero() || z.Expires.Before(first) {
			first = z.Expires
		}
		if detail == config.RegionDetail {
			continue
		}
		c.value("dnssec_rrsig_expiry_seconds", time.Until(z.Expires).Seconds(), z.Zone)
		if z.Presigned {
			continue // the keys are not ours
		}
		c.value("dnssec_ds_seen", oneIf(z.DSSeen), z.Zone)
		c.zoneKeys(z)
	}
	if detail == config.RegionDetail && !first.IsZero() {
		c.value("dnssec_rrsig_expiry_seconds", time.Until(first).Seconds(), "")
	}
}

// zoneKeys sends the keys of a zone. Two keys of different algorithms can have one tag.
func (c *collection) zoneKeys(z *snapshot.ZoneKeys) {
	sent := map[[3]string]bool{}
	for _, k := range z.Keys {
		labels := [3]string{strconv.Itoa(int(k.Tag)), k.Role, k.State}
		if k.State == "removed" || sent[labels] {
			continue
		}
		sent[labels] = true
		c.value("dnssec_key", 1, z.Zone, labels[0], labels[1], labels[2])
	}
}

// keySeries returns how many series sendKeys sends with every detail but region.
func (s *series) keySeries() int {
	n := 0
	for i := range s.measured.Keys {
		n += 2 + len(s.measured.Keys[i].Keys)
	}
	return n
}
