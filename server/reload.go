package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/config"
	"meridian/zones"
)

// ReloadStatus is what became of the last reload. One that was refused leaves what
// was loaded before, which is not what the file says.
type ReloadStatus struct {
	At      time.Time `json:"at,omitzero"` // when it ended; zero: there was none
	Refused bool      `json:"refused"`
	Error   string    `json:"error,omitempty"` // why it was refused
	Detail  string    `json:"fault,omitempty"` // the first of the faults in the configuration, where that is why
}

// recordReload takes note of how a reload ended; nil: well.
func (c *Control) recordReload(err error) {
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
}

// reloadRequest is a reload that an operator asks for. The zero value is that of a signal.
type reloadRequest struct {
	allowRemoval bool
	done         chan<- reloadOutcome // has room for one; nil: nothing waits
}

// reloadOutcome is what a reload led to.
type reloadOutcome struct {
	loaded *Loaded
	err    error
}

// Loaded counts what a reload loaded.
type Loaded struct {
	Config  string        `json:"config"` // the file
	Zones   int           `json:"zones"`
	Names   int           `json:"names"`    // that have records or a pool
	Bound   int           `json:"balanced"` // of these: bound to a pool
	Records int           `json:"records"`  // static ones
	Pools   int           `json:"pools"`
	Took    time.Duration `json:"took"` // in nanoseconds
}

// countLoaded counts what a snapshot serves.
func countLoaded(s *zones.Snapshot) *Loaded {
	n := &Loaded{Config: s.Config.File, Zones: len(s.Config.Zones), Pools: len(s.Config.Pools)}
	for _, z := range s.Summary() {
		n.Names += z.Names
		n.Bound += z.Balanced
		n.Records += z.Records
	}
	return n
}

// answer reports the outcome to the operator who waits for it.
func (r *reloadRequest) answer(s *zones.Snapshot, took time.Duration, err error) {
	if r.done == nil {
		return
	}
	if err != nil {
		r.done <- reloadOutcome{err: err}
		return
	}
	loaded := countLoaded(s)
	loaded.Took = took
	r.done <- reloadOutcome{loaded: loaded}
}

// Reload loads the configuration again, as SIGHUP does, and reports what was loaded or
// why it was refused. It waits for a reload under way; ctx ends the waiting, not the reload.
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

// reasons returns the attributes of a log line about a reload that failed.
func reasons(err error) []any {
	attributes := []any{"error", err}
	if r := (*RequestError)(nil); errors.As(err, &r) && r.Hint != "" {
		attributes = append(attributes, "hint", r.Hint)
	}
	return attributes
}

// loadSafely loads the configuration beside the one that is served, and refuses it if it
// would remove too much of that.
func (l *instance) loadSafely(served *zones.Snapshot, allowRemoval bool) (*zones.Snapshot, error) {
	snapshot, err := l.Load(l.builder())
	if err != nil || allowRemoval {
		return snapshot, err
	}
	if err := refuseRemoval(countLoaded(served), countLoaded(snapshot)); err != nil {
		return nil, errors.Join(err, snapshot.Close())
	}
	return snapshot, nil
}

// refuseRemoval is the error of a configuration that would take away most of what is
// served, as an empty or cut off file does:
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
	return &RequestError{What: what, Hint: "meridian reload --allow-removal loads it all the same"}
}
