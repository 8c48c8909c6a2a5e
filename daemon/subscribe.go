package daemon

import (
	"context"
	"time"

	"meridian/health"
	"meridian/loads"
	"meridian/pools"
	"meridian/snapshot"
)

// startupProbeTimeout is the maximum time that the first round of probes may delay the first
// answer.
const startupProbeTimeout = 5 * time.Second

// subscribe starts the probes and load polls of the snapshot, and waits for the first results
// until ctx ends.
func (l *instance) subscribe(ctx context.Context, snapshot *snapshot.Snapshot) (*health.Watch, *loads.Watch, error) {
	tree := snapshot.Pools
	loads, err := l.followLoads(tree)
	if err != nil {
		return nil, nil, err
	}
	l.control.Prepare(tree, loads)
	watch, err := l.prober.Watch(tree.Targets(), func(turns []health.Transition) { l.apply(tree, turns) })
	if err != nil {
		l.control.Abort(tree)
		loads.Close()
		return nil, nil, err
	}
	l.control.StartProbing(watch)
	if l.Predecessor == nil { // else it publishes until this process takes over
		l.member.begin()
	}
	if unknown := watch.FirstRound(ctx); unknown > 0 {
		l.Logger.Warn("first round of probes unfinished; unknown health states count as up", "unknown", unknown)
	}
	l.control.EndFirstRound(tree)
	loads.FirstRound(ctx)
	l.control.ApplyLoads()
	return watch, loads, nil
}

// apply applies health state changes to a tree.
func (l *instance) apply(tree *pools.Tree, turns []health.Transition) {
	l.control.Apply(tree, turns)
	if l.OnTransition != nil {
		l.OnTransition(turns, tree)
	}
}

// followLoads starts polling the load targets of a tree.
func (l *instance) followLoads(tree *pools.Tree) (*loads.Watch, error) {
	targets := make([]loads.Target, len(tree.LoadTargets()))
	for i, t := range tree.LoadTargets() {
		targets[i] = loads.Target(t)
	}
	return l.poller.Follow(targets)
}
