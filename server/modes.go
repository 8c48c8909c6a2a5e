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

	mu     sync.Mutex // guards all below
	serves *pools.Tree
	told   map[poolFamily]pools.Mode // those that are not Normal
}

type poolFamily struct {
	pool   string
	family pools.Family
}

// serve says that tree answers from now on.
func (l *modeLog) serve(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serves != nil {
		tree.InheritTenures(l.serves)
	}
	l.serves = tree
	ended := l.told
	l.told = map[poolFamily]pools.Mode{}
	for _, c := range tree.Modes() {
		key := poolFamily{c.Pool, c.Family}
		c.From = ended[key] // Normal where it is not there
		delete(ended, key)
		l.tellLocked(c)
	}
	for key, from := range ended {
		l.tellLocked(pools.Change{Pool: key.pool, Family: key.family, From: from, To: pools.Normal})
	}
}

// changing runs change, which changes tree, and takes what it returns; of a tree
// that does not serve it is no news. Changes by several run one after the other,
// so that what is told last is what is so.
func (l *modeLog) changing(tree *pools.Tree, change func() []pools.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := change()
	if tree != l.serves {
		return
	}
	for _, c := range changes {
		c.From = l.told[poolFamily{c.Pool, c.Family}]
		l.tellLocked(c)
	}
}

func (l *modeLog) tellLocked(c pools.Change) {
	level := slog.LevelWarn
	if key := (poolFamily{c.Pool, c.Family}); c.To == pools.Normal {
		level = slog.LevelInfo
		delete(l.told, key)
	} else {
		l.told[key] = c.To
	}
	if c.From != c.To {
		l.log.Log(context.Background(), level, "pool mode", "pool", c.Pool,
			"family", c.Family.String(), "from", c.From.String(), "to", c.To.String())
	}
}
