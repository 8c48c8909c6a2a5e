package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/admin/listener"
	"meridian/control"
	"meridian/snapshot"
)

// checkReload does all of a reload that can fail before anything changes, and answers a request.
func (l *instance) checkReload(ctx context.Context, request control.ReloadRequest) {
	begun := time.Now()
	loaded, err := l.loadAgain(ctx, &request)
	outcome := control.ReloadOutcome{Err: err}
	if err == nil {
		outcome.Loaded = countLoaded(loaded)
		outcome.Loaded.Took, outcome.Err = time.Since(begun), loaded.Close()
	}
	request.Answer(outcome)
}

// handleReload reloads, and answers a request.
func (l *instance) handleReload(ctx context.Context, request control.ReloadRequest) {
	if request.CheckOnly {
		l.checkReload(ctx, request)
		return
	}
	if request.Canary != nil {
		l.handleCanary(ctx, request)
		return
	}
	l.notify(NotifyReloading)
	defer func() {
		if ctx.Err() == nil {
			l.notify(NotifyReady)
		}
	}()
	defer l.processors.use()()
	begun, before := time.Now(), l.adminListener
	_, err := recovered(func() (struct{}, error) { return struct{}{}, l.reload(ctx, &request) })
	l.notePanic(err)
	if err != nil && ctx.Err() == nil && request.Documents == nil { // at shutdown the result is not needed; the API has its own record
		l.control.RecordReload(err)
		l.Logger.Error("reload refused; the old configuration keeps serving", reasons(err)...)
	}
	request.Answer(control.ReloadOutcome{Loaded: l.loaded(begun, before), Err: err})
	if before != l.adminListener {
		before.Close() // waits until the answer is sent, which may go through it
	}
	if ctx.Err() == nil { // unless it is shutting down
		freeOSMemory()
	}
}

// reload replaces what serves by what the configuration says now. All steps that can fail come
// first, while the old generation serves; an error undoes those before it.
func (l *instance) reload(ctx context.Context, request *control.ReloadRequest) (err error) {
	l.healShared(l.served().Config.SharedFile())
	begun := time.Now()
	defer l.collecting.use()()
	var undo undoList
	defer func() { err = undo.ifFailed(err) }()

	loaded, err := l.loadAgain(ctx, request) // read the files, build and check, in the background
	if err != nil {
		return err
	}
	undo.add(loaded.Close)
	services, err := l.openServices(loaded.Config) // the API and the state directory
	if err != nil {
		return err
	}
	undo.add(func() error { l.closeUnused(services); return nil })
	unpublish, err := l.publish(request) // the files and the generation of a configuration by the API
	if err != nil {
		return err
	}
	undo.add(unpublish)
	if request.Documents != nil {
		begun = time.Now() // its files are new, and have not changed while they were loaded
	}
	g, err := l.prepare(ctx, loaded) // first lookups, probes and load reports
	if err != nil {
		return err
	}
	undo.add(func() error { l.drop(g); return nil })
	before, err := l.use(g, true) // open and close sockets, and answer from the new snapshot
	if err != nil {
		return err
	}

	before.Release() // closes its files, when its last user does
	before.awaitUnused()
	l.useServices(services)
	l.useCopies(loaded)
	l.warnOfClusterChange(loaded.Config)
	l.warnOfLeaving(before.Snapshot.Config, loaded.Config)
	l.keepSockets()
	l.sealShared()
	l.recordGeneration("reload")
	l.noteDigest()
	l.notifier.Use(sinks(loaded.Config))
	l.notifySecondaries()
	l.control.RecordReload(nil)
	l.control.RecordLastGood(nil)
	l.keepLastGood(loaded, begun)
	l.keepTables()
	l.logReloaded(ctx, begun)
	return nil
}

// undoList undoes steps.
type undoList []func() error

// add adds the reverse of a step that succeeded.
func (u *undoList) add(step func() error) { *u = append(*u, step) }

// ifFailed undoes the steps, the last one first, if err is an error. It returns err with the errors
// of undoing.
func (u undoList) ifFailed(err error) error {
	if err == nil {
		return nil
	}
	for _, step := range slices.Backward(u) {
		err = errors.Join(err, step())
	}
	return err
}

// loadAgain loads the configuration in the background, while the current one is served.
func (l *instance) loadAgain(ctx context.Context, request *control.ReloadRequest) (*snapshot.Snapshot, error) {
	served := l.served()
	return buildSafely(ctx, l, func() (*snapshot.Snapshot, error) { return l.loadSafely(served, request) })
}

