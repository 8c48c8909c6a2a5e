package notify_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/control/event"
	"meridian/control/event/notify"
)

// TestSinkWithAnUnknownCertificateGetsNothing serves a webhook with a certificate of no known authority.
func TestSinkWithAnUnknownCertificateGetsNothing(t *testing.T) {
	var got received
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got.add(r.Header.Get(notify.IDHeader)) }))
	sink.Config.ErrorLog = log.New(io.Discard, "", 0)
	sink.StartTLS()
	t.Cleanup(sink.Close)
	events := event.NewLog(nil)
	n := start(t, events, notify.Options{}, notify.Sink{URL: sink.URL})
	events.Add(event.Event{Kind: event.State})
	s := wait(n, func(s notify.Status) bool { return s.Failed > 0 })
	if !strings.Contains(s.Error, "certificate signed by unknown authority") || len(got.list()) > 0 {
		t.Errorf("%d requests, status %+v", len(got.list()), s)
	}
}

// TestBurstWithAFailingSinkDelaysNothing adds a burst of as many events as the log holds while one sink hangs and one
// refuses connections: adding them takes no time, and the other sink has them all at once.
func TestBurstWithAFailingSinkDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = event.Size
		hangs, refuses := "http://hangs.example/", "http://refuses.example/"
		var got received
		events := event.NewLog(nil)
		n := start(t, events, notify.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			switch r.URL.String() {
			case hangs:
				<-r.Context().Done()
				return nil, r.Context().Err()
			case refuses:
				return nil, errors.New("connection refused")
			}
			got.add(r.Header.Get(notify.IDHeader))
			return status(http.StatusOK)
		})}, notify.Sink{URL: hangs}, notify.Sink{URL: refuses}, notify.Sink{URL: hook})
		events.Add(event.Event{Kind: event.State})
		synctest.Wait() // the failing sinks have read this one, and will send it
		began := time.Now()
		for range burst {
			events.Add(event.Event{Kind: event.State})
		}
		synctest.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("the burst was delayed for %v", took)
		}
		if n := len(got.list()); n != 1+burst {
			t.Errorf("the working sink has %d events, want %d", n, 1+burst)
		}
		for range burst { // the failing sinks lose the first ones
			events.Add(event.Event{Kind: event.State})
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for _, s := range n.Status() {
			want := uint64(0)
			if s.Sink != hook {
				want = burst
			}
			if s.Lost != want {
				t.Errorf("%s lost %d events, want %d", s.Sink, s.Lost, want)
			}
		}
	})
}
