package answer

import "sync"

// ringList holds the rings of all responders.
type ringList[R interface{ isClosed() bool }] struct {
	mu    sync.Mutex // guards rings
	rings []R
}

// add adds the ring of a responder.
func (l *ringList[R]) add(ring R) R {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rings = append(l.rings, ring)
	return ring
}

// current returns all rings, and removes those of removed responders: their records are final.
func (l *ringList[R]) current() []R {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append([]R(nil), l.rings...)
	kept := l.rings[:0]
	for _, g := range l.rings {
		if !g.isClosed() {
			kept = append(kept, g)
		}
	}
	clear(l.rings[len(kept):])
	l.rings = kept
	return all
}
