package listener

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	// bodyTime is the time limit for a client to send the body of a request.
	bodyTime = 5 * time.Second
	// bodyBuffer is the part of a body that is received before the request is handled.
	bodyBuffer = 64 << 10
)

// connKey is the key of a request's *limitedConn in its context.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// ServeHTTP answers a request within the limits of the listener. A request is handled, and counts
// towards the limits, only after its body has arrived. Health requests count towards no limit.
func (d *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler := *d.handler.Load()
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close") // else the server would wait for a body before it answers
		}
		handler.ServeHTTP(w, r)
		return
	}
	if err := receiveBody(w, r); err != nil {
		code := http.StatusBadRequest
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code = http.StatusRequestTimeout
		}
		writeError(w, code, "the body of the request cannot be read: "+err.Error(), "send all of it within "+bodyTime.String())
		return
	}
	conn := r.Context().Value(connKey{}).(*limitedConn) // withConn has set it
	if !d.limit.startRequest(conn) {
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusServiceUnavailable, "too many requests at once", "try again in a second")
		return
	}
	defer d.limit.endRequest(conn)
	handler.ServeHTTP(w, r)
}

// receiveBody receives the body of r, or the beginning of a long one. It removes the read
// deadline, which would cancel a slow handler, unless more of the body is still to come.
func receiveBody(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	if r.ContentLength != 0 {
		_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // fails when closed, as reading will
		head, err := io.ReadAll(io.LimitReader(r.Body, bodyBuffer))
		if err != nil {
			return err
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
		if len(head) == bodyBuffer {
			return nil
		}
	}
	_ = control.SetReadDeadline(time.Time{})
	return nil
}

// writeError answers that a request was not handled, and closes the connection.
func writeError(w http.ResponseWriter, code int, what, hint string) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{ // fails if the client has gone
		"title": http.StatusText(code), "status": code, "detail": what, "error": what, "hint": hint,
	})
}
