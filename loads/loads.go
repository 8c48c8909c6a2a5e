// Package loads reads the load reports of servers.
//
// Terms: a source ([config.LoadSource]) defines where a report is and which of its numbers to use. A [Target] is a
// source at an address, or at its URL. A poll requests a report once; it ends in a [Report] or an error. A report is
// stale if it is older than its source allows, and must not be used then.
//
// A [Poller] polls each target in a goroutine of its own, one poll at a time, for any number of followers and names,
// and keeps the last report:
//
//	report ──► stored ──► announced on Changes, together with other reports
//	error ───► counted; the report before it stays until it is stale
//
// Whether a report is stale depends only on its age. The number of concurrent polls is limited, and stalled targets do
// not delay those that report: limits.go.
//
// Each type of report is one function in one file, with the signature [parse]: json.go, prometheus.go, haproxy.go,
// nginx.go. They parse untrusted input: the size is limited, and a number must be finite and not negative.
//
// Not here: the use of a load, which is in package pools.
package loads

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"meridian/config"
)

// Report is the load that a target reports.
type Report struct {
	Load     float64 // finite, from 0 on
	Capacity float64 // finite, from 0 on; 0: not reported
}

// Target is the source of one report.
type Target struct {
	Source *config.LoadSource
	Addr   netip.Addr // not used if the source has a URL
}

// Status describes a target.
type Status struct {
	Report
	At       time.Time // of the report; zero: none yet
	Fresh    bool      // there is a report, and it was not stale when the status was read
	Polls    uint64
	Failures uint64 // of these polls
	Reason   string // reason of the last poll's failure; empty: it succeeded
}

// parse finds the numbers of a source in a response.
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

// validate returns an error for impossible numbers.
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
