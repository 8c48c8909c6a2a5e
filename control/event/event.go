// Package event keeps what happened to a server: health state changes, pool modes, overrides,
// reloads and every change made through the API.
//
// A [Log] holds the last events in memory, in the order of their ids. Readers ask for those after
// an id and wait for more; a slow reader delays nothing and misses what the log no longer holds.
// Package notify below it sends events to webhooks.
package event

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// The kinds of events.
const (
	State       = "state"        // a health state changed
	FailOpen    = "fail_open"    // a pool began or stopped to fail open
	Mode        = "mode"         // a pool began or stopped to use its fallback, or to give no answer
	Spill       = "spill"        // the clients of a lost region are spread over others
	Ejection    = "ejection"     // max_ejection defers an ejection, or no longer does
	Override    = "override"     // an override was set, removed, or expired
	Config      = "config"       // a configuration was loaded or rejected
	DNSSEC      = "dnssec"       // a key was made, or its life changed
	Upgrade     = "upgrade"      // another process took over, or could not
	Cluster     = "cluster"      // a vantage is lost or fresh, a message was rejected, nodes decide differently
	RateLimit   = "rate_limit"   // rate limiting began or ended
	Flood       = "flood"        // a name, a source, a type or a zone is asked for far more than usual, or no longer is
	Filtering   = "filter"       // a rule of the filter was added or removed at run time, or expired
	Quarantine  = "quarantine"   // a packet caused a panic, and is dropped for a time
	Zone        = "zone"         // a zone was transferred from a primary, could not be, or expired; or it was updated
	ErrorReport = "error_report" // resolvers report errors with answers
	Audit       = "audit"        // a change through the API: by a user, from an address
)

// Kinds returns the kinds of events, in the order of the manual.
func Kinds() []string {
	return []string{State, FailOpen, Mode, Spill, Ejection, Override, Config, DNSSEC, Upgrade, Cluster, RateLimit, Flood, Filtering, Quarantine, Zone, ErrorReport, Audit}
}

// Severity says how urgent an event is.
type Severity string

// The severities.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Event is something that happened. It is immutable.
type Event struct {
	ID       uint64            `json:"id"` // unique and growing, also over restarts with a state directory
	Time     time.Time         `json:"time"`
	Kind     string            `json:"kind"`
	Severity Severity          `json:"severity"`
	Subject  string            `json:"subject"` // pool/member, pool, region:NAME, or the file of a configuration
	Message  string            `json:"message"`
	Fields   map[string]string `json:"fields,omitempty"`
}

// Size is the number of events that a log holds.
const Size = 10_000

// Log holds the last events. It is safe for concurrent use.
type Log struct {
	mu      sync.Mutex // guards all below
	events  []Event    // by id; at most Size
	next    uint64
	changed chan struct{} // closed at the next event
}

// NewLog returns a log that continues one of a previous process; nil: none.
func NewLog(saved []Event) *Log {
	l := &Log{next: 1, changed: make(chan struct{})}
	l.Restore(saved)
	return l
}

// Restore puts the events of a previous process before those of this one. Ids of this process grow
// past them. Call it before the first Add: events in ascending order are kept, others dropped.
func (l *Log) Restore(saved []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range saved {
		if e.ID >= l.next && e.ID < 1<<53 { // JavaScript has no larger integers
			l.appendLocked(e)
			l.next = e.ID + 1
		}
	}
}

// Add gives e an id, and a time if it has none, and stores it. A nil log stores nothing.
func (l *Log) Add(e Event) Event {
	if l == nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.ID = l.next
	l.next++
	l.appendLocked(e)
	close(l.changed)
	l.changed = make(chan struct{})
	return e
}

// appendLocked stores e, and drops the oldest events of a full log, many at a time.
func (l *Log) appendLocked(e Event) {
	if len(l.events) == 2*Size {
		l.events = append([]Event(nil), l.events[Size:]...)
	}
	l.events = append(l.events, e)
}

// lastLocked returns the last events, at most Size.
func (l *Log) lastLocked() []Event { return l.events[max(0, len(l.events)-Size):] }

// Last returns the id of the last event; 0: there is none.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// Oldest returns the id of the first event that the log holds; 0: it holds none.
func (l *Log) Oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return oldestOf(l.lastLocked())
}

func oldestOf(all []Event) uint64 {
	if len(all) == 0 {
		return 0
	}
	return all[0].ID
}

// Save returns the events to restore in the next process.
func (l *Log) Save() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastLocked()
}

// Filter selects events; empty fields select all.
type Filter struct {
	Kinds   []string
	Subject string // it, and what is below it: pool web selects web/euw-1; zone example.com is example.com. too
}

// Members is the field with further subjects, with spaces between them: the other members with the address of a State event.
const Members = "members"

// Match reports whether f selects e.
func (f Filter) Match(e *Event) bool {
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, e.Kind) {
		return false
	}
	return f.Subject == "" || f.selects(e.Subject) || slices.ContainsFunc(strings.Fields(e.Fields[Members]), f.selects)
}

// selects reports whether f selects a subject.
func (f Filter) selects(subject string) bool {
	return strings.TrimSuffix(subject, ".") == strings.TrimSuffix(f.Subject, ".") || strings.HasPrefix(subject, f.Subject+"/")
}

// Page is a list of events.
type Page struct {
	Events []Event
	Next   uint64 // the id to continue after
	More   bool   // there are more after Next already
	Oldest uint64 // the first event that the log held then; 0: none
}

// Since returns the first events after an id that a filter selects, at most limit.
func (l *Log) Since(id uint64, f Filter, limit int) Page {
	l.mu.Lock()
	all := l.lastLocked()
	next := l.next - 1
	l.mu.Unlock()
	from, _ := slices.BinarySearchFunc(all, id, func(e Event, id uint64) int {
		if e.ID <= id {
			return -1
		}
		return 1
	})
	p := Page{Next: max(id, next), Oldest: oldestOf(all)}
	for i := range all[from:] {
		e := &all[from+i]
		if !f.Match(e) {
			continue
		}
		if len(p.Events) == limit {
			p.Next, p.More = p.Events[limit-1].ID, true
			return p
		}
		p.Events = append(p.Events, *e)
	}
	return p
}

// Latest returns the last events that a filter selects, at most limit, the oldest first.
func (l *Log) Latest(f Filter, limit int) Page {
	l.mu.Lock()
	all := l.lastLocked()
	p := Page{Next: l.next - 1}
	l.mu.Unlock()
	for i := len(all) - 1; i >= 0 && len(p.Events) < limit; i-- {
		if f.Match(&all[i]) {
			p.Events = append(p.Events, all[i])
		}
	}
	slices.Reverse(p.Events)
	return p
}

// Changed returns a channel that is closed at the next event. To miss none, call it before Since.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}
