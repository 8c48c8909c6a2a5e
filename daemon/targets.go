package daemon

import (
	"context"
	"maps"
	"slices"
	"time"

	"meridian/config"
	"meridian/discovery"
	"meridian/health"
	"meridian/pools"
	"meridian/snapshot"
)

// debounceInterval is the minimum time between a change of target addresses and the update of the
// pools: changes within it are applied together.
const debounceInterval = time.Second

// firstLookups is the part of startupProbeTimeout for the first lookups of targets; the rest is
// for the first probes of their addresses.
const firstLookups = startupProbeTimeout / 2

// prepare resolves the targets of a snapshot and probes its endpoints, and waits for the first
// results of both, for a bounded time. Endpoints with configured addresses are probed from the
// beginning, so that a silent resolver does not delay them.
func (l *instance) prepare(ctx context.Context, loaded *snapshot.Snapshot) (*generation, error) {
	ctx, cancel := context.WithTimeout(ctx, startupProbeTimeout)
	defer cancel()
	g := l.newGeneration(loaded)
	err := l.complete(ctx, g)
	if err != nil {
		g.Targets.Close()
		return nil, err
	}
	return g, nil
}

// complete fills in the fields of a generation after its targets.
func (l *instance) complete(ctx context.Context, g *generation) error {
	early, err := l.resolveFirst(ctx, g.Targets, g.Snapshot)
	if err != nil {
		return err
	}
	defer early.Close()
	if g.roundTrips, g.Snapshot, err = l.firstRoundTrips(g.Snapshot); err != nil {
		return err
	}
	if g.resolved = addressesOf(g.Targets); len(g.resolved) > 0 {
		if g.Snapshot, err = l.resolve(context.Background(), g.Snapshot, g.resolved); err != nil {
			return err
		}
	}
	g.Watch, g.Loads, err = l.subscribe(ctx, g.Snapshot)
	return err
}

// resolve sets the addresses of targets in the pools of a snapshot.
func (l *instance) resolve(ctx context.Context, from *snapshot.Snapshot, targets map[config.Target]pools.Resolved) (*snapshot.Snapshot, error) {
	return buildSafely(ctx, l, func() (*snapshot.Snapshot, error) { return from.Resolve(targets) })
}

// resolveFirst waits until targets are resolved once. In the same time it probes the endpoints
// that need no lookup; the caller closes the returned watch.
func (l *instance) resolveFirst(ctx context.Context, targets *discovery.Watch, loaded *snapshot.Snapshot) (*health.Watch, error) {
	var endpoints []health.Target
	if len(loaded.Targets()) > 0 { // otherwise there is nothing to wait for
		endpoints = loaded.Pools.Targets()
	}
	early, err := l.prober.Watch(endpoints, func([]health.Transition) {})
	if err != nil {
		return nil, err
	}
	if len(endpoints) > 0 {
		l.control.StartResolving()
	}
	ctx, cancel := context.WithTimeout(ctx, firstLookups)
	defer cancel()
	if unresolved := targets.FirstRound(ctx); unresolved > 0 {
		l.Logger.Warn("targets without an address; their members are not eligible", "unresolved", unresolved)
	}
	return early, nil
}

// follow starts tracking the targets of a snapshot with the resolvers of its configuration.
func follow(tracker *discovery.Watcher, snapshot *snapshot.Snapshot) *discovery.Watch {
	names, servers := snapshot.Targets(), snapshot.Config.Server.Resolvers
	if len(servers) == 0 && len(names) > 0 {
		servers = discovery.System(discovery.SystemFile)
	}
	return tracker.Follow(servers, names)
}

// addressesOf converts the addresses of targets for the pools.
func addressesOf(targets *discovery.Watch) map[config.Target]pools.Resolved {
	found := map[config.Target]pools.Resolved{}
	for name, addresses := range targets.Addresses() {
		found[name] = pools.Resolved(addresses)
	}
	return found
}

// debounce delivers when the next change of addresses may be applied.
func (g *generation) debounce() <-chan time.Time {
	return time.After(max(0, debounceInterval-time.Since(g.changed)))
}

// updateAddresses applies the current addresses of targets to the pools: it resolves only the
// members with a target again, probes new addresses while the old pools answer, then swaps the pools as a reload
// does. Health states of unchanged addresses carry over.
func (l *instance) updateAddresses(ctx context.Context, g *generation) error {
	g.changed = time.Now()
	resolved := addressesOf(g.Targets)
	if maps.EqualFunc(resolved, g.resolved, sameAddresses) {
		return nil
	}
	snapshot, err := l.resolve(ctx, l.snapshotOf(g), resolved)
	if err != nil {
		return err
	}
	if err := l.swapPools(ctx, g, snapshot); err != nil {
		return err
	}
	g.resolved = resolved
	return nil
}

func sameAddresses(a, b pools.Resolved) bool { return slices.Equal(a.Addresses, b.Addresses) }

// Resolve resolves the targets of a snapshot once, for callers that do not serve, and returns the
// new snapshot and the targets without an address. Close either snapshot, not both.
func Resolve(ctx context.Context, snapshot *snapshot.Snapshot, o discovery.Options) (*snapshot.Snapshot, []config.Target, error) {
	tracker := discovery.New(o)
	defer tracker.Close()
	targets := follow(tracker, snapshot)
	defer targets.Close()
	ctx, cancel := context.WithTimeout(ctx, startupProbeTimeout)
	defer cancel()
	targets.FirstRound(ctx)
	found := addressesOf(targets)
	unresolved := slices.DeleteFunc(snapshot.Targets(), func(name config.Target) bool {
		_, ok := found[name]
		return ok
	})
	next, err := snapshot.Resolve(found)
	return next, unresolved, err
}
