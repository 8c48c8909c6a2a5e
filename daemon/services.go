package daemon

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"time"

	"meridian/admin/listener"
	"meridian/config"
	"meridian/control"
	"meridian/control/event/notify"
	"meridian/control/state"
	"meridian/discovery"
	"meridian/health"
)

// services are the API and the state directory of a configuration. A reload replaces them:
// openServices does all that can fail before anything is closed; useServices or closeUnused
// completes it.
type services struct {
	handler       http.Handler       // nil: no API
	security      *listener.Security // for handler
	adminListener *listener.Listener // for handler
	stateDir      *state.Dir         // nil: the state is in memory only
}

// openServices opens the services of cfg that are not open yet. An error leaves everything
// unchanged.
func (l *instance) openServices(cfg *config.Config) (*services, error) {
	b := new(services)
	if err := l.open(b, cfg); err != nil {
		l.closeUnused(b)
		return nil, err
	}
	return b, nil
}

func (l *instance) open(b *services, cfg *config.Config) (err error) {
	if k := l.control.Writer(); k != nil && sameFolder(k.Dir().Path(), cfg.State) {
		b.stateDir = k.Dir()
	} else if b.stateDir, err = lockStateDir(cfg); err != nil {
		return err
	}
	if l.Admin == nil || cfg.Admin.Listen == (netip.AddrPort{}) {
		return nil
	}
	if b.handler, err = l.Admin(l.control, cfg.Admin); err != nil {
		return err
	}
	if b.security, err = listener.NewSecurity(&cfg.Admin, l.Logger); err != nil {
		return err
	}
	if l.adminListener != nil && l.adminListener.Configured == cfg.Admin.Listen {
		b.adminListener = l.adminListener
	} else if b.adminListener, err = listener.Open(cfg.Admin.Listen, l.adminListener, l.Inherited, l.Logger); err != nil {
		if l.Agent { // with the file of a node on the same machine, the address is that of the node's API
			l.Logger.Error("the API of the agent is off", "error", err)
			return nil
		}
		return &BindError{err}
	}
	return nil
}

// sameFolder reports whether two paths name the same directory. The last good configuration has
// an absolute path, the file may have a relative one.
func sameFolder(a, b string) bool {
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	other, missing := os.Stat(b)
	return err == nil && missing == nil && os.SameFile(one, other)
}

// useServices makes b the active services and closes the previous ones, except the listener of
// the API: the answer to the request for the reload is still to be sent.
func (l *instance) useServices(b *services) {
	if l.Served != nil {
		l.Served(l.control, l.served().Config)
	}
	l.adminListener = b.adminListener
	if b.adminListener != nil {
		b.adminListener.Serve(b.handler, b.security)
	}
	k := l.control.Writer()
	if l.control.Generations() == nil || k != nil && k.Dir() != b.stateDir || k == nil && b.stateDir != nil {
		l.openGenerations(l.served().Config.State)
	}
	if k != nil && k.Dir() == b.stateDir {
		return
	}
	l.control.SwapWriter(nil)
	l.stopWriter(k)
	if b.stateDir != nil {
		l.control.SwapWriter(state.Start(b.stateDir, l.stateContent, l.prober.Changes(), l.Logger))
	}
}

// closeUnused closes the services that were opened for b.
func (l *instance) closeUnused(b *services) {
	if b.adminListener != l.adminListener {
		b.adminListener.Close()
	}
	if k := l.control.Writer(); b.stateDir != nil && (k == nil || k.Dir() != b.stateDir) {
		b.stateDir.Unlock()
	}
}

// shutdown closes the API and writes the state for the last time.
func (l *instance) shutdown() {
	l.adminListener.Close()
	l.adminListener = nil
	l.awaitLastGood()
	l.awaitTables()
	l.stopWriter(l.control.SwapWriter(nil))
}

// shutdownTimeout is the time limit for each component to end at shutdown.
const shutdownTimeout = 5 * time.Second

// waitOrLog waits for ended, and logs a timeout: a component that hangs must not keep the process
// from ending.
func (l *instance) waitOrLog(ended <-chan struct{}, what string) {
	select {
	case <-ended:
	case <-time.After(shutdownTimeout):
		l.Logger.Error("shutdown timed out", "waiting_for", what)
	}
}

// restoreState creates the prober and the tracker from the state of the previous process: what it passed, or else what
// it saved.
func (l *instance) restoreState(folder *state.Dir, passed *inheritance) error {
	options, tracking := health.Options{Logger: l.Logger, Observer: l.Observer}, discovery.Options{Logger: l.Logger}
	if l.member != nil {
		options.Opinions = l.member.Opinion
	}
	var cursors map[string]uint64
	m, err := l.previousState(folder, passed)
	if err != nil {
		return err
	}
	if m != nil {
		l.member.usePrevious(m)
		options.Saved, tracking.Remembered = m.Verdicts, m.Targets
		l.control.Events().Restore(m.Events)
		cursors = m.Notified
		l.control.Restore(control.Restored{Overrides: m.Overrides, Filters: m.Filters, Frozen: m.Frozen, Shared: m.Shared, Ejections: m.Ejections, Loads: m.Loads, Conditions: m.Conditions})
	}
	l.notifier = notify.New(notify.Options{Events: l.control.Events(), Logger: l.Logger, Cursors: cursors})
	l.prober, l.tracker = health.NewProber(options), discovery.New(tracking)
	l.control.Use(l.prober, l.notifier)
	return nil
}

// previousState returns the state of the previous process; nil: there is none.
func (l *instance) previousState(folder *state.Dir, passed *inheritance) (*savedState, error) {
	if passed != nil {
		m, err := decodeState(passed.State)
		if err != nil {
			return nil, fmt.Errorf("the state of the previous process: %w", err)
		}
		return m, nil
	}
	if folder == nil {
		return nil, nil
	}
	m, aside := readState(folder, l.Logger)
	l.control.SetQuarantined(aside)
	return m, nil
}

// stopWriter writes the state once more; nil is a no-op.
func (l *instance) stopWriter(k *state.Writer) {
	if k != nil {
		l.waitOrLog(k.Stop(), "writing the state")
	}
}
