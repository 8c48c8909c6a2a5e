package notify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/control/event"
	"meridian/control/event/notify"
)

// transport answers requests without a network, so that a test controls the time.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func status(code int) (*http.Response, error) {
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: http.NoBody}, nil
}

func start(t *testing.T, events *event.Log, o notify.Options, sinks ...notify.Sink) *notify.Notifier {
	t.Helper()
	o.Events, o.Logger = events, slog.New(slog.DiscardHandler)
	n := notify.New(o)
	n.Use(sinks)
	t.Cleanup(n.Close)
	return n
}

// received collects the ids of accepted events.
type received struct {
	mu  sync.Mutex
	ids []string
}

func (r *received) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
}

func (r *received) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...)
}

const hook = "http://hook.example/x"

// TestSinkDownForAnHour checks that every event is delivered once, in order, with its own id, after
// a sink was down for an hour.
func TestSinkDownForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got received
		begin := time.Now()
		attempts := 0
		events := event.NewLog(nil)
		n := start(t, events, notify.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			attempts++
			if time.Since(begin) < time.Hour {
				return nil, errors.New("connection refused")
			}
			got.add(r.Header.Get(notify.IDHeader))
			return status(http.StatusNoContent)
		})}, notify.Sink{URL: hook, Kinds: []string{event.State}})
		for range 60 {
			events.Add(event.Event{Kind: event.State})
			events.Add(event.Event{Kind: event.Audit})
			time.Sleep(time.Minute)
		}
		if s := n.Status()[0]; s.Failing.IsZero() || s.Error != "connection refused" || s.Lost != 0 {
			t.Errorf("while down: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ids := got.list()
		for i, id := range ids {
			if want := fmt.Sprint(1 + 2*i); id != want {
				t.Fatalf("event %d has id %s, want %s", i, id, want)
			}
		}
		if s := n.Status()[0]; len(ids) != 60 || s.Delivered != 60 || !s.Failing.IsZero() {
			t.Errorf("%d events delivered, status %+v", len(ids), s)
		}
		if attempts > 60+130 {
			t.Errorf("%d attempts in an hour: the back-off does not grow", attempts)
		}
	})
}

func TestLostEventsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var got received
		down.Store(true)
		events := event.NewLog(nil)
		n := start(t, events, notify.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return status(http.StatusServiceUnavailable)
			}
			got.add(r.Header.Get(notify.IDHeader))
			return status(http.StatusOK)
		})}, notify.Sink{URL: hook})
		for range event.Size + 500 {
			events.Add(event.Event{Kind: event.State})
		}
		time.Sleep(time.Minute)
		down.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		s := n.Status()[0]
		if s.Delivered+s.Lost != event.Size+500 || s.Lost == 0 || s.Lost > 500 || int(s.Delivered) != len(got.list()) {
			t.Errorf("%d delivered, %d received, %d lost of %d", s.Delivered, len(got.list()), s.Lost, event.Size+500)
		}
	})
}

// TestCursorSurvivesRestart checks that the next process sends what this one did not.
func TestCursorSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var got received
		accept := transport(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return nil, io.ErrUnexpectedEOF
			}
			got.add(r.Header.Get(notify.IDHeader))
			return status(http.StatusOK)
		})
		events := event.NewLog(nil)
		n := start(t, events, notify.Options{Transport: accept}, notify.Sink{URL: hook})
		events.Add(event.Event{})
		synctest.Wait()
		down.Store(true)
		events.Add(event.Event{})
		synctest.Wait()
		cursors := n.Cursors()
		n.Close()
		down.Store(false)
		start(t, event.NewLog(events.Save()), notify.Options{Transport: accept, Cursors: cursors}, notify.Sink{URL: hook})
		synctest.Wait()
		if ids := strings.Join(got.list(), " "); ids != "1 2" {
			t.Errorf("received %s, want 1 2", ids)
		}
	})
}

func TestRejectedEventIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got received
		events := event.NewLog(nil)
		n := start(t, events, notify.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			if id := r.Header.Get(notify.IDHeader); id != "1" {
				got.add(id)
				return status(http.StatusOK)
			}
			return status(http.StatusUnprocessableEntity)
		})}, notify.Sink{URL: hook})
		events.Add(event.Event{})
		events.Add(event.Event{})
		synctest.Wait()
		if s := n.Status()[0]; s.Rejected != 1 || len(got.list()) != 1 {
			t.Errorf("rejected %d, received %v", s.Rejected, got.list())
		}
	})
}

// wait returns when ok does; the deadline of the test ends a wait that never ends.
func wait(n *notify.Notifier, ok func(notify.Status) bool) notify.Status {
	for {
		if s := n.Status()[0]; ok(s) {
			return s
		}
		time.Sleep(time.Millisecond)
	}
}

