package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/pools"
)

// runningWriter is a keeper at work.
type runningWriter struct {
	*stateWriter
	stop context.CancelFunc
	done chan struct{}
}

// startWriter begins to keep the state in folder.
func (l *instance) startWriter(folder *stateDir) *runningWriter {
	ctx, stop := context.WithCancel(context.Background())
	k := &runningWriter{
		stateWriter: &stateWriter{
			dir: folder, gather: l.encodeState, log: l.Logger,
			verdicts: l.prober.Changes(), changed: make(chan struct{}, 1), waiting: make(chan chan<- struct{}),
		},
		stop: stop, done: make(chan struct{}),
	}
	go func() {
		defer close(k.done)
		defer folder.unlock()
		k.run(ctx)
	}()
	k.markDirty()
	return k
}

// stopWriter keeps the state once more and lets go of the folder; of none where k is nil.
// A disk that hangs has the folder until it goes on.
func (l *instance) stopWriter(k *runningWriter) {
	if k == nil {
		return
	}
	k.stop()
	l.waitOrLog(k.done, "the writing of the state")
}

// encodeState is the state file of this moment.
func (l *instance) encodeState() ([]byte, error) {
	return encodeState(&savedState{
		Verdicts:  l.prober.Save(),
		Ejections: l.control.ejections(), // after the verdicts, or a verdict may be kept without its deferral
		Overrides: l.control.Overrides(),
		Targets:   l.tracker.Remember(),
		Loads:     l.control.loadMemory(),
	}, time.Now())
}

// savedState is what outlives a process.
type savedState struct {
	Verdicts  []health.SavedTarget  `json:"verdicts"`
	Ejections []pools.SavedEjection `json:"ejections"`
	Overrides []Override            `json:"overrides"`
	Loads     pools.LoadMemory      `json:"loads,omitzero"`

	Targets map[config.Name][]netip.Addr `json:"targets,omitempty"` // what they were resolved to
}

// valid says what of m cannot be. Of verdicts health judges each by itself.
func (m *savedState) valid() error {
	for i := range m.Overrides {
		if err := m.Overrides[i].valid(); err != nil {
			return fmt.Errorf("override %d: %w", i+1, err)
		}
	}
	return nil
}

// lockStateDir takes the folder that cfg names; nil where it names none. The error is
// of a folder that another server has; one that cannot be written to is the
// keeper's to tell, and no reason not to serve.
func lockStateDir(cfg *config.Config) (*stateDir, error) {
	if cfg.State == "" {
		return nil, nil
	}
	folder := newStateDir(cfg.State)
	if err := folder.lock(); errors.Is(err, errStateTaken) {
		return nil, cfg.ErrorAt(cfg.StatePos, "state", cfg.State+" is in use: "+err.Error(), "give each server a folder of its own")
	}
	return folder, nil
}
