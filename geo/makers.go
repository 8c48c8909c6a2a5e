package geo

import (
	"runtime"
	"sync"

	"meridian/config"
)

// makers is how many goroutines may make tables at once, one at least.
type makers int

// OpenBeside is Open for a server that answers meanwhile, and goes by round trips
// already; before is nil where it does not: see firstLatency. The Locator's tables are made
// by who asks for them alone, one thing after the other: for a caller whose thread has
// a priority of its own, which no other thread would have.
func OpenBeside(cfg *config.Config, before *Latency) (*Locator, error) { return open(cfg, 1, before) }

// Makers is how many goroutines may ask for tables at once, the caller's among them:
// as many as the process runs, or one after OpenBeside or Compiled.
func (l *Locator) Makers() int { return int(l.makers) }

// everybody is as many makers as the process runs goroutines at once.
func everybody() makers { return makers(runtime.GOMAXPROCS(0)) }

// both does one thing and another, at once where there is somebody for each.
func (m makers) both(one, another func()) {
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
