package telemetry

import (
	"time"

	"meridian/config"
	"meridian/transfer/secondary"
)

// sendCopies sends the metrics of zones that come from primaries: with less detail, those of the zone that expires first.
func (s *series) sendCopies(c *collection, detail config.Detail) {
	all := s.measured.Copies
	if detail == config.RegionDetail {
		first := -1
		for i := range all {
			if first < 0 || all[i].Expires.Before(all[first].Expires) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		all = []secondary.Status{all[first]}
		all[0].Zone = ""
	}
	for i := range all {
		z := &all[i]
		zone := string(z.Zone)
		c.value("secondary_ready", oneIf(z.State == secondary.Ready), zone)
		c.value("secondary_failures", float64(z.Failures), zone)
		if z.State == secondary.Waiting {
			continue
		}
		c.value("secondary_serial", float64(z.Serial), zone)
		c.value("secondary_confirmed_seconds", time.Since(z.Confirmed).Seconds(), zone)
		c.value("secondary_expiry_seconds", time.Until(z.Expires).Seconds(), zone)
	}
}

// copySeries returns how many series sendCopies sends with every detail but region.
func (s *series) copySeries() int { return 5 * len(s.measured.Copies) }
