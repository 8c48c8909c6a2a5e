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

// sendCatalogs sends the metrics of catalogs of other servers.
func (s *series) sendCatalogs(c *collection) {
	for _, of := range s.measured.Catalogs {
		catalog := string(of.Catalog)
		c.value("catalog_members", float64(of.Members-of.Leaving), catalog, "listed")
		c.value("catalog_members", float64(of.Leaving), catalog, "left")
		c.value("catalog_conflicts", float64(len(of.Conflicts)), catalog)
	}
}

// copySeries returns how many series sendCopies and sendCatalogs send with every detail but region.
func (s *series) copySeries() int { return 5*len(s.measured.Copies) + 3*len(s.measured.Catalogs) }
