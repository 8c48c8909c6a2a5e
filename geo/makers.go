package geo

import (
	"runtime"
	"sync"

	"meridian/config"
)

// makers is how many goroutines may make tables at once, one at least.
type makers int

// OpenAlone is Open of a Locator whose tables are made by who asks for them alone,
// one thing after the other: for a caller whose thread has a priority of its own,
// which no other thread would have.
func OpenAlone(cfg *config.Config) (*Locator, error) { return open(cfg, 1) }

// Makers is how many goroutines may ask for tables at once, the caller's among them:
// as many as the process runs, or one after OpenAlone or Compiled.
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
