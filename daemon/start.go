package daemon

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"meridian/admin/listener"
	"meridian/config"
	"meridian/snapshot"
)

// firstLoad calls Load. If ctx ends first, it returns neither a snapshot nor an error and does
// not wait.
func (l *instance) firstLoad(ctx context.Context) (*snapshot.Snapshot, error) {
	type loaded struct {
		snapshot *snapshot.Snapshot
		err      error
	}
	done := make(chan loaded, 1)
	l.startedAt = time.Now()
	defer relaxGC()()
	go func() {
		snapshot, err := recovered(func() (*snapshot.Snapshot, error) { return l.loadFirst() })
		done <- loaded{snapshot, err}
	}()
	select {
	case got := <-done:
		return got.snapshot, got.err
	case <-ctx.Done():
		return nil, nil
	}
}

// bindAndBuild binds the sockets of cfg and then builds its snapshot: so a port in use is
// reported before the geo database is read, which may take seconds. A second call binds the
// addresses of another configuration.
func (l *instance) bindAndBuild(cfg *config.Config) (*snapshot.Snapshot, []config.Error, error) {
	if err := l.bindFirst(cfg); err != nil {
		return nil, nil, &BindError{err}
	}
	return snapshot.WritingKeys(snapshot.Build)(cfg)
}

// bindFirst binds the sockets for DNS and for the API.
func (l *instance) bindFirst(cfg *config.Config) error {
	l.bindMu.Lock()
	defer l.bindMu.Unlock()
	if err := l.server.Bind(&cfg.Server); err != nil {
		if l.Predecessor != nil && errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w; if the server itself has the address, as the wildcard or below it, reload first, then upgrade", err)
		}
		return err
	}
	l.bound = time.Now()
	return l.bindAdmin(cfg)
}

// bindAdmin binds the socket for the API and answers at once: until the server serves, with the
// progress of the start. While another process still answers, openServices opens the socket later.
func (l *instance) bindAdmin(cfg *config.Config) error {
	if l.Predecessor != nil {
		return nil
	}
	asked := cfg.Admin.Listen
	if l.adminListener == nil || l.adminListener.Configured != asked || l.Admin == nil {
		l.adminListener.Close()
		l.adminListener = nil
		if l.Admin == nil || !asked.IsValid() {
			return nil
		}
		opened, err := listener.Open(asked, nil, l.Inherited, l.Logger)
		if err != nil && l.Agent { // openServices reports it
			return nil
		}
		if err != nil {
			return err
		}
		l.adminListener = opened
	}
	handler, err := l.Admin(l.control, cfg.Admin)
	security, failed := listener.NewSecurity(&cfg.Admin, l.Logger)
	if err == nil && failed == nil { // openServices reports the errors
		l.adminListener.Serve(handler, security)
	}
	return nil
}

// unbind closes the sockets of bindFirst if the server ends before it serves.
func (l *instance) unbind() {
	l.bindMu.Lock()
	defer l.bindMu.Unlock()
	l.server.Unbind()
	l.adminListener.Close()
	l.adminListener = nil
}

// leastFirstRound is the minimum time for the first probes if the build took most of
// startupProbeTimeout: most probes fail within it.
const leastFirstRound = 2 * time.Second

// firstAnswer returns the deadline of the first answer: queries wait in the sockets for
// startupProbeTimeout at most, unless the build takes longer.
func (l *instance) firstAnswer(now time.Time) time.Time {
	due := l.bound.Add(startupProbeTimeout)
	if least := now.Add(leastFirstRound); due.Before(least) {
		return least
	}
	return due
}
