package control

import (
	"fmt"
	"log/slog"
	"strings"

	"meridian/control/event"
	"meridian/pools"
)

type lostRegion struct{ pool, region, family string }

// compareLostLocked reports the regions of pools that are lost, so that their clients are spread
// over the others, and those that recovered, since the last call.
func (c *conditions) compareLostLocked() {
	ended := c.lost
	c.lost = nil
	for _, r := range c.current.LostRegions() {
		key := lostRegion{r.Pool, r.Region, r.Family}
		if !ended[key] {
			shares := sharesText(r.Shares)
			lost := key.event(event.Warning, "lost, its clients are spread over the other regions")
			lost.Fields["shares"] = shares
			c.report(slog.LevelWarn, "region lost, its clients are spread over the other regions", append(key.attributes(), "shares", shares), lost)
		}
		delete(ended, key)
		if c.lost == nil {
			c.lost = map[lostRegion]bool{}
		}
		c.lost[key] = true
	}
	for key := range ended {
		c.report(slog.LevelInfo, "region recovered, spillover ended", key.attributes(), key.event(event.Info, "recovered, spillover ended"))
	}
}

func (r lostRegion) attributes() []any {
	return []any{"pool", r.pool, "region", r.region, "family", r.family}
}

// event returns the event of a region that is lost or recovers.
func (r lostRegion) event(severity event.Severity, text string) event.Event {
	return event.Event{
		Kind: event.Spill, Severity: severity, Subject: r.pool, Message: r.region + ": " + text,
		Fields: map[string]string{"region": r.region, "family": r.family},
	}
}

// sharesText lists the share of each region, as many as fit a line.
func sharesText(shares []pools.RegionShare) string {
	const most = 8
	var words []string
	for i, s := range shares {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(shares)-most))
			break
		}
		words = append(words, fmt.Sprintf("%s=%.0f%%", s.Region, 100*s.Share))
	}
	return strings.Join(words, " ")
}
