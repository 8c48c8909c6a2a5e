package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"meridian/config"
	"meridian/control"
	"meridian/control/event"
	"meridian/control/state"
	"meridian/health"
	"meridian/pools"
)

// stateContent returns the current state as JSON.
func (l *instance) stateContent() ([]byte, error) {
	return json.Marshal(&savedState{
		Conditions: l.control.SaveConditions(), // before verdicts and events: what changes in between is reported again, not lost
		Boot:       l.member.boot(),
		Vantages:   l.member.remember(),
		Verdicts:   l.prober.Save(),
		Ejections:  l.control.SaveEjections(), // after the verdicts: a saved verdict must not lack its deferral
		Shared:     l.control.SaveShared(),    // before the overrides: a record that is known counts as applied
		Overrides:  l.control.Overrides(),
		Filters:    l.control.SaveFilters(),
		Frozen:     l.control.Frozen(),
		Targets:    l.tracker.Remember(),
		Loads:      l.control.LoadMemory(),
		Notified:   l.notifier.Cursors(), // before the events: a saved cursor must not exceed them
		Events:     l.control.Events().Save(),
	})
}

// savedState is the state that survives a restart.
type savedState struct {
	Boot      uint64                `json:"boot,omitempty"`     // of this process in its cluster
	Vantages  [][]byte              `json:"vantages,omitempty"` // the other nodes of the cluster: signed heartbeats and records
	Verdicts  []health.SavedTarget  `json:"verdicts"`
	Ejections []pools.SavedEjection `json:"ejections"`
	Overrides []control.Override    `json:"overrides"`
	Filters   []control.Filter      `json:"filters,omitempty"`
	Frozen    []control.FrozenZone  `json:"frozen,omitempty"`
	Shared    control.SavedShared   `json:"shared,omitzero"` // what is known of the overrides of the cluster
	Loads     pools.LoadMemory      `json:"loads,omitzero"`

	Conditions control.SavedConditions `json:"conditions,omitzero"` // that events have reported

	Notified map[string]uint64              `json:"notified,omitempty"` // the last event that each sink accepted
	Events   []event.Event                  `json:"events,omitempty"`
	Targets  map[config.Target][]netip.Addr `json:"targets,omitempty"` // the resolved addresses
}

// valid returns the first error of m. Package health validates the saved targets itself.
func (m *savedState) valid() error {
	for i := range m.Overrides {
		if err := m.Overrides[i].Validate(); err != nil {
			return fmt.Errorf("override %d: %w", i+1, err)
		}
	}
	for i := range m.Filters {
		if err := m.Filters[i].Validate(); err != nil {
			return fmt.Errorf("filter rule %d: %w", i+1, err)
		}
	}
	for i := range m.Frozen {
		if err := m.Frozen[i].Validate(); err != nil {
			return fmt.Errorf("frozen zone %d: %w", i+1, err)
		}
	}
	for i := range m.Shared.Records {
		if err := m.Shared.Records[i].Validate(); err != nil {
			return fmt.Errorf("shared override %d: %w", i+1, err)
		}
	}
	return nil
}

// decodeState is the reverse of stateContent.
func decodeState(content []byte) (*savedState, error) {
	m := new(savedState)
	if err := json.Unmarshal(content, m); err != nil {
		return nil, fmt.Errorf("its content does not parse: %w", err)
	}
	return m, m.valid()
}

// readState returns the saved state, or nil if there is none.
func readState(dir *state.Dir, log *slog.Logger) (m *savedState, corrupt *state.Quarantined) {
	written, corrupt := dir.Read(func(content []byte) (err error) {
		m, err = decodeState(content)
		return err
	}, log)
	if written.IsZero() {
		return nil, corrupt
	}
	log.Info("state restored", "file", dir.File(), "written", written, "verdicts", len(m.Verdicts), "overrides", len(m.Overrides))
	return m, nil
}

// lockStateDir locks the state directory of cfg, and returns nil if none is configured. It
// returns an error if another server uses the directory. An unwritable directory is no reason to
// refuse to serve: the state writer logs it.
func lockStateDir(cfg *config.Config) (*state.Dir, error) {
	if cfg.State == "" {
		return nil, nil
	}
	folder := state.NewDir(cfg.State)
	if err := folder.Lock(); errors.Is(err, state.ErrTaken) {
		return nil, cfg.ErrorAt(cfg.StatePos, "state", cfg.State+" is in use: "+err.Error(), "give each server a folder of its own")
	}
	return folder, nil
}
