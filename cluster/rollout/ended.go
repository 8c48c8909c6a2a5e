package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The results of a canary.
const (
	Promoted   = "promoted"    // all nodes serve its generation to all clients
	RolledBack = "rolled back" // a node that served or rejected it has ended it
	Canceled   = "canceled"    // an operator has ended it
)

// EndedCanary is a canary that has ended.
type EndedCanary struct {
	Canary
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Result string    `json:"result"`
	By     string    `json:"by"` // the node or operator that ended it
	Why    string    `json:"why,omitempty"`
}

const (
	// keptCanaries is the number of ended canaries in the target, which each node reads each second.
	keptCanaries = 20
	// maxWhy is the length in bytes of a reason that is kept.
	maxWhy = 300
)

// withEnded returns the ended canaries of the target, the latest first, with its canary as one of them; without a canary it
// returns them as they are.
func (t *Target) withEnded(result, by, why string, now time.Time) []EndedCanary {
	if t.Canary == nil {
		return t.Ended
	}
	ended := EndedCanary{Canary: *t.Canary, Since: t.Time, Until: now.UTC(), Result: result, By: by, Why: shortened(why)}
	return slices.Concat([]EndedCanary{ended}, t.Ended[:min(len(t.Ended), keptCanaries-1)])
}

// shortened returns a reason of at most maxWhy bytes.
func shortened(why string) string {
	if len(why) <= maxWhy {
		return why
	}
	end := maxWhy
	for !utf8.RuneStart(why[end]) {
		end--
	}
	return why[:end] + "…"
}

// LastCanary returns the canary that has ended last; nil: none has, or a later generation was pushed.
func (t *Target) LastCanary() *EndedCanary {
	if t.Canary != nil || len(t.Ended) == 0 || t.Ended[0].Generation < t.Latest {
		return nil
	}
	return &t.Ended[0]
}

// CanaryError is the error of a push while a canary serves.
type CanaryError struct{ Target Target }

func (e *CanaryError) Error() string {
	t, c := &e.Target, e.Target.Canary
	return fmt.Sprintf("generation %d is a canary on %s, pushed by %s at %s", c.Generation, c, t.Owner, t.Time.UTC().Format(time.RFC3339))
}

// Hint says how the next push becomes possible.
func (e *CanaryError) Hint() string {
	c := e.Target.Canary
	return fmt.Sprintf("meridian config rollback ends the canary of generation %d; or wait: all nodes serve it to all clients after %s at the earliest, then push again. meridian config history shows it",
		c.Generation, e.Target.CanaryEnd().Format(time.RFC3339))
}

// CanaryEnd returns when all nodes serve the canary at the earliest.
func (t *Target) CanaryEnd() time.Time { return t.Time.UTC().Add(t.Canary.For) }

// Awaited returns the nodes that must serve the canary before all do, and do not yet.
func (n *Node) Awaited(t *Target) (names []string) {
	c := t.Canary
	if c == nil {
		return nil
	}
	all := c.Nodes
	if c.Parts > 0 {
		all = append(slices.Clip(n.Fresh()), n.Name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range all {
		a := n.acks[name]
		serves := a.State == Serving && a.Generation == c.Generation && isHash(a.Hash, c.Hash)
		if c.Parts > 0 {
			serves = a.Split.serves(c)
		}
		if !serves {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names)
}

// withoutCanary returns the target without its canary, which has ended with a result.
func (t *Target) withoutCanary(result, owner, reason string) Target {
	next := *t
	next.Ended = t.withEnded(result, owner, reason, time.Now())
	next.Canary, next.Owner, next.Reason = nil, owner, reason
	return next
}

// endCanary makes the nodes of a canary serve what the others do.
func (n *Node) endCanary(ctx context.Context, t *Target, revision int64, why string) error {
	next := t.withoutCanary(RolledBack, n.Name, why)
	err := n.swap(ctx, &next, revision, nil)
	if err == nil {
		n.Report(slog.LevelError, n.Name, "canary rolled back: "+why)
	}
	return unlessConflict(err)
}

// CancelCanary ends a canary for an operator, and reports whether there was one.
func (n *Node) CancelCanary(ctx context.Context, owner, reason string) (canceled bool, err error) {
	t, revision, err := n.readTarget(ctx)
	if err != nil || t.Canary == nil {
		return false, err
	}
	next := t.withoutCanary(Canceled, owner, reason)
	return true, n.swap(ctx, &next, revision, nil)
}
