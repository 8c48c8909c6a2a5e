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

// beside is what serves beside the answers: the API, and the folder of the
// state. A configuration says what it is, and a reload replaces it: equip takes
// all that can fail before anything is let go of; install or discard ends it.
type beside struct {
	handler http.Handler // of the API; nil: none
	door    *door        // for handler
	folder  *stateFolder // nil: the state is in memory only
}

// equip takes what cfg asks for, as far as it is not there. An error leaves all as it was.
func (l *life) equip(cfg *config.Config) (*beside, error) {
	b := new(beside)
	if err := l.fill(b, cfg); err != nil {
		l.discard(b)
		return nil, err
	}
	return b, nil
}

func (l *life) fill(b *beside, cfg *config.Config) (err error) {
	if k := l.keeping.Load(); k != nil && sameFolder(k.folder.path, cfg.State) {
		b.folder = k.folder
	} else if b.folder, err = holdState(cfg); err != nil {
		return err
	}
	if l.Admin == nil || cfg.Admin.Listen == (netip.AddrPort{}) {
		return nil
	}
	if b.handler, err = l.Admin(l.control, cfg.Admin); err != nil {
		return err
	}
	if l.door != nil && l.door.asked == cfg.Admin.Listen {
		b.door = l.door
	} else if b.door, err = openDoor(cfg.Admin.Listen, l.door, l.Logger); err != nil {
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

// install makes b what serves beside the answers.
func (l *life) install(b *beside) {
	if l.door != b.door {
		l.door.close()
		l.door = b.door
	}
	if b.door != nil {
		b.door.serve(b.handler)
	}
	k := l.keeping.Load()
	if k != nil && k.folder == b.folder {
		return
	}
	l.keeping.Store(nil)
	l.letGo(k)
	if b.folder != nil {
		l.keeping.Store(l.keepIn(b.folder))
	}
}

// discard lets go of what b took.
func (l *life) discard(b *beside) {
	if b.door != l.door {
		b.door.close()
	}
	if k := l.keeping.Load(); b.folder != nil && (k == nil || k.folder != b.folder) {
		b.folder.release()
	}
}

// end closes the API and keeps the state for the last time.
func (l *life) end() {
	l.door.close()
	l.door = nil
	l.awaitLastGood()
	l.letGo(l.keeping.Swap(nil))
}

// endWithin is how long the end waits for what should end by itself, each.
const endWithin = 5 * time.Second

// await waits for what ends, and says so when it does not: nothing that hangs may
// keep the process from ending.
func (l *life) await(ended <-chan struct{}, what string) {
	select {
	case <-ended:
	case <-time.After(endWithin):
		l.Logger.Error("what should have ended hangs; nobody waits for it", "what", what)
	}
}

// recall makes the prober and the tracker, which know what the process before
// remembered.
func (l *life) recall(folder *stateFolder) {
	options, tracking := health.Options{Logger: l.Logger}, resolver.Options{Logger: l.Logger}
	if folder != nil {
		m, aside := folder.read(l.Logger)
		l.control.setAside = aside
		if m != nil {
			options.Remembered, tracking.Remembered = m.Verdicts, m.Targets
			l.control.restored, l.control.recalledLoads = m.Ejections, m.Loads
			l.control.restore(overrides(m.Overrides).at(time.Now()))
		}
	}
	l.prober, l.tracker = health.NewProber(options), resolver.New(tracking)
}

// note says that something changed that outlives the process.
func (l *life) note() {
	if k := l.keeping.Load(); k != nil {
		k.note()
	}
}

// state tells whether the state of now outlives the process. With wait it comes
// back when it has been written, or could not be.
func (l *life) state(wait bool) StateStatus {
	k := l.keeping.Load()
	if k == nil {
		return StateStatus{SetAside: l.control.setAside}
	}
	if wait {
		k.wait()
	}
	return StateStatus{k.folder.path, !k.failing.Load(), l.control.setAside}
}
