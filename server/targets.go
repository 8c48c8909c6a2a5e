package server

import (
	"context"
	"maps"
	"slices"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/load"
	"meridian/pools"
	"meridian/resolver"
	"meridian/zones"
)

// settleTime is how long the pools stay as they are, at least, when the addresses
// of a target have changed: what else changes meanwhile is taken over together.
const settleTime = time.Second

// kept is a snapshot and what keeps it current.
type kept struct {
	snapshot *zones.Snapshot
	watch    *health.Watch
	loads    *load.Following
	targets  *resolver.Following
	resolved map[config.Name]pools.Resolved // as the snapshot has them
	changed  time.Time                      // when that last changed

	roundTrips *roundTrips
}

// close ends what keeps the snapshot current; its snapshot is its owner's to close.
func (k *kept) close() {
	k.watch.Close()
	k.loads.Close()
	k.targets.Close()
}

// firstLookups is the part of firstRound that targets may take to be resolved; the
// rest is left for the first probes of what they lead to.
const firstLookups = firstRound / 2

// prepare has the targets of a snapshot resolved and its endpoints probed, and
// waits for the first outcome of both, for a bounded time. Endpoints whose addresses
// the configuration has are probed from the beginning: no resolver that is silent
// takes their time.
func (l *life) prepare(ctx context.Context, loaded *zones.Snapshot) (*kept, error) {
	ctx, cancel := context.WithTimeout(ctx, firstRound)
	defer cancel()
	k := &kept{snapshot: loaded, targets: follow(l.tracker, loaded)}
	early, err := l.firstResolved(ctx, k.targets, loaded)
	if err != nil {
		k.targets.Close()
		return nil, err
	}
	defer early.Close()
	k.roundTrips, k.snapshot, err = l.firstRoundTrips(loaded)
	if k.resolved = addressesOf(k.targets); err == nil && len(k.resolved) > 0 {
		k.snapshot, err = k.snapshot.Resolve(k.resolved)
	}
	if err == nil {
		k.watch, err = l.watch(ctx, k.snapshot)
	}
	if err == nil {
		if k.loads, err = l.followLoads(ctx, k.snapshot.Pools); err != nil {
			l.control.stay()
			k.watch.Close()
		}
	}
	if err != nil {
		k.targets.Close()
		return nil, err
	}
	return k, nil
}

// firstResolved waits until targets are resolved once, and has the endpoints that
// need no resolving probed meanwhile, until what it returns is closed.
func (l *life) firstResolved(ctx context.Context, targets *resolver.Following, loaded *zones.Snapshot) (*health.Watch, error) {
	var endpoints []health.Target
	if len(loaded.Targets()) > 0 { // else there is nothing to wait for
		endpoints = loaded.Pools.Targets()
	}
	early, err := l.prober.Watch(endpoints, func([]health.Turn) {})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, firstLookups)
	defer cancel()
	if unresolved := targets.FirstRound(ctx); unresolved > 0 {
		l.Logger.Warn("targets without an address; their members are not eligible", "unresolved", unresolved)
	}
	return early, nil
}

// follow has tracker track the targets of a snapshot, by the servers that its
// configuration names.
func follow(tracker *resolver.Tracker, snapshot *zones.Snapshot) *resolver.Following {
	names, servers := snapshot.Targets(), snapshot.Config.Server.Resolvers
	if len(servers) == 0 && len(names) > 0 {
		servers = resolver.System(resolver.SystemFile)
	}
	return tracker.Follow(servers, names)
}

// addressesOf is what the targets led to, as the pools take it.
func addressesOf(targets *resolver.Following) map[config.Name]pools.Resolved {
	found := map[config.Name]pools.Resolved{}
	for name, addresses := range targets.Addresses() {
		found[name] = pools.Resolved(addresses)
	}
	return found
}

// settle delivers when the next change of addresses may be taken over.
func (k *kept) settle() <-chan time.Time {
	return time.After(max(0, settleTime-time.Since(k.changed)))
}

// readdress takes over the addresses that targets have now: the pools alone are
// compiled anew, new addresses get their first probes while the old pools answer,
// then the pools are swapped as at a reload. Verdicts of addresses that stay carry over.
func (l *life) readdress(ctx context.Context, k *kept) error {
	k.changed = time.Now()
	resolved := addressesOf(k.targets)
	if maps.EqualFunc(resolved, k.resolved, sameAddresses) {
		return nil
	}
	snapshot, err := k.snapshot.Resolve(resolved)
	if err != nil {
		return err
	}
	if err := l.replace(ctx, k, snapshot); err != nil {
		return err
	}
	k.resolved = resolved
	return nil
}

// replace has a snapshot that differs in its pools alone answer in place of that of k.
func (l *life) replace(ctx context.Context, k *kept, snapshot *zones.Snapshot) error {
	probing, cancel := context.WithTimeout(ctx, firstRound)
	defer cancel()
	watch, err := l.watch(probing, snapshot)
	if err != nil {
		return err
	}
	loads, err := l.followLoads(probing, snapshot.Pools)
	if err != nil {
		l.control.stay()
		watch.Close()
		return err
	}
	if _, err := l.server.Swap(snapshot); err != nil {
		l.control.stay()
		watch.Close()
		loads.Close()
		return err
	}
	l.control.settle(snapshot, watch, loads, k.targets)
	l.tellServes(snapshot.Pools)
	k.watch.Close()
	k.loads.Close()
	k.snapshot, k.watch, k.loads = snapshot, watch, loads
	return nil
}

func sameAddresses(a, b pools.Resolved) bool { return slices.Equal(a.Addresses, b.Addresses) }

// Resolve is a snapshot with its targets resolved once: for those who do not
// serve. It returns the targets that have no address as well. Close either
// snapshot, not both.
func Resolve(ctx context.Context, snapshot *zones.Snapshot, o resolver.Options) (*zones.Snapshot, []config.Name, error) {
	tracker := resolver.New(o)
	defer tracker.Close()
	targets := follow(tracker, snapshot)
	defer targets.Close()
	ctx, cancel := context.WithTimeout(ctx, firstRound)
	defer cancel()
	targets.FirstRound(ctx)
	found := addressesOf(targets)
	unresolved := slices.DeleteFunc(snapshot.Targets(), func(name config.Name) bool {
		_, ok := found[name]
		return ok
	})
	next, err := snapshot.Resolve(found)
	return next, unresolved, err
}
