// Package health probes endpoints in the background and reports their health states.
//
// Terms. A check ([config.Check]) defines how to probe, how often, and what changes a health state. A [Target] is an
// address under a check. A probe is one run of a check against an address; it ends in a [Result]. Consecutive results make
// the target's [Verdict], its health state; a change of verdict is a [Transition]. A [Watch] is a subscription to the
// transitions of a set of targets.
//
// One goroutine, [Prober.Run], owns all state: the targets, their due times, their streaks of results, their watches.
// Probes run on goroutines of their own and report to it; all other code reaches it by a call:
//
//	Watch, Close, Status ──call──▶ ┌───────────┐ ──launch──▶ probe (one goroutine each,
//	                               │ scheduler │             at most one per target,
//	callbacks, log ◀─transitions── └───────────┘ ◀──report── bounded in number)
//	                                heap of targets by due time
//
// Invariants:
//
//   - Targets with equal address and equal check definition are one target, probed
//     once, whatever its names and watches. So a reload that watches the new targets
//     before it closes the old watch keeps the verdicts of unchanged checks.
//   - A composite target has no probe: its verdict follows from those of its parts,
//     which are ordinary targets, shared with other watches. A watch of a composite
//     and its parts always sees both change together.
//   - A probe ends within its check's timeout, with its connection closed, whatever
//     the peer does; its input is bounded.
//   - A probe that fails for a local reason (no route of the family, no free port, no
//     file descriptor, a sandbox that forbids the socket) is inconclusive and changes
//     no state: it proves nothing about the endpoint. See localerror.go.
//
// Each type of check is one function of type [probe] in one file: http.go, tcp.go, tls.go, grpc.go, dns.go, icmp.go,
// exec.go. Composites are in composite.go; push.go accepts reports in place of probes. Files that a check names are read
// before the first probe, by [Prepare] when a configuration is checked and again by [Prober.Watch].
//
// The package does not know pools: they decide what a verdict means for an answer.
package health

import (
	"log/slog"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// Target is the unit of probing: an address and a check. Two targets with equal address and check definition are probed
// once.
type Target struct {
	Check *config.Check
	Addr  netip.Addr
}

// Transition is a notification about a target. If To differs from From, or both are Uncertain and Effective has changed,
// the verdict has changed. If To equals From and Effective is unchanged, only Damped, SlowStartWeight or Response has
// changed; Reason, Latency and At still describe the previous change.
type Transition struct {
	Index           int // of the target in the slice given to Watch
	Target          Target
	From, To        Verdict
	Effective       Verdict       // if To is Uncertain: Up or Down, the state that answers use
	Damped          bool          // its probes pass again, and only flap damping keeps it down
	SlowStartWeight uint8         // in 256ths: the part of its clients that an endpoint gets during slow start; else FullWeight
	Response        time.Duration // the smoothed duration of passed probes; 0: none has passed
	Reason          string        // of the probe that changed the verdict, e.g. `status 500, want 200-299`
	Latency         time.Duration // of that probe
	At              time.Time     // when the verdict changed
}

// FullWeight is the SlowStartWeight of an endpoint that gets all its clients. It represents 256, which a uint8 cannot hold;
// an endpoint that gets none is down.
const FullWeight = 0

// Options holds the dependencies of a Prober; zero fields select the defaults.
type Options struct {
	Dial   probe.Dial
	Logger *slog.Logger
	Saved  []SavedTarget // the saved state of an earlier prober

	// Opinions, unless nil, receives each change of this node's opinion of a shared target, and makes the prober follow what
	// [Prober.Agree] says of these targets. The scheduler calls it: it must not block, nor call the prober.
	Opinions func(Opinion)

	Observer Observer
}

// Observer receives what a Prober does, for metrics. Its functions are called by the scheduler and must not block; nil ones
// are not called.
type Observer struct {
	Probed  func(check *config.Check, r probe.Result)
	Changed func(check *config.Check, to Verdict) // a health state change

	Certificates *Certificates // filled by the Prober; nil: not recorded
}

func (o Observer) probed(check *config.Check, r probe.Result) {
	if o.Probed != nil {
		o.Probed(check, r)
	}
}

func (o Observer) changed(check *config.Check, to Verdict) {
	if o.Changed != nil {
		o.Changed(check, to)
	}
}