// loadSafely loads the configuration while the current one is served, and refuses it if it would
// remove too much or break a guardrail.
func (l *instance) loadSafely(served *snapshot.Snapshot, request *control.ReloadRequest) (*snapshot.Snapshot, error) {
	if err := l.control.CheckFrozen(request.OverrideGuardrail); err != nil {
		return nil, err
	}
	if tag := l.control.ConfigTag(); len(request.IfMatch) > 0 && !slices.Contains(request.IfMatch, tag) {
		return nil, &control.RequestError{Stale: true, What: "the configuration has changed", Hint: "GET /v1/config returns the present one and its ETag"}
	}
	if request.Canary != nil {
		if err := l.checkSplit(request.Documents); err != nil {
			return nil, err
		}
	}
	snapshot, err := l.loadRequested(request)
	if err != nil {
		return snapshot, err
	}
	err = l.checkLoaded(served, snapshot, request)
	if err != nil {
		return nil, errors.Join(err, snapshot.Close())
	}
	return snapshot, nil
}

// checkLoaded returns why a loaded configuration must not serve: it would remove too much, break a guardrail, or give a share
// of the clients records that they cannot have.
func (l *instance) checkLoaded(served, loaded *snapshot.Snapshot, request *control.ReloadRequest) (err error) {
	if request.Canary != nil {
		err = checkSplitTypes(served, loaded)
	}
	if err == nil && !request.AllowRemoval {
		err = refuseRemoval(countLoaded(served), countLoaded(loaded))
	}
	if err == nil {
		err = l.control.CheckReload(loaded, request.OverrideGuardrail)
	}
	if err == nil && request.MaxMoved > 0 {
		err = l.control.CheckMoved(loaded, request.MaxMoved)
	}
	return err
}

// logReloaded logs a reload, unless the server is shutting down and no longer listens.
func (l *instance) logReloaded(ctx context.Context, begun time.Time) {
	if ctx.Err() == nil {
		l.Logger.Info("reloaded", append(l.logAttrs(l.served()),
			"took", time.Since(begun).Round(time.Millisecond), "parsed", l.served().Zones.Masters().Parsed(), "counted", l.server.Counters())...)
	}
}

// countLoaded counts the contents of a snapshot, without what dynamic updates changed: that is not of the configuration.
func countLoaded(s *snapshot.Snapshot) *control.Loaded {
	n := &control.Loaded{Config: s.Config.File, Zones: len(s.Config.Zones), Pools: len(s.Config.Pools), Members: membersOf(s.Config)}
	for i, z := range s.Zones.Configured() {
		n.Bound += z.Balanced
		if s.Config.Zones[i].Member != nil {
			n.FromCatalogs++
		}
		if len(s.Config.Zones[i].Primaries) > 0 { // what it has is not of this configuration: no reload removes it
			n.Names += z.Balanced
			continue
		}
		n.Names += z.Names
		n.Records += z.Records
	}
	return n
}

// loaded describes what is served after a reload that began at begun, with the API at before.
func (l *instance) loaded(begun time.Time, before *listener.Listener) *control.Loaded {
	n := countLoaded(l.served())
	n.Took, n.AdminMoved = time.Since(begun), before != l.adminListener
	if l.adminListener != nil {
		n.Admin, n.AdminTLS = l.adminListener.Addr(), l.served().Config.Admin.TLS.Cert != ""
	}
	n.Generation = l.control.GenerationNumber()
	return n
}

// reasons returns the log attributes of a failed reload.
func reasons(err error) []any {
	attributes := []any{"error", err}
	if r := (*control.RequestError)(nil); errors.As(err, &r) && r.Hint != "" {
		attributes = append(attributes, "hint", r.Hint)
	}
	return attributes
}

// refuseRemoval returns an error for a configuration that would remove most of the served data,
// as an empty or truncated file does:
//
//	served        new                       outcome
//	some zones    no zones                  refused
//	n names       fewer than n/2            refused
//	n balanced    fewer than n/2            refused
//	n in catalog  fewer than n/2            refused
//	n of catalogs fewer than n/2            refused
//	-             anything else             loaded
func refuseRemoval(served, next *control.Loaded) error {
	what := ""
	switch {
	case served.Zones > 0 && next.Zones == 0:
		what = fmt.Sprintf("the new configuration has no zones; %d are served", served.Zones)
	case 2*next.Names < served.Names:
		what = fmt.Sprintf("the new configuration has %d names, fewer than half of the %d that are served", next.Names, served.Names)
	case 2*next.Bound < served.Bound:
		what = fmt.Sprintf("the new configuration has %d balanced names, fewer than half of the %d that are served", next.Bound, served.Bound)
	case 2*next.FromCatalogs < served.FromCatalogs:
		what = fmt.Sprintf("the new configuration has %d zones from catalogs of other servers, fewer than half of the %d that are served", next.FromCatalogs, served.FromCatalogs)
	default:
		what = removedMembers(served, next)
	}
	if what == "" {
		return nil
	}
	return &control.RequestError{What: what, Hint: "meridian reload --allow-removal or config push --allow-removal loads it all the same; at a start, serve --allow-removal"}
}
