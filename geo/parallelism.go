package geo

import (
	"runtime"
	"sync"

	"meridian/config"
)

// parallelism is how many goroutines may make tables at once, one at least.
type parallelism int

// OpenInBackground is Open for a server that answers meanwhile, and goes by round trips
// already; before is nil where it does not: see firstLatency. The Locator's tables are made
// by who asks for them alone, one thing after the other: for a caller whose thread has
// a priority of its own, which no other thread would have.
func OpenInBackground(cfg *config.Config, before *Latency) (*Locator, error) {
	return open(cfg, 1, before)
}

// Makers is how many goroutines may ask for tables at once, the caller's among them:
// as many as the process runs, or one after OpenBeside or Compiled.
func (l *Locator) Makers() int { return int(l.parallelism) }

// maxParallelism is as many makers as the process runs goroutines at once.
func maxParallelism() parallelism { return parallelism(runtime.GOMAXPROCS(0)) }

// runBoth does one thing and another, at once where there is somebody for each.
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
