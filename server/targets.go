package server

import (
	"context"
	"maps"
	"slices"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/pools"
	"meridian/resolver"
	"meridian/zones"
)

// debounceInterval is how long the pools stay as they are, at least, when the addresses
// of a target have changed: what else changes meanwhile is taken over together.
const debounceInterval = time.Second

// firstLookups is the part of firstRound that targets may take to be resolved; the
// rest is left for the first probes of what they lead to.
const firstLookups = startupProbeTimeout / 2

// prepare has the targets of a snapshot resolved and its endpoints probed, and
// waits for the first outcome of both, for a bounded time. Endpoints whose addresses
// the configuration has are probed from the beginning: no resolver that is silent
// takes their time.
func (l *instance) prepare(ctx context.Context, loaded *zones.Snapshot) (*generation, error) {
	ctx, cancel := context.WithTimeout(ctx, startupProbeTimeout)
	defer cancel()
	g := &generation{snapshot: loaded, targets: follow(l.tracker, loaded), replaced: make(chan struct{}), unused: make(chan struct{})}
	err := l.complete(ctx, g)
	if err != nil {
		g.targets.Close()
		return nil, err
	}
	return g, nil
}

// complete fills in what a generation has beside its targets.
func (l *instance) complete(ctx context.Context, g *generation) error {
	early, err := l.resolveFirst(ctx, g.targets, g.snapshot)
	if err != nil {
		return err
	}
	defer early.Close()
	if g.roundTrips, g.snapshot, err = l.firstRoundTrips(g.snapshot); err != nil {
		return err
	}
	if g.resolved = addressesOf(g.targets); len(g.resolved) > 0 {
		if g.snapshot, err = l.resolve(context.Background(), g.snapshot, g.resolved); err != nil {
			return err
		}
	}
	g.watch, g.loads, err = l.subscribe(ctx, g.snapshot)
	return err
}

// resolve compiles the pools of a snapshot with the addresses of targets.
func (l *instance) resolve(ctx context.Context, snapshot *zones.Snapshot, targets map[config.Name]pools.Resolved) (*zones.Snapshot, error) {
	return buildSafely(ctx, l, func() (*zones.Snapshot, error) { return snapshot.Resolve(targets) })
}

// resolveFirst waits until targets are resolved once, and has the endpoints that
// need no resolving probed meanwhile, until what it returns is closed.
func (l *instance) resolveFirst(ctx context.Context, targets *resolver.Watch, loaded *zones.Snapshot) (*health.Watch, error) {
	var endpoints []health.Target
	if len(loaded.Targets()) > 0 { // else there is nothing to wait for
		endpoints = loaded.Pools.Targets()
	}
	early, err := l.prober.Watch(endpoints, func([]health.Transition) {})
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
func follow(tracker *resolver.Watcher, snapshot *zones.Snapshot) *resolver.Watch {
	names, servers := snapshot.Targets(), snapshot.Config.Server.Resolvers
	if len(servers) == 0 && len(names) > 0 {
		servers = resolver.System(resolver.SystemFile)
	}
	return tracker.Follow(servers, names)
}

// addressesOf is what the targets led to, as the pools take it.
func addressesOf(targets *resolver.Watch) map[config.Name]pools.Resolved {
	found := map[config.Name]pools.Resolved{}
	for name, addresses := range targets.Addresses() {
		found[name] = pools.Resolved(addresses)
	}
	return found
}

// debounce delivers when the next change of addresses may take effect.
func (g *generation) debounce() <-chan time.Time {
	return time.After(max(0, debounceInterval-time.Since(g.changed)))
}

// updateAddresses has the pools use the addresses that targets have now: the pools
// alone are compiled again, new addresses get their first probes while the old pools answer,
// then the pools are swapped as at a reload. States of addresses that stay carry over.
func (l *instance) updateAddresses(ctx context.Context, g *generation) error {
	g.changed = time.Now()
	resolved := addressesOf(g.targets)
	if maps.EqualFunc(resolved, g.resolved, sameAddresses) {
		return nil
	}
	snapshot, err := l.resolve(ctx, g.snapshot, resolved)
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

// Resolve is a snapshot with its targets resolved once: for those who do not
// serve. It returns the targets that have no address as well. Close either
// snapshot, not both.
func Resolve(ctx context.Context, snapshot *zones.Snapshot, o resolver.Options) (*zones.Snapshot, []config.Name, error) {
	tracker := resolver.New(o)
	defer tracker.Close()
	targets := follow(tracker, snapshot)
	defer targets.Close()
	ctx, cancel := context.WithTimeout(ctx, startupProbeTimeout)
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
