package control

import (
	"runtime/debug"
	"time"

	"meridian/pools"
)

// Tick, called about once a second, does the work that depends on time: it samples counters,
// reports to the prober what queries ask for, ejects members whose ejection was deferred by max_ejection and now fits, and removes expired
// overrides. Expiry is by wall-clock time, which may be changed.
func (c *Control) Tick(now time.Time) {
	defer c.RecoverPanic("tick")
	c.history.sample(now, c.sampled)
	c.shares.sample(now, c.server.AnswerTotals)
	c.usage.report(c.currentView(), c.server.PoolAnswers)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.currentView()
	tree := at.Snapshot.Pools
	c.reportUnsentLocked(now)
	c.reportProxyErrorsLocked(now)
	c.expireFiltersLocked(now)
	c.reportQuarantineLocked(now)
	c.reportResolverErrorsLocked(now)
	c.change(tree, func() []pools.Change { return tree.Tick(now) })
	for _, a := range c.pending { // such as that of a canary
		c.change(a.tree, func() []pools.Change { return a.tree.Tick(now) })
	}
	left := at.overrides.at(now)
	if len(left) == len(at.overrides) {
		return
	}
	for i := range at.overrides {
		if s := &at.overrides[i]; s.ended(now) {
			c.reportEnd(s)
		}
	}
	c.overrideLocked(left)
}

// RecoverPanic recovers a panic in the function that defers it: queries must still be answered.
func (c *Control) RecoverPanic(what string) {
	if reason := recover(); reason != nil {
		c.log.Error("control loop panicked, recovered", "in", what, "reason", reason, "stack", string(debug.Stack()))
	}
}

// unsentLogInterval is the minimum interval between log lines about answers that found no room.
const unsentLogInterval = time.Minute

// unsentLog reports answers that found no room in a send buffer; the packet path only counts
// them. The zero value is ready.
type unsentLog struct {
	reported uint64
	next     time.Time
}

// reportProxyErrorsLocked warns of PROXY headers that could not be used since the last warning.
func (c *Control) reportProxyErrorsLocked(now time.Time) {
	errors := c.server.Counters().Proxy
	if n := c.badProxy.due(errors.Sum(), now); n > 0 {
		attributes := []any{"count", n, "missing", errors.Missing, "malformed", errors.Malformed, "version_1", errors.Version1, "untrusted", errors.Untrusted}
		if source := c.server.Untrusted(); source.IsValid() {
			attributes = append(attributes, "untrusted_source", source)
		}
		c.log.Warn("packets and connections refused because of their PROXY header", append(attributes, "hint", "sources in server.proxy.from must send headers of version 2, and others none")...)
	}
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
