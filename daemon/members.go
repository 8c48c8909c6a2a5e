package daemon

import (
	"sync"
	"time"

	"meridian/snapshot"
	"meridian/transfer/catalog"
	"meridian/zones"
)

// catalogMembers are the zones that are served because catalogs of other servers list them. Only the goroutine of updatePools changes them, after
// the first use.
type catalogMembers struct {
	mu      sync.Mutex
	members catalog.Members // nil: not known yet
}

// current returns the members; nil: they are in the state directory.
func (m *catalogMembers) current() catalog.Members {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members
}

func (m *catalogMembers) use(members catalog.Members) {
	if members == nil {
		members = catalog.Members{} // they are known now
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members = members
}

// restoreMembers reads the members that the last process has left: the first update finds what has changed since.
func (l *instance) restoreMembers(s *snapshot.Snapshot) {
	members, _ := catalog.Read(s.Config.State) // the build has reported an error
	l.members.use(members)
}

// updateMembers returns the members after the current copies of the catalogs, without the data of those that have another one now. It writes
// them to the disk before they are served.
func (l *instance) updateMembers(served *snapshot.Snapshot, copies zones.Copies) catalog.Outcome {
	before := l.members.current()
	outcome := snapshot.UpdateMembers(served.Config, before, copies, time.Now())
	if !outcome.Members.Equal(before) {
		if err := outcome.Members.Write(served.Config.State); err != nil {
			l.Logger.Error("cannot write the zones of catalogs; after a restart those that have left are served no more, and others as the catalogs list them", "error", err)
		}
		l.members.use(outcome.Members)
	}
	for i := range outcome.Changes {
		if c := &outcome.Changes[i]; c.Forget {
			l.copies.Forget(c.Zone)
			delete(copies, c.Zone)
		}
	}
	l.control.RecordMembers(&outcome)
	return outcome
}
