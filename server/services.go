package server

import (
	"net/http"
	"net/netip"
	"os"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/resolver"
)

// services is what serves beside the answers: the API, and the folder of the
// state. A configuration says what it is, and a reload replaces it: equip takes
// all that can fail before anything is let go of; install or discard ends it.
type services struct {
	handler       http.Handler   // of the API; nil: none
	adminListener *adminListener // for handler
	stateDir      *stateDir      // nil: the state is in memory only
}

// openServices takes what cfg asks for, as far as it is not there. An error leaves all as it was.
func (l *instance) openServices(cfg *config.Config) (*services, error) {
	b := new(services)
	if err := l.open(b, cfg); err != nil {
		l.closeUnused(b)
		return nil, err
	}
	return b, nil
}

func (l *instance) open(b *services, cfg *config.Config) (err error) {
	if k := l.writer.Load(); k != nil && sameFolder(k.dir.path, cfg.State) {
		b.stateDir = k.dir
	} else if b.stateDir, err = lockStateDir(cfg); err != nil {
		return err
	}
	if l.Admin == nil || cfg.Admin.Listen == (netip.AddrPort{}) {
		return nil
	}
	if b.handler, err = l.Admin(l.control, cfg.Admin); err != nil {
		return err
	}
	if l.adminListener != nil && l.adminListener.configured == cfg.Admin.Listen {
		b.adminListener = l.adminListener
	} else if b.adminListener, err = openAdmin(cfg.Admin.Listen, l.adminListener, l.Logger); err != nil {
		return &BindError{err}
	}
	return nil
}

// sameFolder reports whether two paths lead to one folder. The last good configuration
// has an absolute path where the file may have a relative one.
func sameFolder(a, b string) bool {
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	other, missing := os.Stat(b)
	return err == nil && missing == nil && os.SameFile(one, other)
}

// useServices makes b what serves beside the answers.
func (l *instance) useServices(b *services) {
	if l.adminListener != b.adminListener {
		l.adminListener.close()
		l.adminListener = b.adminListener
	}
	if b.adminListener != nil {
		b.adminListener.serve(b.handler)
	}
	k := l.writer.Load()
	if k != nil && k.dir == b.stateDir {
		return
	}
	l.writer.Store(nil)
	l.stopWriter(k)
	if b.stateDir != nil {
		l.writer.Store(l.startWriter(b.stateDir))
	}
}

// closeUnused lets go of what b took.
func (l *instance) closeUnused(b *services) {
	if b.adminListener != l.adminListener {
		b.adminListener.close()
	}
	if k := l.writer.Load(); b.stateDir != nil && (k == nil || k.dir != b.stateDir) {
		b.stateDir.unlock()
	}
}

// shutdown closes the API and keeps the state for the last time.
func (l *instance) shutdown() {
	l.adminListener.close()
	l.adminListener = nil
	l.awaitLastGood()
	l.stopWriter(l.writer.Swap(nil))
}

// shutdownTimeout is how long the end waits for what should end by itself, each.
const shutdownTimeout = 5 * time.Second

// waitOrLog waits for what ends, and says so when it does not: nothing that hangs may
// keep the process from ending.
func (l *instance) waitOrLog(ended <-chan struct{}, what string) {
	select {
	case <-ended:
	case <-time.After(shutdownTimeout):
		l.Logger.Error("what should have ended hangs; nobody waits for it", "what", what)
	}
}

// restoreState makes the prober and the tracker, which know what the process before
// remembered.
func (l *instance) restoreState(folder *stateDir) {
	options, tracking := health.Options{Logger: l.Logger}, resolver.Options{Logger: l.Logger}
	if folder != nil {
		m, aside := folder.read(l.Logger)
		l.control.quarantined = aside
		if m != nil {
			options.Saved, tracking.Remembered = m.Verdicts, m.Targets
			l.control.restored, l.control.recalledLoads = m.Ejections, m.Loads
			l.control.restore(overrides(m.Overrides).at(time.Now()))
		}
	}
	l.prober, l.tracker = health.NewProber(options), resolver.New(tracking)
}

// markDirty says that something changed that outlives the process.
func (l *instance) markDirty() {
	if k := l.writer.Load(); k != nil {
		k.markDirty()
	}
}

// state tells whether the state of now outlives the process. With wait it comes
// back when it has been written, or could not be.
func (l *instance) state(wait bool) StateStatus {
	k := l.writer.Load()
	if k == nil {
		return StateStatus{Quarantined: l.control.quarantined}
	}
	if wait {
		k.flush()
	}
	return StateStatus{k.dir.path, !k.failing.Load(), l.control.quarantined}
}
