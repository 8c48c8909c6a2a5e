package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"meridian/control/event"
)

// SignatureHeader has the signature of the body: sha256= and the HMAC-SHA256 in hexadecimal.
const SignatureHeader = "X-Meridian-Signature"

// IDHeader has the id of the event, the same at every attempt.
const IDHeader = "X-Meridian-Event-Id"

// maxReply is the part of a sink's response that is read, so that its connection can be reused, and the most of its
// header.
const maxReply = 64 << 10

// batch is the number of events taken from the log at once.
const batch = 64

// sendEvents sends each event of the log, one in a request, until ctx ends.
func (r *runner) sendEvents(ctx context.Context) {
	for ctx.Err() == nil {
		changed := r.events.Changed()
		p := r.next()
		for i := range p.Events {
			if !r.sendEvent(ctx, &p.Events[i]) {
				return
			}
		}
		r.advance(p.Next)
		if p.More {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// next takes the next events for the sink, and counts those that the log does not hold any more.
func (r *runner) next() event.Page {
	p := r.events.Since(r.position(), r.filter, batch)
	r.take(p)
	return p
}

// sendEvent sends one event until the sink accepts or rejects it. It returns false if ctx ended
// before.
func (r *runner) sendEvent(ctx context.Context, e *event.Event) bool {
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // an event is always valid
	}
	header := http.Header{IDHeader: {strconv.FormatUint(e.ID, 10)}}
	sent := r.retry(ctx, func() error {
		err := r.post(ctx, r.sink.URL, body, header)
		if rejected := (*errRejected)(nil); errors.As(err, &rejected) {
			r.reject(e, rejected)
			return nil
		}
		return err
	})
	if sent {
		r.advance(e.ID)
	}
	return sent
}

func (r *runner) reject(e *event.Event, why error) {
	r.log.Warn("notification rejected; the event is skipped", "sink", r.sink.URL, "id", e.ID, "error", why)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Rejected++
}

// post sends a body of JSON. Redirects are errors: the secrets are for the configured URL only.
func (r *runner) post(ctx context.Context, to string, body []byte, header http.Header) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Meridian")
	if err := r.authorize(request, body); err != nil {
		return err
	}
	response, err := r.client.Do(request)
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			return failed.Err // without the URL, which may have a token
		}
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxReply))
	switch code := response.StatusCode; {
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge || code == http.StatusUnprocessableEntity:
		return &errRejected{response.Status}
	case code < 200 || code > 299:
		return fmt.Errorf("the sink answered %s", response.Status)
	}
	return err
}

// authorize adds the headers of the sink and the signature.
func (r *runner) authorize(request *http.Request, body []byte) error {
	for _, h := range r.sink.Headers {
		value, err := h.Value()
		if err != nil {
			return fmt.Errorf("header %s: %w", h.Name, err)
		}
		request.Header.Set(h.Name, value)
	}
	if r.sink.Secret == nil {
		return nil
	}
	secret, err := r.sink.Secret()
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	request.Header.Set(SignatureHeader, Sign(secret, body))
	return nil
}

// Sign returns the signature of a body, as SignatureHeader has it.
func Sign(secret, body []byte) string {
	m := hmac.New(sha256.New, secret)
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}