// TestBadSinks sends to real HTTP servers that misbehave: each attempt fails within its timeout.
func TestBadSinks(t *testing.T) {
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Store(true) }))
	t.Cleanup(other.Close)
	for name, handler := range map[string]http.HandlerFunc{
		"hang": func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"drip": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			for r.Context().Err() == nil {
				fmt.Fprint(w, ".")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		},
		"close": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		},
		"endless body": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			for page := make([]byte, 1<<16); r.Context().Err() == nil; {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		},
		"endless header": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			field := []byte("X-More: " + strings.Repeat("x", 1<<12) + "\r\n")
			for _, err = conn.Write([]byte("HTTP/1.1 200 OK\r\n")); err == nil; {
				_, err = conn.Write(field)
			}
		},
		"not http": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				fmt.Fprint(conn, "220 mail.example ESMTP\r\n")
				conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) //nolint:errcheck // without it the server does not notice that the client has gone
				handler(w, r)
			}))
			t.Cleanup(s.Close)
			events := event.NewLog(nil)
			n := start(t, events, notify.Options{Timeout: 50 * time.Millisecond},
				notify.Sink{URL: s.URL, Headers: []notify.Header{{Name: "Authorization", Value: func() (string, error) { return "secret", nil }}}})
			events.Add(event.Event{Kind: event.State})
			if got := wait(n, func(s notify.Status) bool { return s.Failed > 0 }); got.Delivered != 0 || got.Error == "" {
				t.Errorf("status %+v", got)
			}
		})
	}
	if leaked.Load() {
		t.Error("a redirect was followed, with the secrets of the sink")
	}
}

// TestWebhookRequest checks the headers and the body of a request.
func TestWebhookRequest(t *testing.T) {
	type request struct {
		header http.Header
		body   []byte
	}
	got := make(chan request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Header, body}
	}))
	t.Cleanup(s.Close)
	events := event.NewLog(nil)
	start(t, events, notify.Options{}, notify.Sink{
		URL:     s.URL,
		Headers: []notify.Header{{Name: "Authorization", Value: func() (string, error) { return "Bearer x", nil }}},
		Secret:  func() ([]byte, error) { return []byte("key"), nil },
	})
	sent := events.Add(event.Event{Kind: event.State, Severity: event.Warning, Subject: "web/a", Message: "down", Fields: map[string]string{"from": "up"}})
	r := <-got
	var e event.Event
	if err := json.Unmarshal(r.body, &e); err != nil || e.ID != sent.ID || e.Subject != "web/a" || e.Fields["from"] != "up" {
		t.Errorf("body %s: %v", r.body, err)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer x", notify.IDHeader: "1", "Content-Type": "application/json",
		notify.SignatureHeader: notify.Sign([]byte("key"), r.body),
	} {
		if r.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, r.header.Get(name), want)
		}
	}
}

// TestSignature compares with the example of RFC 4231, test case 2.
func TestSignature(t *testing.T) {
	const want = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	if got := notify.Sign([]byte("Jefe"), []byte("what do ya want for nothing?")); got != want {
		t.Errorf("got %s", got)
	}
}

// posted is an alert as Alertmanager receives it.
type posted struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
}

// TestAlertmanagerIsKeptCurrent checks that firing alerts are sent again before they expire, and
// that a resolved one is sent with the same labels, also after Alertmanager was down.
func TestAlertmanagerIsKeptCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		firing := map[string]posted{} // by labels
		down := false
		events := event.NewLog(nil)
		n := start(t, events, notify.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return nil, net.ErrClosed
			}
			var all []posted
			if err := json.NewDecoder(r.Body).Decode(&all); err != nil || r.URL.Path != "/api/v2/alerts" {
				t.Errorf("%s: %v", r.URL, err)
			}
			for _, p := range all {
				key, _ := json.Marshal(p.Labels)
				firing[string(key)] = p
			}
			return status(http.StatusOK)
		})})
		events.Add(event.Event{Kind: event.State, Severity: event.Error, Subject: "web/old", Message: "down"})
		n.Use([]notify.Sink{{URL: "http://am.example/", Alertmanager: true}})
		count := func() (n int) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range firing {
				if p.EndsAt.After(time.Now()) {
					n++
				}
			}
			return n
		}
		expect := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if n := count(); n != want {
				t.Errorf("%s: %d alerts fire, want %d", when, n, want)
			}
		}
		expect("of a problem before the sink was added", 1)
		events.Add(event.Event{Kind: event.FailOpen, Severity: event.Error, Subject: "web", Message: "fails open"})
		events.Add(event.Event{Kind: event.Audit, Severity: event.Warning, Subject: "web"})
		expect("after a problem", 2)
		time.Sleep(20 * time.Minute)
		expect("much later", 2)
		mu.Lock()
		down = true
		mu.Unlock()
		events.Add(event.Event{Kind: event.State, Severity: event.Info, Subject: "web/old", Message: "up"})
		time.Sleep(time.Hour)
		expect("while Alertmanager is down", 0)
		mu.Lock()
		down = false
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		expect("when it is back", 1)
		mu.Lock()
		defer mu.Unlock()
		if len(firing) != 2 {
			t.Errorf("%d sets of labels, want 2: %v", len(firing), firing)
		}
	})
}
