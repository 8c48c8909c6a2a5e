// Package load reads what servers report of their load.
//
// The words. A source ([config.LoadSource]) says where a report is and which of
// its numbers are meant. A [Target] is a source at an address, or at its URL. A
// poll asks a target once; it ends in a [Report] or an error. A report is stale
// when it is older than its source lets it be: nobody should go by it then.
//
// A [Poller] polls each target from a goroutine of the target's own, one poll at
// a time, however many follow it and under whatever name, and keeps the last report:
//
//	report ──► kept ──► announced on Changes, together with other reports
//	error ───► counted; the report before it stays until it is stale
//
// Whether a report is stale follows from its time alone. How many polls run at once is
// bounded, and targets that hang do not take the place of those that report: limits.go.
//
// Each type of report is one function in one file, of the shape of [parse]:
// json.go, prometheus.go, haproxy.go, nginx.go. They take bytes from strangers:
// what is read is bounded, and what is no finite number from 0 on is an error.
//
// Not here: what a load is for. That is decided in package pools.
package load

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"meridian/config"
)

// Report is what a target says of itself.
type Report struct {
	Load     float64 // finite, from 0 on
	Capacity float64 // likewise; 0: it does not say
}

// Target is what is asked for one report.
type Target struct {
	Source *config.LoadSource
	Addr   netip.Addr // not used where the source has a URL
}

// Status is what is known of a target.
type Status struct {
	Report
	At       time.Time // of the report; zero: there has been none
	Fresh    bool      // there is a report, and it was not stale when the status was read
	Polls    uint64
	Failures uint64 // of these polls
	Reason   string // why the last poll failed; empty: it did not
}

// parse finds the numbers of a source in what its target sent.
type parse func(of *config.LoadSource, body []byte) (Report, error)

func parserOf(t config.LoadType) parse {
	switch t {
	case config.JSON:
		return parseJSON
	case config.Prometheus:
		return parsePrometheus
	case config.HAProxy:
		return parseHAProxy
	default:
		return parseNginx
	}
}

// validate says what of a report cannot be.
func (r Report) validate() error {
	for _, n := range []struct {
		name  string
		value float64
	}{{"load", r.Load}, {"capacity", r.Capacity}} {
		if math.IsNaN(n.value) || math.IsInf(n.value, 0) || n.value < 0 {
			return fmt.Errorf("%s is %v, want a finite number from 0 on", n.name, n.value)
		}
	}
	return nil
}
