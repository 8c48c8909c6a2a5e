package telemetry

import (
	"net/http"
	"time"
)

const (
	// pauseShare is the pause after a scrape, in times of its duration: scrapes take at most a fifth of one processor,
	// however many clients ask.
	pauseShare = 4
	// maxPause keeps two Prometheus servers from delaying each other for long.
	maxPause = time.Second
)

// paced serves one request at a time, with a pause after each. A request is not served after its client has gone.
func paced(handler http.Handler) http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		begun := time.Now()
		defer func() { time.AfterFunc(min(pauseShare*time.Since(begun), maxPause), func() { <-turn }) }()
		handler.ServeHTTP(w, r)
	})
}
