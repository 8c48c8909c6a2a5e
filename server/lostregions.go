package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"meridian/pools"
)

// lostRegionLog logs, once when it begins and once when it ends, that a region of a pool
// is lost and its clients are spread over the others. It knows pools and regions by name,
// so that a reload is neither a beginning nor an end. Safe for concurrent use.
type lostRegionLog struct {
	log *slog.Logger

	mu      sync.Mutex // guards all below
	current *pools.Tree
	logged  map[lostRegion]bool // those that go on
}

type lostRegion struct{ pool, region, family string }

// serve says that tree answers from now on.
func (l *lostRegionLog) serve(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = tree
	l.reportLocked()
}

// report logs what has begun and ended in tree since the last time, if tree is the one
// that answers.
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
			l.line(slog.LevelWarn, "region lost, its clients are spread", key, "shares", sharesText(r.Shares))
		}
		delete(ended, key)
		if l.logged == nil {
			l.logged = map[lostRegion]bool{}
		}
		l.logged[key] = true
	}
	for key := range ended {
		l.line(slog.LevelInfo, "region recovered, its clients are no longer spread", key)
	}
}

func (l *lostRegionLog) line(level slog.Level, text string, r lostRegion, more ...any) {
	l.log.Log(context.Background(), level, text, append([]any{"pool", r.pool, "region", r.region, "family", r.family}, more...)...)
}

// sharesText is which region takes how much, as many as fit a line.
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
