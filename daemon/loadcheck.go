package daemon

import (
	"errors"
	"fmt"
	"time"

	"meridian/admin/listener"
	"meridian/control"
	"meridian/snapshot"
)

// countLoaded counts the contents of a snapshot.
func countLoaded(s *snapshot.Snapshot) *control.Loaded {
	n := &control.Loaded{Config: s.Config.File, Zones: len(s.Config.Zones), Pools: len(s.Config.Pools)}
	for _, z := range s.Zones.Summary() {
		n.Names += z.Names
		n.Bound += z.Balanced
		n.Records += z.Records
	}
	return n
}

// loaded describes what is served after a reload that began at begun, with the API at before.
func (l *instance) loaded(begun time.Time, before *listener.Listener) *control.Loaded {
	n := countLoaded(l.served())
	n.Took, n.AdminMoved = time.Since(begun), before != l.adminListener
	if l.adminListener != nil {
		n.Admin = l.adminListener.Addr()
	}
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

// loadSafely loads the configuration while the current one is served, and refuses it if it would
// remove too much or break a guardrail.
func (l *instance) loadSafely(served *snapshot.Snapshot, request *control.ReloadRequest) (*snapshot.Snapshot, error) {
	if err := l.control.CheckFrozen(request.OverrideGuardrail); err != nil {
		return nil, err
	}
	snapshot, err := l.Load(l.builder())
	if err != nil {
		return snapshot, err
	}
	if !request.AllowRemoval {
		err = refuseRemoval(countLoaded(served), countLoaded(snapshot))
	}
	if err == nil {
		err = l.control.CheckReload(snapshot, request.OverrideGuardrail)
	}
	if err != nil {
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
func refuseRemoval(served, next *control.Loaded) error {
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
	return &control.RequestError{What: what, Hint: "meridian reload --allow-removal loads it all the same; at a start, serve --allow-removal"}
}
