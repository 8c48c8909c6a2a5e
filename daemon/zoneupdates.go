package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/dnsname"
	"meridian/server/answer"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

const (
	maxWaitingUpdates = 256 // beyond it, updates fail
	maxWaitingOfZone  = 128 // besides those that are made: a zone whose disk hangs leaves room for other zones
	updateBatch       = 64  // updates of a zone that share one write to the disk
)

// zoneUpdates makes the dynamic updates of zones. Each zone that has some has one goroutine, which makes those that wait
// together:
//
//	evaluate   each update against the zone and those before it; no lock of the server is held
//	write      all changes with one sync; a slow disk delays this zone only
//	serve      with one change of the snapshot, together with zones that are on disk by then
//	answer
//
// If the disk fails, none of them is made: the next ones are evaluated against what is on disk.
type zoneUpdates struct {
	// gate is entered by what changes one zone: updates, and serials for health states. It is locked by what changes zones in
	// another way: a reload, or a transfer. Both come before instance.swapMu.
	gate updateGate

	mu      sync.Mutex                    // guards the fields below
	queues  map[dnsname.Name][]*updateJob // of the zones that have a goroutine
	waiting int                           // updates without an outcome
	ended   bool                          // no more updates are made
	running sync.WaitGroup

	overgrown func(*zones.Data) bool // reports whether a merge is due

	durableMu sync.Mutex
	durable   []*durableUpdate // guarded by durableMu; not served yet
}

// updateJob is a dynamic update that waits for its outcome.
type updateJob struct {
	*answer.Update
	done chan answer.UpdateOutcome
}

// durableUpdate is changes of a zone that are on disk.
type durableUpdate struct {
	zones.ZoneChange
	taken  bool // by a change of the snapshot; guarded by instance.swapMu, as served is
	served *snapshot.Snapshot
}

func newZoneUpdates() *zoneUpdates {
	return &zoneUpdates{queues: map[dnsname.Name][]*updateJob{}, overgrown: (*zones.Data).Overgrown}
}

var busyOutcome = answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeNotReady, Reason: "too many updates are waiting, or the server stops; try again"}

// add has an update made by the goroutine of its zone. It returns false if there are too many.
func (z *zoneUpdates) add(job *updateJob, run func(dnsname.Name)) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	queue, running := z.queues[job.Zone]
	if z.ended || z.waiting == maxWaitingUpdates || len(queue) == maxWaitingOfZone {
		return false
	}
	z.queues[job.Zone] = append(queue, job)
	z.waiting++
	if !running {
		z.running.Go(func() { run(job.Zone) })
	}
	return true
}

// take returns updates of a zone that wait; nil: there are none, and the zone has no goroutine any more.
func (z *zoneUpdates) take(zone dnsname.Name) []*updateJob {
	z.mu.Lock()
	defer z.mu.Unlock()
	queue := z.queues[zone]
	n := min(len(queue), updateBatch)
	if n == 0 {
		delete(z.queues, zone)
		return nil
	}
	z.queues[zone] = queue[n:]
	return queue[:n:n]
}

// done records that updates have outcomes.
func (z *zoneUpdates) done(n int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.waiting -= n
}

// start runs a function in the background, unless no more updates are made.
func (z *zoneUpdates) start(run func()) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.ended {
		return false
	}
	z.running.Go(run)
	return true
}

// finish waits until ctx ends, and then until all updates that came before have outcomes.
func (z *zoneUpdates) finish(ctx context.Context) {
	<-ctx.Done()
	z.mu.Lock()
	z.ended = true
	z.mu.Unlock()
	z.running.Wait()
}

// applyUpdate has an update made, and waits until it is on disk and served. The caller is not pinned to a snapshot. One whose key
// has no rule is only logged.
func (l *instance) applyUpdate(u *answer.Update) answer.UpdateOutcome {
	job := &updateJob{u, make(chan answer.UpdateOutcome, 1)}
	if !u.Ruled {
		refused := &transfer.Update{Rcode: dns.RcodeRefused, Reason: "the key has no rule in update of the zone"}
		l.logUpdate(job, refused)
		return outcomeOf(refused)
	}
	if !l.updates.add(job, l.updateZone) {
		return busyOutcome
	}
	return <-job.done
}

