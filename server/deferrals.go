package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"meridian/pools"
)

// deferralLog logs, once when it begins and once when it ends, that max_ejection defers
// the ejection of members: an operator must know that what the probes say is not what is
// answered. It knows members by pool and name, so that a reload is neither a beginning
// nor an end. Safe for concurrent use.
type deferralLog struct {
	log *slog.Logger

	mu      sync.Mutex // guards all below
	current *pools.Tree
	logged  map[memberName]pools.Deferral // those that go on
}

type memberName struct{ pool, member string }

func nameOf(d *pools.Deferral) memberName { return memberName{d.Pool, d.Member} }

// serve says that tree answers from now on, and logs how that differs from the one before.
func (l *deferralLog) serve(tree *pools.Tree) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = tree
	tree.TakeDeferrals() // up to now: what is deferred follows
	ended, ejected := l.logged, map[memberName]bool{}
	l.logged = map[memberName]pools.Deferral{}
	var lines []pools.Deferral
	for _, e := range tree.Ejections() {
		d := pools.Deferral{Pool: e.Pool, Member: e.Member, Since: e.Since, Reason: e.Reason}
		if !e.Deferred {
			ejected[nameOf(&d)] = true
			continue
		}
		if _, known := ended[nameOf(&d)]; !known {
			lines = append(lines, d)
		}
		delete(ended, nameOf(&d))
		l.logged[nameOf(&d)] = d
	}
	for name, d := range ended {
		d.End = pools.Removed
		if ejected[name] {
			d.End = pools.Ejected
		}
		lines = append(lines, d)
	}
	l.lines(lines)
	return len(lines) > 0
}

// report logs what began and ended in tree since the last time, if tree is the one that
// answers.
func (l *deferralLog) report(tree *pools.Tree) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tree != l.current {
		return false
	}
	var lines []pools.Deferral
	for _, d := range tree.TakeDeferrals() {
		name := nameOf(&d)
		if _, logged := l.logged[name]; logged == (d.End == pools.Ongoing) {
			continue
		}
		if d.End == pools.Ongoing {
			l.logged[name] = d
		} else {
			delete(l.logged, name)
		}
		lines = append(lines, d)
	}
	l.lines(lines)
	return len(lines) > 0
}

// lines writes a line for each pool and kind of news.
func (l *deferralLog) lines(all []pools.Deferral) {
	slices.SortStableFunc(all, func(a, b pools.Deferral) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), int(a.End)-int(b.End))
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Pool == all[0].Pool && all[n].End == all[0].End {
			n++
		}
		l.line(all[:n])
		all = all[n:]
	}
}

func (l *deferralLog) line(of []pools.Deferral) {
	level, text := slog.LevelError, "ejection deferred"
	switch of[0].End {
	case pools.Ejected:
		level, text = slog.LevelWarn, "deferred ejection carried out"
	case pools.Recovered, pools.Removed:
		level, text = slog.LevelInfo, "deferred ejection ended"
	}
	l.log.Log(context.Background(), level, text, "pool", of[0].Pool, "member", membersText(of), "members", len(of),
		"outcome", of[0].End.String(), "reason", of[0].Reason)
}

// membersText is the members of deferrals, as many as fit a line.
func membersText(of []pools.Deferral) string {
	const most = 8
	var names []string
	for i := range of {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(of)-most))
			break
		}
		names = append(names, of[i].Member)
	}
	return strings.Join(names, " ")
}

// logDeferrals logs what max_ejection has deferred, and what of that has ended, in a tree.
func (l *instance) logDeferrals(tree *pools.Tree) {
	if l.deferrals.report(tree) {
		l.markDirty()
	}
}

// tellServes says in the log what begins and ends with this tree's answering.
func (l *instance) tellServes(tree *pools.Tree) {
	l.modes.serve(tree)
	l.lost.serve(tree)
	if l.deferrals.serve(tree) {
		l.markDirty()
	}
}
