package daemon

import (
	"context"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

const (
	maxWaitingUpdates = 256 // beyond it, updates fail
	updateBatch       = 64  // updates that share one write to the disk
)

// updateJob is a dynamic update that waits for its outcome.
type updateJob struct {
	*answer.Update
	done chan answer.UpdateOutcome
}

// updateQueue holds the dynamic updates that wait.
type updateQueue struct {
	jobs  chan *updateJob
	ended chan struct{} // closed when no more updates are made
}

func newUpdateQueue() *updateQueue {
	return &updateQueue{jobs: make(chan *updateJob, maxWaitingUpdates), ended: make(chan struct{})}
}

var busyOutcome = answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeNotReady, Reason: "too many updates are waiting, or the server stops; try again"}

// apply has an update made, and waits until it is on disk. The caller is not pinned to a snapshot.
func (q *updateQueue) apply(u *answer.Update) answer.UpdateOutcome {
	job := &updateJob{u, make(chan answer.UpdateOutcome, 1)}
	select {
	case q.jobs <- job:
	default:
		return busyOutcome
	}
	select {
	case outcome := <-job.done:
		return outcome
	case <-q.ended:
		return busyOutcome
	}
}

// applyUpdate has an update made, and waits until it is on disk. One whose key has no rule is only logged.
func (l *instance) applyUpdate(u *answer.Update) answer.UpdateOutcome {
	if u.Ruled {
		return l.updates.apply(u)
	}
	refused := &transfer.Update{Rcode: dns.RcodeRefused, Reason: "the key has no rule in update of the zone"}
	l.logUpdate(&updateJob{Update: u}, refused)
	return outcomeOf(refused)
}

// next waits for updates, and returns those that wait by then; nil: ctx has ended.
func (q *updateQueue) next(ctx context.Context) (batch []*updateJob) {
	select {
	case <-ctx.Done():
		return nil
	case job := <-q.jobs:
		batch = append(batch, job)
	}
	for len(batch) < updateBatch {
		select {
		case job := <-q.jobs:
			batch = append(batch, job)
		default:
			return batch
		}
	}
	return batch
}

// makeUpdates makes dynamic updates until ctx ends.
func (l *instance) makeUpdates(ctx context.Context) {
	defer close(l.updates.ended)
	for batch := l.updates.next(ctx); batch != nil; batch = l.updates.next(ctx) {
		outcomes := make([]answer.UpdateOutcome, len(batch))
		for i := range outcomes {
			outcomes[i] = answer.UpdateOutcome{Rcode: dns.RcodeServerFailure}
		}
		updateSafely(l.control, func() { l.makeBatch(batch, outcomes) })
		for i, job := range batch {
			job.done <- outcomes[i]
		}
	}
}

// makeBatch makes updates of any zones: those of each zone with one write to the disk, and all with one change of the snapshot.
func (l *instance) makeBatch(batch []*updateJob, outcomes []answer.UpdateOutcome) {
	l.swapMu.Lock()
	defer l.swapMu.Unlock()
	g := l.current
	data := g.Snapshot.Zones
	byZone := map[dnsname.Name][]int{}
	for i, job := range batch {
		byZone[job.Zone] = append(byZone[job.Zone], i)
	}
	for zone, indices := range byZone {
		failed := true
		updateSafely(l.control, func() {
			data = l.updateZone(data, zone, batch, indices, outcomes)
			failed = false
		})
		if failed { // a panic: none is made, and other zones are updated
			refuseAll(indices, outcomes, answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: "internal error"})
		}
	}
	if data == g.Snapshot.Zones {
		return
	}
	next := g.Snapshot.WithZones(data)
	if _, err := l.server.Swap(next); err != nil { // never: the listeners are the same
		l.Logger.Error("cannot serve an update; the next reload serves it", "error", err)
		return
	}
	g.Snapshot = next
	l.control.Commit(g.Generation)
	l.notifySecondaries(next)
}

// updateZone makes the updates of a zone, and returns the data with them. If the disk fails, none is made.
func (l *instance) updateZone(data *zones.Data, zone dnsname.Name, batch []*updateJob, indices []int, outcomes []answer.UpdateOutcome) *zones.Data {
	id, of, refused := l.journalOf(data, zone)
	if refused != nil {
		refuseAll(indices, outcomes, *refused)
		return data
	}
	state, _ := of.State()
	digest, overlay, next := state.Digest, state.Added+state.Deleted, data
	var changes []*journal.Change
	var changed []int
	for _, i := range indices {
		request := &transfer.UpdateRequest{Packet: batch[i].Packet, Key: batch[i].Key, At: time.Now()}
		u := transfer.Evaluate(l.current.Snapshot.Config, next, id, request, overlay)
		outcomes[i] = outcomeOf(u)
		if u.Change == nil {
			l.logUpdate(batch[i], u)
			continue
		}
		updated, err := next.Update(id, u.Sets)
		if err != nil {
			outcomes[i] = answer.UpdateOutcome{Rcode: dns.RcodeRefused, EDE: dns.ExtendedErrorCodeProhibited, Reason: err.Error()}
			continue
		}
		next = updated
		transfer.SetDigest(u.Change, digest)
		digest, overlay = u.Change.Digest, overlay+len(u.Change.Added)+len(u.Change.Deleted)
		changes, changed = append(changes, u.Change), append(changed, i)
	}
	if len(changes) == 0 {
		return data
	}
	if err := of.Append(changes...); err != nil {
		l.Logger.Error("cannot write updates of a zone; they are not made", "zone", zone, "updates", len(changes), "error", err, "hint", "check the space and the permissions of the state directory")
		for _, i := range changed {
			outcomes[i] = answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: "the journal cannot be written"}
		}
		return data
	}
	for k, i := range changed {
		l.logUpdate(batch[i], &transfer.Update{Change: changes[k]})
		l.updateEvents.add(zone, batch[i].Key, batch[i].Source, changes[k])
	}
	return next
}

// journalOf returns a zone and its journal, or why no update of the zone can be made.
func (l *instance) journalOf(data *zones.Data, zone dnsname.Name) (zones.ZoneID, *journal.Journal, *answer.UpdateOutcome) {
	id, ok := data.ApexOf(zone.Wire())
	switch {
	case !ok:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeNotAuth, EDE: dns.ExtendedErrorCodeNotAuthoritative, Reason: "the zone is not served any more"}
	case data.Missing(id) != 0:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeNotReady, Reason: "the zone has no data"}
	}
	served := l.current.Snapshot
	of, err := l.journals.OfUpdates(transfer.NewView(served.Config, data, served.Pools, served.Live), id)
	switch {
	case err != nil:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Reason: err.Error()}
	case of == nil:
		return 0, nil, &answer.UpdateOutcome{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeNotReady, Reason: "another process takes over"}
	}
	return id, of, nil
}

// refuseAll gives updates the same outcome.
func refuseAll(indices []int, outcomes []answer.UpdateOutcome, outcome answer.UpdateOutcome) {
	for _, i := range indices {
		outcomes[i] = outcome
	}
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
