package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/pools"
	"meridian/server/answer"
)

// A canary for a share of the clients is a generation that was prepared, as in a reload, and does not replace the one that
// serves: its pools decide for those clients. It follows health states, overrides, load reports and the addresses of targets,
// and shares the probes of all checks that are the same in both.

// handleCanary begins or ends a canary, and answers a request.
func (l *instance) handleCanary(ctx context.Context, request control.ReloadRequest) {
	defer l.processors.use()()
	_, err := recovered(func() (struct{}, error) {
		if request.Canary.Generation == 0 {
			l.endCanary()
			return struct{}{}, nil
		}
		return struct{}{}, l.beginCanary(ctx, &request)
	})
	l.notePanic(err)
	request.Answer(control.ReloadOutcome{Loaded: new(control.Loaded), Err: err})
	if ctx.Err() == nil { // unless it is shutting down
		freeOSMemory()
	}
}

// beginCanary makes another configuration decide for a share of the clients. All that can fail comes first.
func (l *instance) beginCanary(ctx context.Context, request *control.ReloadRequest) error {
	defer l.collecting.use()()
	l.endCanary()
	loaded, err := l.loadAgain(ctx, request)
	if err != nil {
		return err
	}
	g, err := l.prepare(ctx, loaded)
	if err != nil {
		return errors.Join(err, loaded.Close())
	}
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	asked := request.Canary
	l.canary = &canary{generation: g, since: time.Now(), of: answer.Canary{
		Generation: asked.Generation, Share: pools.NewClientShare(asked.Seed(), asked.Parts), Parts: asked.Parts,
	}}
	l.useCanaryLocked()
	return nil
}

// canary is a generation that decides for a share of the clients.
type canary struct {
	*generation
	of    answer.Canary
	since time.Time
}

// useCanaryLocked makes the server answer from the present snapshot of the canary.
func (l *instance) useCanaryLocked() {
	c := l.canary
	c.of.Snapshot = c.Snapshot
	of := c.of
	l.server.UseCanary(&of)
	l.control.UseCanary(&control.Canary{Generation: c.Generation, Of: &of, Since: c.since})
}

// endCanary ends the canary; without one it does nothing.
func (l *instance) endCanary() {
	l.swapMu.Lock()
	c := l.canary
	l.canary = nil
	if c != nil {
		l.server.UseCanary(nil)
		l.control.UseCanary(nil)
	}
	l.swapMu.Unlock()
	if c != nil {
		l.control.Abort(c.Snapshot.Pools)
		c.Release()
		c.awaitUnused()
	}
}

// exchangeCanary is exchange for the canary.
func (l *instance) exchangeCanary(g, next *generation) error {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.canary == nil || l.canary.generation != g {
		return errReplaced
	}
	before := g.Snapshot
	g.Snapshot, next.Snapshot = next.Snapshot, g.Snapshot
	g.Watch, next.Watch = next.Watch, g.Watch
	g.Loads, next.Loads = next.Loads, g.Loads
	l.useCanaryLocked()
	l.control.Abort(before.Pools)
	return nil
}

// holdCanary returns the canary's generation, with the caller as a user; nil: there is none.
func (l *instance) holdCanary() *generation {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	if l.canary == nil {
		return nil
	}
	l.canary.Acquire() // never fails: the instance is a user of it
	return l.canary.generation
}

// updateTargets applies the current addresses of targets to g, which serves, and to the canary.
func (l *instance) updateTargets(ctx context.Context, g *generation) error {
	err := l.updateAddresses(ctx, g)
	c := l.holdCanary()
	if c == nil {
		return err
	}
	defer c.Release()
	if failed := l.updateAddresses(ctx, c); !errors.Is(failed, errReplaced) {
		err = errors.Join(err, failed)
	}
	return err
}

// errNoServing is the error of a canary if no shared configuration serves.
var errNoServing = &control.RequestError{What: "there is no generation that the others could get", Hint: "push the first one without a canary"}

// checkSplit returns an error if the shared configuration of documents differs from the one that serves in what a share of the
// clients cannot have differently.
func (l *instance) checkSplit(documents []config.Document) error {
	serving, ok, err := control.SharedDocument(l.served().Config)
	if err != nil {
		return err
	}
	if !ok {
		return errNoServing
	}
	i := slices.IndexFunc(documents, func(d config.Document) bool { return d.File == serving.File })
	if i < 0 {
		return errNoDocuments
	}
	return config.CheckSplit(serving.Text, documents[i])
}

// splitWatch compares what a canary answers its share of the clients with what the others get. The goroutine of the rollout owns
// it.
type splitWatch struct {
	before answer.Counters // when the canary began to serve
}

// breach returns why the canary breaks a guardrail; empty: it does not. Its clients are compared with the others in the same
// time, and its pools with those that serve:
//
//	guardrail   broken if
//	answers     more of them are SERVFAIL than of the others, by maxFailures
//	pools       one fails open, or has no answer, and does not in the generation that serves
func (w *splitWatch) breach(now answer.Counters, canary, serving *pools.Tree) string {
	ours := canaryWatch{begun: true, lost: lostPools(serving)}
	ours.answers = answersOf(&now) - answersOf(&w.before) - (now.Canary - w.before.Canary)
	ours.failures = failuresOf(&now) - failuresOf(&w.before) - (now.CanaryFailed - w.before.CanaryFailed)
	return ours.breachOf(now.Canary-w.before.Canary, now.CanaryFailed-w.before.CanaryFailed, lostPools(canary), "of the others")
}
