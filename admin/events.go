package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"meridian/control/event"
)

const (
	defaultEvents = 100
	maxStreams    = 24               // event streams at once: half of the requests that the listener handles
	streamPause   = 15 * time.Second // between two comments that keep a connection open
	streamWrite   = 10 * time.Second // for a client to take what is sent
)

// EventPage is the response to GET /v1/events.
type EventPage struct {
	Events []event.Event `json:"events"`
	Next   uint64        `json:"next,omitempty"` // continue with since=Next; absent: there is no more
}

// eventQuery is a parsed query for events.
type eventQuery struct {
	filter event.Filter
	since  uint64
	latest bool // no since: the last events
	limit  int
}

// eventList answers with the first events after since, or with the last ones.
func (a *api) eventList(w http.ResponseWriter, r *http.Request) {
	if q, ok := parseEvents(w, r, "since", "kind"+repeated, "subject", "limit"); ok {
		list, next := a.eventsOf(&q)
		answer(w, http.StatusOK, EventPage{list, next})
	}
}

// AuditPage is the response to GET /v1/audit.
type AuditPage struct {
	Audit []event.Event `json:"audit"`
	Next  uint64        `json:"next,omitempty"` // as in EventPage
}

// auditList answers with the audit records, as eventList does with all events.
func (a *api) auditList(w http.ResponseWriter, r *http.Request) {
	if q, ok := parseEvents(w, r, "since", "subject", "limit"); ok {
		q.filter.Kinds = []string{event.Audit}
		list, next := a.eventsOf(&q)
		answer(w, http.StatusOK, AuditPage{list, next})
	}
}

// eventsOf returns the events that a query asks for; next is 0 if there are no more.
func (a *api) eventsOf(q *eventQuery) (list []event.Event, next uint64) {
	log := a.control.Events()
	p := log.Latest(q.filter, q.limit)
	if !q.latest {
		p = log.Since(q.since, q.filter, q.limit)
	}
	if p.More {
		next = p.Next
	}
	return append([]event.Event{}, p.Events...), next // never nil: JSON needs a list
}

// parseEvents parses the known parameters of a request for events. If they are invalid, it answers with
// an error and ok is false.
func parseEvents(w http.ResponseWriter, r *http.Request, known ...string) (q eventQuery, ok bool) {
	words, ok := query(w, r, known...)
	if !ok {
		return q, false
	}
	q = eventQuery{filter: event.Filter{Kinds: words["kind"], Subject: words.Get("subject")}}
	var err error
	q.since, q.latest, err = parseSince(words, r.Header.Get("Last-Event-ID"))
	if err == nil {
		q.limit, err = parseLimit(words.Get("limit"))
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error(), "since is the id of an event, limit a number from 1 to "+strconv.Itoa(event.Size))
		return q, false
	}
	return q, true
}

// parseSince returns the id of the last event that a client has; latest: it has none. A browser
// that connects to a stream again sends the id in a header.
func parseSince(words url.Values, header string) (id uint64, latest bool, err error) {
	text := words.Get("since")
	if header != "" {
		text = header
	}
	if text == "" {
		return 0, true, nil
	}
	if id, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, fmt.Errorf("since: %q is not the id of an event", text)
	}
	return id, false, nil
}

func parseLimit(text string) (int, error) {
	if text == "" {
		return defaultEvents, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > event.Size {
		return 0, fmt.Errorf("limit: %q is out of range", text)
	}
	return n, nil
}

// eventStream sends events as server-sent events until the client goes. Without since it begins
// with the next one. A client that does not read is disconnected.
func (a *api) eventStream(w http.ResponseWriter, r *http.Request) {
	q, ok := parseEvents(w, r, "since", "kind"+repeated, "subject", "limit")
	if !ok {
		return
	}
	select {
	case a.streamSlots <- struct{}{}:
		defer func() { <-a.streamSlots }()
	default:
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, fmt.Sprintf("%d event streams are open", maxStreams), "close one, or ask for /v1/events")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no")
	if q.latest {
		q.since = a.control.Events().Last()
	}
	s := stream{w, http.NewResponseController(w)}
	for s.follow(a.control.Events(), &q, r.Context().Done()) {
	}
}

// stream is the connection of a client of eventStream.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// follow sends the next events, or a comment after a pause. It returns false when the client has
// gone.
func (s *stream) follow(log *event.Log, q *eventQuery, gone <-chan struct{}) bool {
	changed := log.Changed()
	p := log.Since(q.since, q.filter, defaultEvents)
	q.since = p.Next
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite)) // fails in tests without a connection
	for i := range p.Events {
		if s.send(&p.Events[i]) != nil {
			return false
		}
	}
	if len(p.Events) == 0 {
		if _, err := fmt.Fprint(s.w, ":\n\n"); err != nil {
			return false
		}
	}
	if s.control.Flush() != nil {
		return false
	}
	if p.More {
		return true
	}
	select {
	case <-gone:
		return false
	case <-changed:
	case <-time.After(streamPause):
	}
	return true
}

func (s *stream) send(e *event.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err) // an event is always valid
	}
	_, err = fmt.Fprintf(s.w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, data)
	return err
}
