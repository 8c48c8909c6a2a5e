package control

import (
	"time"

	"meridian/control/state"
	"meridian/pools"
)

// Restored is the state of Control that the previous process saved.
type Restored struct {
	Overrides []Override
	Filters   []Filter
	Frozen    []FrozenZone
	Shared    SavedShared
	Ejections []pools.SavedEjection // for the first tree that answers
	Loads     pools.LoadMemory      // for the first tree that answers

	Conditions SavedConditions // that events have reported
}

// Restore sets the saved state before the server starts to answer.
func (c *Control) Restore(saved Restored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restored = saved
	c.states.restore(saved.Conditions.States)
	c.conditions.restore(&saved.Conditions)
	c.shared = c.restoreShared(&saved)
	c.updateLocked(func(m *view) { m.overrides, m.frozen = overrides(saved.Overrides).at(time.Now()), saved.Frozen })
	c.setFiltersLocked(currentFilters(saved.Filters, time.Now()))
}

// SaveEjections returns the saved ejections of the current tree, or those to restore if no tree
// answers yet.
func (c *Control) SaveEjections() []pools.SavedEjection {
	at := c.currentView()
	if at.Snapshot == nil {
		return c.restored.Ejections
	}
	return at.Snapshot.Pools.SaveEjections()
}

// LoadMemory returns the state of the load controllers of the current tree, or the state to
// restore if no tree answers yet.
func (c *Control) LoadMemory() pools.LoadMemory {
	at := c.currentView()
	if at.Snapshot == nil {
		return c.restored.Loads
	}
	return at.Snapshot.Pools.LoadMemory()
}

// StateStatus says whether health states and overrides survive a restart.
type StateStatus struct {
	Dir         string             `json:"folder"`                // empty: none is configured, nothing is saved
	Persisted   bool               `json:"persisted"`             // false: nothing is saved, or the directory is not writable
	Quarantined *state.Quarantined `json:"quarantined,omitempty"` // a corrupt state file of the previous process
}

// SetQuarantined records that a state file was corrupt, before the server starts to answer.
func (c *Control) SetQuarantined(corrupt *state.Quarantined) { c.quarantined = corrupt }

// Writer returns the writer of the state, or nil if it is in memory only.
func (c *Control) Writer() *state.Writer { return c.writer.Load() }

// SwapWriter sets the writer of the state, nil for none, and returns the previous one.
func (c *Control) SwapWriter(w *state.Writer) (before *state.Writer) { return c.writer.Swap(w) }

// markDirty requests that the state be written.
func (c *Control) markDirty() {
	if w := c.writer.Load(); w != nil {
		w.MarkDirty()
	}
}

// flushState returns when the state has been written or could not be: then with a warning for the operator.
func (c *Control) flushState() (warning string) {
	w := c.writer.Load()
	if w == nil {
		return ""
	}
	w.Flush()
	if w.Persisted() {
		return ""
	}
	return "this change is in memory only, and a restart loses it: " + w.Dir().Path() + " cannot be written, see the log"
}

// StateStatus reports whether the current state is saved.
func (c *Control) StateStatus() StateStatus {
	w := c.writer.Load()
	if w == nil {
		return StateStatus{Quarantined: c.quarantined}
	}
	return StateStatus{w.Dir().Path(), w.Persisted(), c.quarantined}
}
