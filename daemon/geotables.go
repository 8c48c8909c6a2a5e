package daemon

import (
	"sync"

	"meridian/geo"
)

// tableSaver saves the geo tables of what serves, for the next start, in the background because a disk may hang. At most one save
// is under way.
type tableSaver struct {
	mu    sync.Mutex
	saved chan struct{} // closed when the save under way ends; nil: none is
	again bool          // another generation serves since that save began
}

// begin reports whether the caller should save the tables. Otherwise the save under way does it again.
func (s *tableSaver) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again = s.saved != nil; s.again {
		return false
	}
	s.saved = make(chan struct{})
	return true
}

// end reports whether the caller has to save again.
func (s *tableSaver) end() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if again, s.again = s.again, false; !again {
		close(s.saved)
		s.saved = nil
	}
	return again
}

// underWay returns a channel that is closed when the save under way ends; nil: none is.
func (s *tableSaver) underWay() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}

// keepTables logs how the geo tables of what serves were made, and saves them.
func (l *instance) keepTables() {
	l.logTables(l.served().Geo.TablesMade())
	if !l.tables.begin() {
		return
	}
	go func() {
		for again := true; again; again = l.tables.end() {
			l.saveTables()
		}
	}()
}

// saveTables saves the geo tables of what serves.
func (l *instance) saveTables() {
	g := l.hold()
	defer g.Release()
	served := l.snapshotOf(g)
	_, err := recovered(func() (struct{}, error) { return struct{}{}, served.Geo.SaveTables() })
	if err != nil {
		l.Logger.Warn("cannot save the geo tables; the next start compiles them", "folder", served.Config.State, "error", err)
	}
}

// logTables logs how geo tables were made, if there are any.
func (l *instance) logTables(n geo.Tables) {
	var attributes []any
	for _, origin := range geo.Origins() {
		if n.From[origin] > 0 {
			attributes = append(attributes, origin.String(), n.From[origin])
		}
	}
	if len(attributes) == 0 {
		return
	}
	if n.Reason != "" {
		attributes = append(attributes, "reason", n.Reason)
	}
	l.Logger.Info("geo tables ready", attributes...)
}

// awaitTables waits at shutdown until the tables are saved.
func (l *instance) awaitTables() {
	if saved := l.tables.underWay(); saved != nil {
		l.waitOrLog(saved, "saving the geo tables")
	}
}
