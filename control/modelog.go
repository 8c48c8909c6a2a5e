package control

import (
	"context"
	"log/slog"
	"sync"

	"meridian/control/event"
	"meridian/pools"
)

// modeLog logs when a pool starts and stops answering from anything but its live members, once
// each. It identifies pools by name, so that a reload is neither a begin nor an end. Safe for
// concurrent use.
type modeLog struct {
	log    *slog.Logger
	events *event.Log

	mu       sync.Mutex // guards all below
	current  *pools.Tree
	reported map[poolFamily]pools.Mode // without those in mode Normal
}

type poolFamily struct {
	pool   string
	family pools.Family
}

// serve makes tree the current one.
func (l *modeLog) serve(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		tree.CarryOverSince(l.current)
	}
	l.current = tree
	ended := l.reported
	l.reported = map[poolFamily]pools.Mode{}
	for _, c := range tree.Modes() {
		key := poolFamily{c.Pool, c.Family}
		c.From = ended[key] // Normal if it is missing
		delete(ended, key)
		l.logLocked(c)
	}
	for key, from := range ended {
		l.logLocked(pools.Change{Pool: key.pool, Family: key.family, From: from, To: pools.Normal})
	}
}

// apply runs change, which modifies tree, and logs the returned changes if tree is the current
// one. Concurrent changes run one after the other, so that the last log line is the current
// state.
func (l *modeLog) apply(tree *pools.Tree, change func() []pools.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := change()
	if tree != l.current {
		return
	}
	for _, c := range changes {
		c.From = l.reported[poolFamily{c.Pool, c.Family}]
		l.logLocked(c)
	}
}

func (l *modeLog) logLocked(c pools.Change) {
	level := slog.LevelWarn
	if key := (poolFamily{c.Pool, c.Family}); c.To == pools.Normal {
		level = slog.LevelInfo
		delete(l.reported, key)
	} else {
		l.reported[key] = c.To
	}
	if c.From != c.To {
		l.log.Log(context.Background(), level, "pool mode", "pool", c.Pool,
			"family", c.Family.String(), "from", c.From.String(), "to", c.To.String())
		recordMode(l.events, c)
	}
}
