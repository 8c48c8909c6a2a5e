package control

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"meridian/control/event"
	"meridian/health"
	"meridian/pools"
)

// stateLog records health state changes as events, once each. It identifies a problem by its
// subject, check and address: a reload begins those of new addresses that are down, and ends those
// of removed ones. A restart with saved problems is as a reload. Safe for concurrent use.
//
//	from       to                   event
//	any        the same             none
//	unknown    up                   none; info if it is recorded as not up
//	unknown    uncertain            none
//	unknown    down                 warning, unless it is recorded already
//	uncertain  up                   none if it is not recorded as uncertain: a restart restored it; else info
//	any        down, uncertain      warning
//	any        up                   info
//	not up     no longer configured info
type stateLog struct {
	events *event.Log

	mu       sync.Mutex // guards all below
	current  *pools.Tree
	prepared map[*pools.Tree]map[int]*health.Transition // of trees that do not serve yet: the targets that are not up, or no longer
	reported map[stateProblem]bool                      // those that are not up by their last event
}

// stateProblem is a problem as events and alerts identify it.
type stateProblem struct {
	subject, check string
	address        netip.Addr
}

// apply records the state changes of a tree.
func (l *stateLog) apply(tree *pools.Tree, transitions []health.Transition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range transitions {
		t, prepared := &transitions[i], l.prepared[tree]
		switch {
		case tree == l.current:
			l.recordLocked(tree, t)
		case prepared == nil: // it no longer serves
		case t.To == health.Up && !l.reported[problemOf(tree, t)]:
			delete(prepared, t.Index)
		default:
			prepared[t.Index] = t
		}
	}
}

// prepare makes tree the next one.
func (l *stateLog) prepare(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.prepared == nil {
		l.prepared = map[*pools.Tree]map[int]*health.Transition{}
	}
	l.prepared[tree] = map[int]*health.Transition{}
}

// drop forgets a tree that will not serve.
func (l *stateLog) drop(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.prepared, tree)
}

// serve makes tree the current one.
func (l *stateLog) serve(tree *pools.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tree == l.current {
		return
	}
	ended := l.reported
	l.current, l.reported = tree, map[stateProblem]bool{}
	for _, t := range l.prepared[tree] {
		p := problemOf(tree, t)
		changed := health.Down
		if ended[p] {
			delete(ended, p)
			l.reported[p] = true
			changed = health.Up
		}
		if t.To == changed {
			l.recordLocked(tree, t)
		}
	}
	delete(l.prepared, tree)
	l.endRemovedLocked(ended)
}

// endRemovedLocked ends the problems of targets that the current tree does not have. Those of its targets without a
// result yet last.
func (l *stateLog) endRemovedLocked(open map[stateProblem]bool) {
	if len(open) == 0 {
		return
	}
	for i, target := range l.current.Targets() {
		if p := problemOf(l.current, &health.Transition{Index: i, Target: target}); open[p] {
			delete(open, p)
			l.reported[p] = true
		}
	}
	for p := range open {
		l.addLocked(p, event.Event{Severity: event.Info, Message: "no longer configured"})
	}
}

// recordLocked records a state change of the current tree.
func (l *stateLog) recordLocked(tree *pools.Tree, t *health.Transition) {
	p, severity := problemOf(tree, t), event.Warning
	switch recorded := l.reported[p]; {
	case t.From == t.To,
		t.From == health.Unknown && (t.To == health.Uncertain || recorded != (t.To == health.Up)),
		t.From == health.Uncertain && t.To == health.Up && !recorded:
		return
	}
	if t.To == health.Up {
		severity = event.Info
		delete(l.reported, p)
	} else {
		l.reported[p] = true
	}
	fields := map[string]string{"from": t.From.String(), "to": t.To.String(), "reason": t.Reason}
	if others := otherMembers(tree, t, p.subject); others != "" {
		fields[event.Members] = others
	}
	l.addLocked(p, event.Event{Time: t.At, Severity: severity, Message: fmt.Sprintf("%s, was %s: %s", t.To, t.From, t.Reason), Fields: fields})
}

// mostOthers is the maximum number of members that an event lists beside its subject.
const mostOthers = 50

// otherMembers returns the members of the address and check of a state change except subject, with spaces between them.
func otherMembers(tree *pools.Tree, t *health.Transition, subject string) string {
	var all []string
	for _, use := range tree.TargetUses(t.Index) {
		if name := use.Pool + "/" + use.Member; use.Pool != "" && name != subject && len(all) < mostOthers {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

func (l *stateLog) addLocked(p stateProblem, e event.Event) {
	e.Kind, e.Subject = event.State, p.subject
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	e.Fields["address"], e.Fields["check"] = p.address.String(), p.check
	l.events.Add(e)
}

// problemOf identifies the problem of a state change. Its subject is the first member that uses the
// address.
func problemOf(tree *pools.Tree, t *health.Transition) stateProblem {
	p := stateProblem{subject: t.Target.Addr.String(), check: t.Target.Check.Name, address: t.Target.Addr}
	if uses := tree.TargetUses(t.Index); len(uses) > 0 && uses[0].Pool != "" {
		p.subject = uses[0].Pool + "/" + uses[0].Member
	} else if len(uses) > 0 {
		p.subject = "region:" + uses[0].Region
	}
	return p
}
