// Package health probes endpoints out of band and tells their verdicts.
//
// The words. A check ([config.Check]) says how to probe, how often, and what
// turns a verdict. A [Target] is an address under a check. A probe is one run
// of a check against an address; it ends in a [Result]. Results in a row make
// the target's [Verdict]; a change of verdict is a [Turn]. A [Watch] is
// somebody's subscription to the turns of a set of targets.
//
// One goroutine, that of [Prober.Run], owns all state: which targets there
// are, when each is due, how many results in a row it has had, who watches it.
// The probes run on goroutines of their own and report to it; everybody else
// asks it by a call:
//
//	Watch, Close, Status ──call──▶ ┌───────┐ ──launch──▶ probe (one goroutine each,
//	                               │ owner │             at most one a target,
//	turned, log ◀──────turns────── └───────┘ ◀──report── all bounded in number)
//	                                heap of targets by due time
//
// What holds:
//
//   - Targets with an equal address and an equal check definition are one
//     target, probed once, whoever watches it and under whatever name. So a
//     reload that watches the new targets before it closes the old watch keeps
//     the verdicts of checks that did not change.
//   - A composite target has no probe: its verdict follows from those of its
//     parts, which are targets like others and shared with whoever else watches
//     them. Who watches a composite and its parts never sees one without what
//     it means for the other.
//   - A probe ends within its check's timeout, with its connection closed,
//     whatever the peer does; what it reads is bounded.
//   - A probe that fails for a reason of this machine (no route of the family, no
//     free port, no file descriptor, a sandbox that forbids the socket) says nothing
//     about the endpoint: it is inconclusive and changes no state. See localerror.go.
//
// Each type of check is one function in one file, of the shape of [probe]:
// http.go, tcp.go, tls.go, grpc.go, dns.go, icmp.go, exec.go. Composites are in
// composite.go; push.go takes reports in place of probes. What a check needs
// from files is read before the first probe, by [Prepare] when a configuration
// is checked and again by [Prober.Watch].
//
// The package knows nothing of pools: what a verdict means for an answer is
// decided there.
package health

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"meridian/config"
)

// Target is what one prober probes: an address by a check. Two targets with an
// equal address and check definition are probed once.
type Target struct {
	Check *config.Check
	Addr  netip.Addr
}

// Transition is news of a target. Where To differs from From, or both are Uncertain and
// Held has changed, its verdict has turned. Where To equals From and Held is as
// before the verdict stays what it is, and the news is that Share or Response has
// moved; Reason, Latency and At are still those of the turn before it.
type Transition struct {
	Index           int // of the target in the slice given to Watch
	Target          Target
	From, To        Verdict
	Effective       Verdict       // where To is Uncertain: Up or Down, what answers go by
	Damped          bool          // its probes pass again, and flap damping alone keeps it down
	SlowStartWeight uint8         // in 256ths: the part of its clients that an endpoint gets while it starts slowly; else AllShare
	Response        time.Duration // how long passed probes take, smoothed; 0: none has passed
	Reason          string        // of the probe that turned it: what was found, e.g. `status 500, want 200-299`
	Latency         time.Duration // of that probe
	At              time.Time     // when the verdict turned
}

// FullWeight is the Share of an endpoint that gets all its clients. It stands for the
// 256 that an uint8 has no room for; an endpoint that gets none is down.
const FullWeight = 0

// Dial opens a connection for a probe, from the source address if that is valid; it must
// give up when ctx ends.
type Dial = func(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error)

// Options are what a Prober takes from outside; zero fields take the real thing.
type Options struct {
	Dial   Dial
	Logger *slog.Logger
	Saved  []SavedTarget // what a prober before this one remembered
}
