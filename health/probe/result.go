package probe

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Outcome is the outcome of one probe.
type Outcome uint8

// The outcomes.
const (
	Inconclusive Outcome = iota // the probe could not run, for a local reason
	Failed
	Passed
)

func (o Outcome) String() string { return [...]string{"inconclusive", "failed", "passed"}[o] }

// Result is the result of one probe.
type Result struct {
	Outcome  Outcome
	Reason   string        // a sentence with the evidence, e.g. `connect: connection refused`
	Latency  time.Duration // from the start of the probe to its outcome
	At       time.Time     // when the probe began
	TimedOut bool          // it failed because the timeout of the check passed
	Expires  time.Time     // when the peer's certificate, or another of its chain, expires; zero: none was seen
}

// Dial opens a connection for a probe, from the source address if that is valid; it must give up when ctx ends.
type Dial = func(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error)