// updateZone makes the updates of a zone until none waits.
func (l *instance) updateZone(zone dnsname.Name) {
	for batch := l.updates.take(zone); batch != nil; batch = l.updates.take(zone) {
		outcomes := allOutcomes(len(batch), answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: "internal error"})
		func() {
			defer l.control.RecoverPanic("dynamic updates")
			outcomes = l.makeUpdates(zone, batch)
		}()
		l.updates.done(len(batch))
		for i, job := range batch {
			job.done <- outcomes[i]
		}
	}
}

func allOutcomes(n int, outcome answer.UpdateOutcome) []answer.UpdateOutcome {
	all := make([]answer.UpdateOutcome, n)
	for i := range all {
		all[i] = outcome
	}
	return all
}

// makeUpdates makes updates of a zone, and returns their outcomes.
func (l *instance) makeUpdates(zone dnsname.Name, batch []*updateJob) []answer.UpdateOutcome {
	l.updates.gate.enter(zone)
	defer l.updates.gate.leave(zone)
	served := l.served()
	if frozen := l.control.FrozenZone(zone); frozen != nil {
		return l.refuseFrozen(batch, frozen)
	}
	id, of, refused := l.journalOf(served, zone)
	if refused != nil {
		return allOutcomes(len(batch), *refused)
	}
	state, _ := of.State()
	evaluator := transfer.NewEvaluator(served.Config, served.Zones, id, state)
	evaluated := make([]*transfer.Update, len(batch))
	outcomes := make([]answer.UpdateOutcome, len(batch))
	for i, job := range batch {
		evaluated[i] = evaluator.Evaluate(&transfer.UpdateRequest{Packet: job.Packet, Key: job.Key, At: time.Now()})
		outcomes[i] = outcomeOf(evaluated[i])
	}
	if failed := l.writeAndServe(zone, id, of, evaluator); failed != nil {
		for i, u := range evaluated {
			if u.Change != nil {
				outcomes[i], evaluated[i] = *failed, new(transfer.Update)
			}
		}
	}
	for i, u := range evaluated {
		l.logUpdate(batch[i], u)
		if u.Change != nil {
			l.updateEvents.add(zone, batch[i].Key, batch[i].Source, u.Change)
		}
	}
	return outcomes
}

// refuseFrozen refuses updates of a frozen zone.
func (l *instance) refuseFrozen(batch []*updateJob, frozen *control.FrozenZone) []answer.UpdateOutcome {
	refused := &transfer.Update{Rcode: dns.RcodeRefused, Reason: "the zone is " + frozen.String()}
	for _, job := range batch {
		l.logUpdate(job, refused)
	}
	return allOutcomes(len(batch), outcomeOf(refused))
}

// writeAndServe writes the changes of a zone to its journal, and serves them. It returns the outcome of all of them if that fails;
// nil: they are served, or there are none.
func (l *instance) writeAndServe(zone dnsname.Name, id zones.ZoneID, of *journal.Journal, e *transfer.Evaluator) *answer.UpdateOutcome {
	changes := e.Changes()
	if len(changes) == 0 {
		return nil
	}
	if err := of.Append(changes...); err != nil {
		l.Logger.Error("cannot write updates of a zone; they are not made", "zone", zone, "updates", len(changes), "error", err, "hint", "check the space and the permissions of the state directory")
		return &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: "the journal cannot be written"}
	}
	served, err := l.serveUpdates(&durableUpdate{ZoneChange: zones.ZoneChange{Zone: id, Sets: e.Sets()}})
	if err != nil {
		l.Logger.Error("cannot serve updates of a zone; the next reload serves them", "zone", zone, "updates", len(changes), "error", err)
		return &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: "internal error"}
	}
	l.secondaries.Update(noticesOfZone(served, id))
	return nil
}

