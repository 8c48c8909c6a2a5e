package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/health"
	"meridian/pools"
)

// runningWriter is a started stateWriter.
type runningWriter struct {
	*stateWriter
	stop context.CancelFunc
	done chan struct{}
}

// startWriter starts writing the state to folder.
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

// stopWriter writes the state once more and unlocks the directory; nil is a no-op. A disk that
// hangs keeps the directory locked until it recovers.
func (l *instance) stopWriter(k *runningWriter) {
	if k == nil {
		return
	}
	k.stop()
	l.waitOrLog(k.done, "writing the state")
}

// encodeState returns the current state as a file.
func (l *instance) encodeState() ([]byte, error) {
	return encodeState(&savedState{
		Verdicts:  l.prober.Save(),
		Ejections: l.control.ejections(), // after the verdicts: a saved verdict must not lack its deferral
		Overrides: l.control.Overrides(),
		Targets:   l.tracker.Remember(),
		Loads:     l.control.loadMemory(),
	}, time.Now())
}

// savedState is the state that survives a restart.
type savedState struct {
	Verdicts  []health.SavedTarget  `json:"verdicts"`
	Ejections []pools.SavedEjection `json:"ejections"`
	Overrides []Override            `json:"overrides"`
	Loads     pools.LoadMemory      `json:"loads,omitzero"`

	Targets map[dnsname.Name][]netip.Addr `json:"targets,omitempty"` // the resolved addresses
}

// valid returns the first error of m. Package health validates the saved targets itself.
func (m *savedState) valid() error {
	for i := range m.Overrides {
		if err := m.Overrides[i].valid(); err != nil {
			return fmt.Errorf("override %d: %w", i+1, err)
		}
	}
	return nil
}

// lockStateDir locks the state directory of cfg, and returns nil if none is configured. It
// returns an error if another server uses the directory. An unwritable directory is no reason to
// refuse to serve: the state writer logs it.
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
