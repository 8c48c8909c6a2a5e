package server

import (
	"net"
	"net/http"
	"sync"
)

// doorway is a listener with a bounded number of connections at once. Who comes when
// it is full takes the place of the one that has been waited for longest without a
// word, if there is one: whoever opens connections and says nothing must not keep a
// probe of /healthz out. While all are being answered, it waits.
type doorway struct {
	net.Listener
	most int

	mu     sync.Mutex        // guards all below
	left   sync.Cond         // of mu; signalled when a guest leaves or goes silent, and at the end
	guests map[*guest]uint64 // and when each went silent, by count; 0: it is being heard or answered
	count  uint64
	closed bool
}

func newDoorway(l net.Listener, most int) *doorway {
	w := &doorway{Listener: l, most: most, guests: map[*guest]uint64{}}
	w.left.L = &w.mu
	return w
}

// guest is a connection that makes room when it is closed.
type guest struct {
	net.Conn
	way *doorway
}

// Accept waits for a connection, and then for room.
func (w *doorway) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && len(w.guests) >= w.most {
		if silent := w.silentLocked(); silent != nil {
			delete(w.guests, silent)
			_ = silent.Conn.Close() // whoever serves it finds out
			continue
		}
		w.left.Wait() // each has its times
	}
	if w.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	g := &guest{conn, w}
	w.count++
	w.guests[g] = w.count // nothing was heard of it yet
	return g, nil
}

// silentLocked is who has been silent for longest; nil: nobody is.
func (w *doorway) silentLocked() (found *guest) {
	for g, since := range w.guests {
		if since > 0 && (found == nil || since < w.guests[found]) {
			found = g
		}
	}
	return found
}

// stands is told by the http.Server what becomes of a connection: it is silent until
// the head of a request is there, so that one which drips makes room too.
func (w *doorway) stands(conn net.Conn, state http.ConnState) {
	g, ok := conn.(*guest)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, inside := w.guests[g]; !ok || !inside {
		return
	}
	switch state {
	case http.StateActive:
		w.guests[g] = 0
	case http.StateIdle:
		w.count++
		w.guests[g] = w.count
		w.left.Signal()
	}
}

// Close ends the connection, and makes room.
func (g *guest) Close() error {
	g.way.mu.Lock()
	delete(g.way.guests, g)
	g.way.left.Signal()
	g.way.mu.Unlock()
	return g.Conn.Close()
}

// Close ends the waiting for connections, and for room.
func (w *doorway) Close() error {
	w.mu.Lock()
	w.closed = true
	w.left.Broadcast()
	w.mu.Unlock()
	return w.Listener.Close()
}
