// Package journal keeps the changes of zones: for incremental transfers, and so that dynamic updates survive a restart.
//
// A journal belongs to one zone. It has the last serial with a digest of the content at it, the changes that led to it, and the
// overlay, which is what all updates together changed in the zone's file. Its file has a base entry, of which the changes
// that follow make the present state. The changes before it are history only:
//
//	change 6 -> 7 | base: serial 7, overlay | change 7 -> 8 | change 8 -> 9 | ...
//
// Each entry has checksums. A change is on disk before Append returns. What a crash cut off at the end of a file was not
// acknowledged, and is removed. A file with any other error is set aside; the overlay of its valid part is kept.
//
// A journal knows records, and neither zones nor messages.
package journal

import (
	"fmt"
	"os"
	"sync"

	"meridian/dnsname"
)

// Bounds limit the history of a zone, not its overlay.
type Bounds struct {
	Size  int64 // of the changes, in octets
	Depth int   // their number
}

// Journal holds the changes of a zone. Its methods are safe for concurrent use.
type Journal struct {
	zone dnsname.Name
	path string               // empty: in memory only
	sync func(*os.File) error // of a file or folder: returns when it is on disk

	mu      sync.Mutex // guards the fields below
	bounds  Bounds
	current bool  // the file has the present state; else the next entry comes after a new base
	end     int64 // of the entries in the file
	torn    int64 // octets after them that a crash cut off; of Read only
	inFile  int   // changes in the file
	written int64 // octets that the last rewrite wrote; 0: there was none
	known   bool  // there is a serial
	serial  uint32
	digest  Digest
	overlay Overlay
	changes []entry // the last ones, each from the serial that the one before leads to
	size    int64   // of the changes
	closed  bool
	reused  *uint32 // the highest serial that may have had more than one content; nil: there is none
}

// entry is a change in memory, encoded: most are never read.
type entry struct {
	from, to uint32
	data     []byte
}

// State is where a zone is.
type State struct {
	Serial         uint32
	Digest         Digest
	Changes        int    // that are kept
	Size           int64  // of them, in octets
	Oldest         uint32 // the serial that the changes begin with
	Added, Deleted int    // records of the overlay
	File           string // empty: in memory only
	Torn           int64  // octets of an incomplete entry at the end of the file; of Read only
}

// State returns the present state; false: the journal has no serial yet.
func (j *Journal) State() (State, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := State{Serial: j.serial, Digest: j.digest, Changes: len(j.changes), Size: j.size, Oldest: j.serial, Added: len(j.overlay.Added), Deleted: len(j.overlay.Deleted), File: j.path, Torn: j.torn}
	if len(j.changes) > 0 {
		s.Oldest = j.changes[0].from
	}
	return s, j.known
}

// Overlay returns what updates changed in the zone's file.
func (j *Journal) Overlay() Overlay {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.overlay.clone()
}

// Hide makes the overlay replace records of the file that updates added too: they then leave the zone with the update that
// deletes them. Hide returns when this is on disk.
func (j *Journal) Hide(records []Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	more := false
	for _, r := range records {
		origin, added := j.overlay.Added[r]
		if _, hidden := j.overlay.Deleted[r.WithTTL(0)]; added && !hidden {
			j.overlay.Deleted[r.WithTTL(0)], more = origin, true
		}
	}
	if !more {
		return nil
	}
	return j.rewriteLocked()
}

// Begin sets the serial and the digest of a zone that came from an earlier state by unknown changes. The history begins with
// it; the overlay stays. It does not write: there may be many zones, and what a crash loses can be found again. Save does.
//
// If the serial is not higher than the one before, the serials up to that one have had more than one content: no difference
// begins at any of them. This must be saved.
func (j *Journal) Begin(serial uint32, digest Digest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known && !Newer(serial, j.serial) {
		j.reuseLocked(j.serial)
	}
	j.known, j.serial, j.digest, j.changes, j.size, j.current = true, serial, digest, nil, 0, false
}

// reuseLocked records that the serials up to one have had more than one content.
func (j *Journal) reuseLocked(serial uint32) {
	if j.reused == nil || Newer(serial, *j.reused) {
		j.reused = &serial
	}
}

// Save writes the present state, unless the file has it.
func (j *Journal) Save() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current {
		return nil
	}
	return j.rewriteLocked()
}

// Append adds changes, and returns when they are on disk. After an error the journal has none of them.
func (j *Journal) Append(changes ...*Change) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	data := make([]entry, len(changes))
	for i, c := range changes {
		if i == 0 && (!j.known || c.From() != j.serial) || i > 0 && c.From() != changes[i-1].To() {
			return fmt.Errorf("a change from serial %d does not follow serial %d", c.From(), j.serial)
		}
		data[i] = entry{c.From(), c.To(), c.encode()}
	}
	if err := j.writeLocked(data); err != nil {
		return err
	}
	for i, c := range changes {
		j.addLocked(c, data[i])
	}
	if j.hasOutgrownLocked() {
		_ = j.rewriteLocked() // the entries are on disk already; the next change tries again
	}
	return nil
}

const (
	minRewrite     = 64
	minRewriteSize = 1 << 20
)

// hasOutgrownLocked reports whether the file has about twice what its bounds allow, and twice what the last rewrite wrote:
// the overlay may be far larger than a change. The cost of a rewrite for each change is then about that of writing the change.
func (j *Journal) hasOutgrownLocked() bool {
	beyond := j.inFile > 2*j.bounds.Depth+minRewrite || j.end > 2*j.bounds.Size+minRewriteSize
	return j.path != "" && beyond && j.end > 2*j.written
}

// addLocked adds a change to the state, and drops old ones that are beyond the bounds.
func (j *Journal) addLocked(c *Change, e entry) {
	j.serial, j.digest = c.To(), c.Digest
	if c.Update != nil {
		j.overlay.apply(c)
	}
	j.changes, j.size = append(j.changes, e), j.size+int64(len(e.data))
	j.trimLocked()
}

func (j *Journal) trimLocked() {
	drop := 0
	for ; drop < len(j.changes) && (len(j.changes)-drop > j.bounds.Depth || j.size > j.bounds.Size); drop++ {
		j.size -= int64(len(j.changes[drop].data))
		j.changes[drop] = entry{}
	}
	j.changes = j.changes[drop:]
	if j.reused != nil && len(j.changes) > 0 && Newer(j.changes[0].from, *j.reused) {
		j.reused = nil // no difference can begin so early
	}
}

// SetBounds changes the bounds.
func (j *Journal) SetBounds(b Bounds) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bounds = b
	j.trimLocked()
}

// Since returns the difference between two serials as one change; nil: the journal does not have it.
func (j *Journal) Since(from, to uint32) *Change {
	j.mu.Lock()
	if j.reused != nil && !Newer(from, *j.reused) {
		j.mu.Unlock()
		return nil
	}
	first, last := -1, -1
	for i := range j.changes {
		if j.changes[i].from == from {
			first = i
		}
		if j.changes[i].to == to {
			last = i
		}
	}
	if first < 0 || last < first {
		j.mu.Unlock()
		return nil
	}
	entries := append([]entry(nil), j.changes[first:last+1]...)
	j.mu.Unlock()
	return merged(entries)
}

// merged returns several changes as one; nil: there are none.
func merged(entries []entry) (whole *Change) {
	for _, e := range entries {
		c, err := decodeChange(e.data)
		switch {
		case err != nil:
			return nil // never: the entries were encoded, or checked when they were read
		case whole == nil:
			whole = c
		default:
			whole.merge(c)
		}
	}
	return whole
}

// Close ends the journal: another process may use the file. Later changes are errors.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}
