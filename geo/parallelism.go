package geo

import (
	"runtime"
	"sync"

	"meridian/config"
)

// parallelism is the number of goroutines that may compile tables at once, at least one.
type parallelism int

// OpenInBackground opens a Locator for a server that answers queries at the same time. before is the latency table in
// use, or nil: see firstLatency. The Locator's tables are compiled in the caller's goroutine only, one after the
// other, because the caller's thread may have its own priority.
func OpenInBackground(cfg *config.Config, before *Latency) (*Locator, error) {
	return open(cfg, 1, before)
}

// Makers returns the number of goroutines, the caller's included, that may request tables at once: GOMAXPROCS, or one
// after OpenInBackground or ReleaseBuildData.
func (l *Locator) Makers() int { return int(l.parallelism) }

// maxParallelism returns the number of goroutines that the process runs at once.
func maxParallelism() parallelism { return parallelism(runtime.GOMAXPROCS(0)) }

// runBoth runs two functions, in parallel if allowed.
func (m parallelism) runBoth(one, another func()) {
	if m == 1 {
		one()
		another()
		return
	}
	var done sync.WaitGroup
	done.Go(one)
	another()
	done.Wait()
}
