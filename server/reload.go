package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/snapshot"
)

// ReloadStatus is the outcome of the last reload. After a refused reload, the previous
// configuration is in use, which differs from the file.
type ReloadStatus struct {
	At      time.Time `json:"at,omitzero"` // end of the reload; zero: there was none
	Refused bool      `json:"refused"`
	Error   string    `json:"error,omitempty"`  // the reason for the refusal
	Detail  string    `json:"detail,omitempty"` // the first error in the configuration, if that is the reason
}

// reloadCounts counts reloads.
type reloadCounts struct{ succeeded, refused atomic.Uint64 }

// recordReload records the outcome of a reload; nil means success.
func (c *Control) recordReload(err error) {
	if err == nil {
		c.reloads.succeeded.Add(1)
	} else {
		c.reloads.refused.Add(1)
	}
	s := ReloadStatus{At: time.Now(), Refused: err != nil}
	if err != nil {
		s.Error = err.Error()
		if first := (config.Error{}); errors.As(err, &first) && first.Error() != s.Error {
			s.Detail = first.Error()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(m *view) { m.reload = s })
	c.recordConfig(c.currentView().snapshot.Config.File, err)
}

// reloadRequest is an operator's request for a reload. The zero value represents a signal.
type reloadRequest struct {
	allowRemoval bool
	done         chan<- reloadOutcome // has room for one; nil: no caller waits
}

// reloadOutcome is the outcome of a reload.
type reloadOutcome struct {
	loaded *Loaded
	err    error
}

// Loaded holds the counts of a loaded configuration.
type Loaded struct {
	Config  string        `json:"config"` // the file
	Zones   int           `json:"zones"`
	Names   int           `json:"names"`    // with records or a pool
	Bound   int           `json:"balanced"` // of these: bound to a pool
	Records int           `json:"records"`  // static ones
	Pools   int           `json:"pools"`
	Took    time.Duration `json:"took"` // in nanoseconds

	Admin      string `json:"admin,omitempty"`       // the address of the API; empty: it is off now
	AdminMoved bool   `json:"admin_moved,omitempty"` // the reload changed it
}

// countLoaded counts the contents of a snapshot.
func countLoaded(s *snapshot.Snapshot) *Loaded {
	n := &Loaded{Config: s.Config.File, Zones: len(s.Config.Zones), Pools: len(s.Config.Pools)}
	for _, z := range s.Zones.Summary() {
		n.Names += z.Names
		n.Bound += z.Balanced
		n.Records += z.Records
	}
	return n
}

// loaded describes what is served after a reload that began at begun, with the API at before.
func (l *instance) loaded(begun time.Time, before *adminListener) *Loaded {
	n := countLoaded(l.control.currentView().snapshot)
	n.Took, n.AdminMoved = time.Since(begun), before != l.adminListener
	if l.adminListener != nil {
		n.Admin = l.adminListener.addr()
	}
	return n
}

// answer reports the outcome to the caller of Reload.
func (r *reloadRequest) answer(outcome *reloadOutcome) {
	if r.done != nil {
		r.done <- *outcome
	}
}

// Reload loads the configuration again, as SIGHUP does, and reports the loaded content or the
// reason for a refusal. It waits for a running reload; ctx ends the waiting, not the reload.
func (c *Control) Reload(ctx context.Context, allowRemoval bool) (*Loaded, error) {
	done := make(chan reloadOutcome, 1)
	select {
	case c.instance.reloads <- reloadRequest{allowRemoval: allowRemoval, done: done}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case outcome := <-done:
		return outcome.loaded, outcome.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reasons returns the log attributes of a failed reload.
func reasons(err error) []any {
	attributes := []any{"error", err}
	if r := (*RequestError)(nil); errors.As(err, &r) && r.Hint != "" {
		attributes = append(attributes, "hint", r.Hint)
	}
	return attributes
}

// loadSafely loads the configuration while the current one is served, and refuses it if it would
// remove too much.
func (l *instance) loadSafely(served *snapshot.Snapshot, allowRemoval bool) (*snapshot.Snapshot, error) {
	snapshot, err := l.Load(l.builder())
	if err != nil || allowRemoval {
		return snapshot, err
	}
	if err := refuseRemoval(countLoaded(served), countLoaded(snapshot)); err != nil {
		return nil, errors.Join(err, snapshot.Close())
	}
	return snapshot, nil
}

// refuseRemoval returns an error for a configuration that would remove most of the served data,
// as an empty or truncated file does:
//
//	served        new                       outcome
//	some zones    no zones                  refused
//	n names       fewer than n/2            refused
//	n balanced    fewer than n/2            refused
//	-             anything else             loaded
func refuseRemoval(served, next *Loaded) error {
	what := ""
	switch {
	case served.Zones > 0 && next.Zones == 0:
		what = fmt.Sprintf("the new configuration has no zones; %d are served", served.Zones)
	case 2*next.Names < served.Names:
		what = fmt.Sprintf("the new configuration has %d names, fewer than half of the %d that are served", next.Names, served.Names)
	case 2*next.Bound < served.Bound:
		what = fmt.Sprintf("the new configuration has %d balanced names, fewer than half of the %d that are served", next.Bound, served.Bound)
	default:
		return nil
	}
	return &RequestError{What: what, Hint: "meridian reload --allow-removal loads it all the same; at a start, serve --allow-removal"}
}
