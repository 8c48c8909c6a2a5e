package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestManyScrapesTakeAFifthOfAProcessor sends a scrape every 10 ms for 3 s, each of which takes 50 ms of work.
func TestManyScrapesTakeAFifthOfAProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work = 50 * time.Millisecond
		var mu sync.Mutex // the last scrape may end while the counts are read
		began, running, most, served := time.Now(), 0, 0, 0
		handler := paced(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { // one at a time, as most shows
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(work)
			mu.Lock()
			running--
			served++
			mu.Unlock()
		}))
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for time.Since(began) < 3*time.Second {
			clients.Go(func() {
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
			})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		mu.Lock()
		if most != 1 || served != 12 {
			t.Errorf("%d scrapes in 3 s, up to %d at once; want 12, one at a time", served, most)
		}
		mu.Unlock()
		cancel() // the clients that wait go away
		clients.Wait()
	})
}

// TestScrapeAfterALongOneWaitsASecond scrapes twice, and each takes a minute.
func TestScrapeAfterALongOneWaitsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		handler := paced(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }))
		for range 2 {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
		}
		if took := time.Since(began); took != 2*time.Minute+maxPause {
			t.Errorf("took %v, want two minutes and %v", took, maxPause)
		}
		time.Sleep(maxPause) // until the last pause is over
	})
}
