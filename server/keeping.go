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

// keeping is a keeper at work.
type keeping struct {
	*keeper
	stop context.CancelFunc
	done chan struct{}
}

// keepIn begins to keep the state in folder.
func (l *life) keepIn(folder *stateFolder) *keeping {
	ctx, stop := context.WithCancel(context.Background())
	k := &keeping{
		keeper: &keeper{
			folder: folder, gather: l.remember, log: l.Logger,
			verdicts: l.prober.Changes(), changed: make(chan struct{}, 1), waiting: make(chan chan<- struct{}),
		},
		stop: stop, done: make(chan struct{}),
	}
	go func() {
		defer close(k.done)
		defer folder.release()
		k.run(ctx)
	}()
	k.note()
	return k
}

// letGo keeps the state once more and lets go of the folder; of none where k is nil.
// A disk that hangs has the folder until it goes on.
func (l *life) letGo(k *keeping) {
	if k == nil {
		return
	}
	k.stop()
	l.await(k.done, "the writing of the state")
}

// remember is the state file of this moment.
func (l *life) remember() ([]byte, error) {
	return encodeState(&memory{
		Verdicts:  l.prober.Remember(),
		Ejections: l.control.ejections(), // after the verdicts, or a verdict may be kept without its deferral
		Overrides: l.control.Overrides(),
		Targets:   l.tracker.Remember(),
		Loads:     l.control.loadMemory(),
	}, time.Now())
}

// memory is what outlives a process.
type memory struct {
	Verdicts  []health.Memory       `json:"verdicts"`
	Ejections []pools.SavedEjection `json:"ejections"`
	Overrides []Override            `json:"overrides"`
	Loads     pools.LoadMemory      `json:"loads,omitzero"`

	Targets map[config.Name][]netip.Addr `json:"targets,omitempty"` // what they were resolved to
}

// valid says what of m cannot be. Of verdicts health judges each by itself.
func (m *memory) valid() error {
	for i := range m.Overrides {
		if err := m.Overrides[i].valid(); err != nil {
			return fmt.Errorf("override %d: %w", i+1, err)
		}
	}
	return nil
}

// holdState takes the folder that cfg names; nil where it names none. The error is
// of a folder that another server has; one that cannot be written to is the
// keeper's to tell, and no reason not to serve.
func holdState(cfg *config.Config) (*stateFolder, error) {
	if cfg.State == "" {
		return nil, nil
	}
	folder := newStateFolder(cfg.State)
	if err := folder.hold(); errors.Is(err, errStateTaken) {
		return nil, cfg.Fault(cfg.StatePos, "state", cfg.State+" is in use: "+err.Error(), "give each server a folder of its own")
	}
	return folder, nil
}
