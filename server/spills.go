package server

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"

	"meridian/pools"
)

// spillLog tells, once for each time it begins and ends, that a region of a pool is lost
// and its clients are spread by free capacity. It knows pools and regions by name, so
// that a reload is neither a beginning nor an end. Safe for concurrent use.
type spillLog struct {
	log *slog.Logger

	mu     sync.Mutex // guards all below
	serves *pools.Tree
	told   map[spilled]pools.Spill // those that go on, as told
}

// spilled is a lost region of a pool.
type spilled struct{ pool, region string }

// serve says that tree answers from now on.
func (l *spillLog) serve(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serves = tree
	l.tellLocked()
}

// tell tells what has begun and ended in tree since the last time; of one that does
// not serve it is no news.
func (l *spillLog) tell(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tree == l.serves {
		l.tellLocked()
	}
}

func (l *spillLog) tellLocked() {
	ended := l.told
	l.told = nil
	for _, s := range l.serves.Spills() {
		key := spilled{s.Pool, s.Region}
		before, told := ended[key]
		if delete(ended, key); !told {
			before = s
			l.line(slog.LevelWarn, "region lost: its clients are spread", &s)
		}
		if l.told == nil {
			l.told = map[spilled]pools.Spill{}
		}
		l.told[key] = before
	}
	for _, s := range ended {
		l.line(slog.LevelInfo, "region lost no more: its clients are not spread any longer", &s)
	}
}

func (l *spillLog) line(level slog.Level, text string, s *pools.Spill) {
	l.log.Log(context.Background(), level, text, "pool", s.Pool, "region", s.Region, "load", math.Round(10*s.Load)/10, "parts", partsText(s))
}

// partsText is who takes how much, as many as fit a line.
func partsText(sp *pools.Spill) string {
	const most = 8
	var words []string
	for i, p := range sp.Parts {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(sp.Parts)-most))
			break
		}
		words = append(words, fmt.Sprintf("%s=%.0f%%", p.Region, 100*p.Part))
	}
	return strings.Join(append(words, fmt.Sprintf("rest=%.0f%%", 100*sp.Rest)), " ")
}
