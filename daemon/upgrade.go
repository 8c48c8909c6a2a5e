package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/control/state"
	"meridian/handover"
)

// takeoverTimeout is the time in which a new process that has the state must answer queries: this process refuses
// changes in it.
const takeoverTimeout = 30 * time.Second

// upgrading is an upgrade under way.
type upgrading struct {
	request   control.UpgradeRequest
	successor *handover.Successor // nil: it could not be started
	begun     time.Time
	loaded    *handover.Loaded
	err       error
}

// inheritance holds the data that a process passes to the one that takes over.
type inheritance struct {
	State   json.RawMessage `json:"state"`
	Audit   *control.Audit  `json:"audit,omitempty"` // of the request for the upgrade
	Version string          `json:"version"`
	PID     int             `json:"pid"`
	Begun   time.Time       `json:"begun"`
	// CookieSecret is the random secret of cookies. It crosses a private socket pair only, and is not part of the state.
	CookieSecret []byte `json:"cookie_secret,omitempty"`
}

// useCookieSecret makes the cookies of the previous process valid; an older one passes no secret.
func (l *instance) useCookieSecret(passed *inheritance) error {
	if passed.CookieSecret == nil {
		return nil
	}
	if err := l.server.Cookies().UseSecret(passed.CookieSecret); err != nil {
		return fmt.Errorf("the previous process passed %w", err)
	}
	return nil
}

// beginUpgrade starts an upgrade, unless one is under way. It returns the outcome to wait for, and no signals for a
// reload: those wait for it.
func (l *instance) beginUpgrade(ctx context.Context, upgraded <-chan *upgrading, request control.UpgradeRequest) (<-chan *upgrading, <-chan os.Signal) {
	if upgraded == nil {
		return l.startUpgrade(ctx, request), nil
	}
	request.Answer(control.UpgradeOutcome{Err: control.ErrUpgrading})
	return upgraded, nil
}

// abandonUpgrade waits for the end of an upgrade when this process stops, which ends the new one.
func (l *instance) abandonUpgrade(ctx context.Context, upgraded <-chan *upgrading) {
	if upgraded == nil {
		return
	}
	if u := <-upgraded; l.finishUpgrade(ctx, u) { // it was faster
		_ = u.successor.Signal(os.Interrupt)
	}
}

// startUpgrade starts the program again. The returned channel delivers when the new process answers queries, or why it
// does not. Until then no reload may change the sockets.
func (l *instance) startUpgrade(ctx context.Context, request control.UpgradeRequest) <-chan *upgrading {
	u, done := &upgrading{request: request, begun: time.Now()}, make(chan *upgrading, 1)
	sockets := l.sockets()
	timeout := request.Timeout
	if timeout == 0 {
		timeout = control.DefaultUpgradeTimeout
	}
	l.Logger.Info("upgrade started", "program", l.Program, "timeout", timeout)
	go func() {
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the new process did not answer queries within %v, and was ended", timeout))
		defer cancel()
		u.err = l.upgrade(ctx, u, sockets)
		done <- u
	}()
	return done
}

// upgrade starts the new process and lets it take over; an error leaves this one as it was.
func (l *instance) upgrade(ctx context.Context, u *upgrading, sockets []handover.Open) (err error) {
	if l.Program == "" {
		return errors.New("only meridian serve can be upgraded: stop this process, such as meridian agent or meridian demo, and start it again")
	}
	if os.Getpid() == 1 {
		return errors.New("process 1 of a container cannot be replaced, because its end stops the container: start another container instead")
	}
	if u.successor, err = handover.Start(l.Program, sockets); err != nil {
		return fmt.Errorf("cannot start %s: %w", l.Program, err)
	}
	defer func() {
		if err != nil {
			u.successor.Kill()
		}
	}()
	if u.loaded, err = u.successor.AwaitLoaded(ctx); err != nil {
		return err
	}
	if u.loaded.Hash != l.currentGeneration().Hash {
		if err := l.checkGuardrails(ctx, u.request.OverrideGuardrail); err != nil {
			return fmt.Errorf("the configuration has changed: %w", err)
		}
	}
	return l.passState(ctx, u)
}

// checkGuardrails returns an error if the files of the configuration, which the new process serves, break a guardrail of
// the one that serves. It loads them, as a reload does.
func (l *instance) checkGuardrails(ctx context.Context, reason string) error {
	if err := l.control.CheckFrozen(reason); err != nil {
		return err
	}
	if reason != "" || l.served().Config.Guardrails == (config.Guardrails{}) {
		return nil
	}
	_, err := buildSafely(ctx, l, func() (struct{}, error) {
		loaded, err := l.Load(l.checkBuilder())
		if err != nil {
			return struct{}{}, &control.RequestError{
				What: "this process cannot load it to check the guardrails: " + withFirst(err).Error(),
				Hint: "meridian upgrade --override-guardrail REASON upgrades without the check",
			}
		}
		return struct{}{}, errors.Join(l.control.CheckReload(loaded, reason), loaded.Close())
	})
	return err
}

