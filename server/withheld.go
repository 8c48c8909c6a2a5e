package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"meridian/pools"
)

// withheldLog tells, once for each time it begins and ends, that max_withdraw
// withholds a turn to down: an operator must know that what the probes say is not
// what is answered. It knows targets by check and address, so that a reload is
// neither a beginning nor an end. Safe for concurrent use.
type withheldLog struct {
	log *slog.Logger

	mu     sync.Mutex // guards all below
	serves *pools.Tree
	told   map[probed]pools.Withholding // those that are withheld, as told
}

// probed is a target as configurations know it.
type probed struct {
	check string
	addr  netip.Addr
}

func probedBy(h *pools.Withholding) probed {
	return probed{h.Turn.Target.Check.Name, h.Turn.Target.Addr}
}

// serve says that tree answers from now on. What it withholds is news unless the one
// before did: the process before may have, of which nobody here was told. What the
// one before withheld and it does not has ended by the reload.
func (l *withheldLog) serve(tree *pools.Tree) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serves = tree
	tree.Withholdings() // up to now, which is what follows
	ended := l.told
	l.told = map[probed]pools.Withholding{}
	for _, h := range tree.Withheld() {
		if before, told := ended[probedBy(&h)]; told {
			l.told[probedBy(&h)] = before
			delete(ended, probedBy(&h))
			continue
		}
		l.tellLocked(h)
		news = true
	}
	var gone []pools.Withholding
	for _, h := range ended {
		gone = append(gone, h)
	}
	slices.SortFunc(gone, func(a, b pools.Withholding) int { return a.Turn.At.Compare(b.Turn.At) })
	for _, h := range tree.Ends(gone) {
		l.tellLocked(h)
		news = true
	}
	return news
}

// tell tells what has begun and ended in tree since the last time; of one that does
// not serve it is no news.
func (l *withheldLog) tell(tree *pools.Tree) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tree != l.serves {
		return false
	}
	for _, h := range tree.Withholdings() {
		if _, told := l.told[probedBy(&h)]; told != (h.Ended == pools.Begun) {
			l.tellLocked(h)
			news = true
		}
	}
	return news
}

func (l *withheldLog) tellLocked(h pools.Withholding) {
	level, answered := slog.LevelInfo, "as its check says"
	switch h.Ended {
	case pools.Begun:
		level, answered = slog.LevelError, "as up, although its check says down"
		l.told[probedBy(&h)] = h
	case pools.Heeded:
		level, answered = slog.LevelWarn, "as down"
	}
	if h.Ended != pools.Begun {
		delete(l.told, probedBy(&h))
	}
	l.log.Log(context.Background(), level, "withdrawal "+h.Ended.String(),
		"check", h.Turn.Target.Check.Name, "address", h.Turn.Target.Addr.String(),
		"of", usersText(h.Users), "counts", answered, "reason", h.Turn.Reason)
}

// tellWithheld tells what max_withdraw has begun and ended to withhold in a tree.
func (l *life) tellWithheld(tree *pools.Tree) {
	if l.withheld.tell(tree) {
		l.note()
	}
}

// tellServes says in the log what begins and ends with this tree's answering.
func (l *life) tellServes(tree *pools.Tree) {
	l.modes.serve(tree)
	l.spills.serve(tree)
	if l.withheld.serve(tree) {
		l.note()
	}
}

// usersText is users as operators name them, as many as fit a line.
func usersText(users []pools.User) string {
	const most = 8
	var b strings.Builder
	for i, u := range users {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(users)-most)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		if u.Pool == "" {
			b.WriteString("region:" + u.Region)
		} else {
			b.WriteString(u.Pool + "/" + u.Member)
		}
	}
	return b.String()
}
