package control

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"meridian/control/event"
	"meridian/pools"
)

// lostRegionLog logs when a region of a pool is lost, so that its clients are spread over the
// others, and when it recovers, once each. It identifies pools and regions by name, so that a
// reload is neither a begin nor an end. Safe for concurrent use.
type lostRegionLog struct {
	log    *slog.Logger
	events *event.Log

	mu      sync.Mutex // guards all below
	current *pools.Tree
	logged  map[lostRegion]bool // the regions lost now
}

type lostRegion struct{ pool, region, family string }

// serve makes tree the current one.
func (l *lostRegionLog) serve(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = tree
	l.reportLocked()
}

// report logs the changes in tree since the last call, if tree is the current one.
func (l *lostRegionLog) report(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tree == l.current {
		l.reportLocked()
	}
}

func (l *lostRegionLog) reportLocked() {
	ended := l.logged
	l.logged = nil
	for _, r := range l.current.LostRegions() {
		key := lostRegion{r.Pool, r.Region, r.Family}
		if !ended[key] {
			l.line(slog.LevelWarn, "region lost, its clients are spread over the other regions", key, "shares", sharesText(r.Shares))
			recordLostRegion(l.events, event.Warning, key, "lost, its clients are spread over the other regions", sharesText(r.Shares))
		}
		delete(ended, key)
		if l.logged == nil {
			l.logged = map[lostRegion]bool{}
		}
		l.logged[key] = true
	}
	for key := range ended {
		l.line(slog.LevelInfo, "region recovered, spillover ended", key)
		recordLostRegion(l.events, event.Info, key, "recovered, spillover ended", "")
	}
}

func (l *lostRegionLog) line(level slog.Level, text string, r lostRegion, more ...any) {
	l.log.Log(context.Background(), level, text, append([]any{"pool", r.pool, "region", r.region, "family", r.family}, more...)...)
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