// passState passes the state and waits until the new process answers queries. From the state on, this process changes
// nothing, unless that fails.
func (l *instance) passState(ctx context.Context, u *upgrading) (err error) {
	resume := l.suspend()
	defer func() {
		if err != nil {
			u.successor.Kill() // it may hold the lock of the state directory
			resume()
			l.member.again()
		}
	}()
	content, err := l.stateContent()
	if err != nil {
		return err
	}
	passed, err := json.Marshal(inheritance{State: content, Audit: u.request.Audit, Version: l.Version, PID: os.Getpid(), Begun: u.begun, CookieSecret: l.server.Cookies().Secret()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, takeoverTimeout,
		fmt.Errorf("the new process loaded the configuration, did not answer queries within %v after that, and was ended", takeoverTimeout))
	defer cancel()
	return u.successor.Continue(ctx, passed)
}

// suspend makes the state final: it refuses changes, writes the state and unlocks its directory for the new process.
func (l *instance) suspend() (resume func()) {
	l.control.Suspend()
	l.awaitLastGood()
	l.awaitTables()
	k := l.control.SwapWriter(nil)
	l.stopWriter(k)
	l.closeJournals()
	return func() {
		if k != nil {
			l.control.SwapWriter(state.Start(state.NewDir(k.Dir().Path()), l.stateContent, l.prober.Changes(), l.Logger))
		}
		l.journals.Reopen(l.served().Config)
		l.control.Resume()
	}
}

// closeJournals closes the journals of the zones when no change of zones is being made.
func (l *instance) closeJournals() {
	l.updates.gate.lock()
	defer l.updates.gate.unlock()
	l.journals.Close()
}

// finishUpgrade reports the outcome of an upgrade. It returns true if the new process answers queries.
func (l *instance) finishUpgrade(ctx context.Context, u *upgrading) bool {
	if u.err != nil {
		if ctx.Err() == nil {
			l.control.RecordUpgradeFailure(l.Program, u.err)
		} else { // the cause is the shutdown
			u.err = control.ErrStopping
		}
		u.request.Answer(control.UpgradeOutcome{Err: u.err})
		return false
	}
	l.member.pass()
	l.server.PassConnections(u.successor.Pass)
	pid := u.successor.PID()
	l.notify(fmt.Sprintf("%s%d", notifyMainPID, pid))
	_ = u.successor.Finish() // if it has ended, there is nothing to do: the service manager restarts it
	took := time.Since(u.begun)
	l.Logger.Info("the new process answers; this one ends", "pid", pid, "version", u.loaded.Version, "took", took.Round(time.Millisecond))
	u.request.Answer(control.UpgradeOutcome{Upgraded: &control.Upgraded{
		Version: u.loaded.Version, PID: pid, PreviousVersion: l.Version, PreviousPID: os.Getpid(), Took: took,
	}})
	return true
}

// serveUpdatesOfSuccessor reloads if a process that failed to take over has made updates of zones: they were acknowledged, and
// the journals have them.
func (l *instance) serveUpdatesOfSuccessor(ctx context.Context) {
	zone, ahead := l.journals.Ahead(viewOf(l.served()))
	if !ahead || ctx.Err() != nil {
		return
	}
	l.Logger.Warn("the process that failed to take over has made updates of zones; reloading to serve them", "zone", zone)
	l.handleReload(ctx, control.ReloadRequest{})
}

// forwardReloads sends the signals for a reload that come while this process ends to the one that has taken over. Its
// callers get an error.
func (l *instance) forwardReloads(to *handover.Successor) (end func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-l.Reload:
				_ = to.Signal(s) // fails if it has ended
			case request := <-l.control.Requests():
				request.Answer(control.ReloadOutcome{Err: control.ErrUpgrading})
			case request := <-l.control.Upgrades():
				request.Answer(control.UpgradeOutcome{Err: control.ErrUpgrading})
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// keepSockets keeps the sockets in the service manager, for the next process.
func (l *instance) keepSockets() {
	if err := l.Store.Keep(l.sockets()); err != nil {
		l.Logger.Warn("sockets cannot be kept in the service manager; a restart opens others", "error", err)
	}
}

// sockets returns the open sockets.
func (l *instance) sockets() []handover.Open {
	return slices.Concat(l.server.Open(), l.adminListener.Sockets(), l.member.sockets())
}

// withFirst returns an error that names the first of the errors that it replaces.
func withFirst(err error) error {
	if first := errorsIn(err)[0]; first.Error() != err.Error() {
		return fmt.Errorf("%w: %w", err, first)
	}
	return err
}

// inherit waits for what the previous process passes to this one; nil: there is none.
func (l *instance) inherit(hash string) (*inheritance, error) {
	if l.Predecessor == nil {
		return nil, nil
	}
	passed, err := l.Predecessor.Loaded(handover.Loaded{Version: l.Version, Hash: hash})
	if err != nil {
		return nil, err
	}
	i := new(inheritance)
	if err := json.Unmarshal(passed, i); err != nil {
		return nil, fmt.Errorf("the state of the previous process does not parse: %w", err)
	}
	return i, l.useCookieSecret(i)
}

// takeOver makes the previous process end, once this one answers queries, and keeps the sockets.
func (l *instance) takeOver(i *inheritance) {
	defer l.keepSockets()
	unused := l.Inherited.Close()
	if i == nil {
		if len(unused) > 0 {
			l.Logger.Warn("sockets of the service manager closed: server.listen and admin.listen have no such address", "addresses", join(unused))
		}
		return
	}
	go l.Predecessor.Receive(l.server.Adopt)
	if err := l.Predecessor.Ready(); err != nil {
		l.Logger.Warn("cannot report to the previous process that this one answers; end it if it does not end", "previous_pid", i.PID, "error", err)
	}
	l.member.begin()
	l.control.RecordUpgrade(&control.Upgraded{
		Version: l.Version, PID: os.Getpid(), PreviousVersion: i.Version, PreviousPID: i.PID, Took: time.Since(i.Begun),
	})
	if i.Audit != nil {
		l.control.RecordAudit(*i.Audit)
	}
}
