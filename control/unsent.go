package control

import "time"

// unsentLogInterval is the minimum interval between log lines about answers that found no room.
const unsentLogInterval = time.Minute

// unsentLog reports answers that found no room in a send buffer; the packet path only counts
// them. The zero value is ready.
type unsentLog struct {
	reported uint64
	next     time.Time
}

// due returns the number of answers to report, given the total.
func (l *unsentLog) due(total uint64, now time.Time) (n uint64) {
	if total == l.reported || now.Before(l.next) {
		return 0
	}
	n = total - l.reported
	l.reported, l.next = total, now.Add(unsentLogInterval)
	return n
}

// reportUnsentLocked warns of answers that found no room since the last warning.
func (c *Control) reportUnsentLocked(now time.Time) {
	if n := c.unsent.due(c.server.Counters().Unsent, now); n > 0 {
		c.log.Warn("UDP answers lost: the send buffer of a socket is full", "answers", n,
			"hint", "a slow link, or neighbours that do not answer ARP or neighbour discovery: see net.ipv4.neigh.*.unres_qlen_bytes in deploy/sysctl")
	}
}
