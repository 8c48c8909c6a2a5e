package control

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
)

// deferralLog logs the begin and the end of ejections deferred by max_ejection, once each: an
// operator must know that answers differ from the probe results. It identifies members by pool
// and name, so that a reload is neither a begin nor an end. Safe for concurrent use.
type deferralLog struct {
	log    *slog.Logger
	events *event.Log

	mu      sync.Mutex // guards all below
	current *pools.Tree
	logged  map[memberName]pools.Deferral // the current ones
}

type memberName struct{ pool, member string }

func nameOf(d *pools.Deferral) memberName { return memberName{d.Pool, d.Member} }

// serve makes tree the current one and logs the differences from the previous one.
func (l *deferralLog) serve(tree *pools.Tree) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = tree
	tree.TakeDeferrals() // discard earlier events: the current deferrals are listed below
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

// report logs the deferrals that began and ended in tree since the last call, if tree is the
// current one.
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

// lines logs one line for each pool and outcome.
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
	recordDeferrals(l.events, of, text)
}

// membersText lists the members of deferrals, as many as fit a line.
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

// logDeferrals logs new and ended deferrals of max_ejection in a tree.
func (c *Control) logDeferrals(tree *pools.Tree) {
	if c.deferrals.report(tree) {
		c.markDirty()
	}
}

// logCurrent logs the changes of pool modes, lost regions and deferrals that come with this tree.
func (c *Control) logCurrent(tree *pools.Tree) {
	c.modes.serve(tree)
	c.lost.serve(tree)
	if c.deferrals.serve(tree) {
		c.markDirty()
	}
}

// Apply applies health state changes to a tree, serving or prepared, and logs their effects.
func (c *Control) Apply(tree *pools.Tree, transitions []health.Transition) {
	c.recordTransitions(tree, transitions)
	c.modes.apply(tree, func() []pools.Change { return tree.Apply(transitions) })
	c.logDeferrals(tree)
	c.lost.report(tree)
}
