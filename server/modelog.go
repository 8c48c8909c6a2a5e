package server

import (
	"context"
	"log/slog"
	"sync"

	"meridian/pools"
)

// modeLog tells, once for each time it begins and ends, that a pool answers
// from elsewhere than its live members (DESIGN 5.2). It knows pools by name, so
// that a reload is neither a beginning nor an end. Safe for concurrent use.
type modeLog struct {
	log *slog.Logger

	mu       sync.Mutex // guards all below
	current  *pools.Tree
	reported map[poolFamily]pools.Mode // those that are not Normal
}

type poolFamily struct {
	pool   string
	family pools.Family
}

// serve says that tree answers from now on.
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
		c.From = ended[key] // Normal where it is not there
		delete(ended, key)
		l.logLocked(c)
	}
	for key, from := range ended {
		l.logLocked(pools.Change{Pool: key.pool, Family: key.family, From: from, To: pools.Normal})
	}
}

// apply runs change, which changes tree, and takes what it returns; of a tree
// that does not serve it is no news. Changes by several run one after the other,
// so that what is told last is what is so.
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
	}
}
