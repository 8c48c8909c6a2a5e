package daemon

import "time"

// manyConnections is how many connections end before the memory that they held is returned to the system. Those of TLS
// hold 30 KiB each.
const manyConnections = 1000

// peakInterval is the time between two looks at the number of connections: the peak of a short flood counts, too.
const peakInterval = time.Second

// connectionPeak is the largest number of open connections since memory was last returned for them.
type connectionPeak uint64

// note counts the open connections.
func (p *connectionPeak) note(open uint64) { *p = max(*p, connectionPeak(open)) }

// passed reports whether many connections have ended since the peak, and most of all. It then begins again.
func (p *connectionPeak) passed(open uint64) bool {
	p.note(open)
	peak := uint64(*p)
	if peak-open < manyConnections || open > peak/2 {
		return false
	}
	*p = connectionPeak(open)
	return true
}

// openConnections returns the number of open connections of all transports.
func (l *instance) openConnections() (open uint64) {
	for _, connections := range l.server.Counters().Connections {
		open += connections.Open
	}
	return open
}

// returnMemory returns the memory of connections to the system after many have ended. The Go runtime alone takes minutes: it
// collects only when the memory in use has doubled, or after two minutes.
func (l *instance) returnMemory(peak *connectionPeak) {
	if !peak.passed(l.openConnections()) {
		return
	}
	defer l.processors.use()()
	freeOSMemory()
}