// errNotServed is returned for updates that a panic kept from being served.
var errNotServed = errors.New("the snapshot could not be changed")

// serveUpdates serves changes that are on disk, together with those of other zones that are by then. It returns what serves them.
func (l *instance) serveUpdates(d *durableUpdate) (*snapshot.Snapshot, error) {
	l.updates.durableMu.Lock()
	l.updates.durable = append(l.updates.durable, d)
	l.updates.durableMu.Unlock()
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	switch {
	case d.served != nil:
		return d.served, nil
	case d.taken:
		return nil, errNotServed
	}
	l.updates.durableMu.Lock()
	all := l.updates.durable
	l.updates.durable = nil
	l.updates.durableMu.Unlock()
	for _, other := range all {
		other.taken = true
	}
	changes := make([]zones.ZoneChange, len(all))
	for i, other := range all {
		changes[i] = other.ZoneChange
	}
	next, err := l.changeLocked(changes, l.current.Snapshot.Live)
	if err != nil {
		return nil, err
	}
	for _, other := range all {
		other.served = next
	}
	return next, nil
}

// changeLocked changes zones of the snapshot that serves, and the records of transfers that follow health states. The changes have
// been checked.
func (l *instance) changeLocked(changes []zones.ZoneChange, live *transfer.Live) (*snapshot.Snapshot, error) {
	next, err := withChanges(l.current.Snapshot, changes)
	if err != nil {
		return nil, err
	}
	next.Live = live
	if err := l.swapUpdatesLocked(next); err != nil {
		return nil, err
	}
	if l.merging != nil {
		l.merging.since = append(l.merging.since, changes...)
	} else if l.updates.overgrown(next.Zones) {
		l.mergeLocked(next.Zones)
	}
	return next, nil
}

// swapUpdatesLocked makes the server answer from a snapshot that differs from the one that serves by updates.
func (l *instance) swapUpdatesLocked(next *snapshot.Snapshot) error {
	if _, err := l.server.Swap(next); err != nil {
		return err
	}
	l.current.Snapshot = next
	l.control.CommitZones(l.current.Generation)
	return nil
}

// journalOf returns a zone and its journal, or why no update of the zone can be made.
func (l *instance) journalOf(served *snapshot.Snapshot, zone dnsname.Name) (zones.ZoneID, *journal.Journal, *answer.UpdateOutcome) {
	id, ok := served.Zones.ApexOf(zone.Wire())
	switch {
	case !ok:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeNotAuth, EDE: dns.ExtendedErrorCodeNotAuthoritative, Reason: "the zone is not served any more"}
	case served.Zones.Missing(id) != 0:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeNotReady, Reason: "the zone has no data"}
	}
	of, err := l.journals.OfUpdates(viewOf(served), id)
	switch {
	case err != nil:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: err.Error()}
	case of == nil:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeNotReady, Reason: "another process takes over"}
	}
	return id, of, nil
}

// outcomeOf returns what the client learns of an update.
func outcomeOf(u *transfer.Update) (o answer.UpdateOutcome) {
	o.Rcode, o.Reason = u.Rcode, u.Reason
	if u.Rcode == dns.RcodeRefused {
		o.EDE = dns.ExtendedErrorCodeProhibited
	}
	return o
}

// logUpdate logs an update, its key as the actor.
func (l *instance) logUpdate(job *updateJob, u *transfer.Update) {
	attributes := []any{"zone", job.Zone, "key", job.Key, "client", job.Source}
	switch {
	case u.Change != nil:
		l.Logger.Info("zone updated", append(attributes, "serial", u.Change.To(), "added", len(u.Change.Added), "deleted", len(u.Change.Deleted))...)
	case u.Rcode != dns.RcodeSuccess:
		l.Logger.Info("update refused", append(attributes, "rcode", dns.RcodeToString[u.Rcode], "reason", u.Reason)...)
	}
}
