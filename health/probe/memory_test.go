package probe

import (
	"log/slog"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// TestEndlessPeersUseBoundedMemory runs many probes at once against peers that send endless headers and bodies, fast or
// slow.
func TestEndlessPeersUseBoundedMemory(t *testing.T) {
	const (
		probes   = 30      // of each peer at once
		perProbe = 1 << 20 // octets of heap, with uncollected garbage
	)
	filler := strings.Repeat("x", 4096)
	peers := map[string]*endpoint{
		"endless body":        serve(t, then(says("HTTP/1.1 200 OK\r\n\r\n"), endless(filler))),
		"endless header":      serve(t, then(says("HTTP/1.1 200 OK\r\n"), endless("X-More: "+filler+"\r\n"))),
		"endless header line": serve(t, then(says("HTTP/1.1 200 OK\r\nX: "), endless(filler))),
		"many headers":        serve(t, then(says("HTTP/1.1 200 OK\r\n"), endless(strings.Repeat("A:\r\n", 1000)))),
		"endless extensions":  serve(t, then(says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), endless("1;"+filler+"\r\na\r\n"))),
		"a dripping body":     serve(t, then(says("HTTP/1.1 200 OK\r\n\r\n"), drips("ok"))),
	}
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // or garbage would be as large as what is in use
	for name, e := range peers {
		t.Run(name, func(t *testing.T) {
			before, most := liveHeap(), uint64(0)
			results := make(chan Result)
			for range probes {
				check := httpCheck(e)
				check.Body, check.Timeout = regexp.MustCompile("never said"), time.Second
				c, _ := New(&check)
				go func() {
					r, _ := c.Probe(t.Context(), e.Addr(), SystemDial, slog.New(slog.DiscardHandler))
					results <- r
				}()
			}
			for range probes {
				if r := <-results; r.Outcome != Failed {
					t.Errorf("%v: %s", r.Outcome, r.Reason)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
			if bound := before + probes*perProbe; most > bound {
				t.Errorf("the heap grew from %d to %d KiB, want at most %d", before>>10, most>>10, bound>>10)
			}
		})
	}
}
