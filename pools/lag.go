package pools

import (
	"math"
	"time"
)

// lagged is a share of the clients and the traffic that follows it. Clients hold an
// answer for its TTL, so a new share reaches the servers gradually:
//
//	share    1 ──────┐                 traffic  1 ──────╮
//	                 └───── 0.6                          ╰───── 0.6
//	                 since                               after some TTLs
//
// The traffic is modelled by an exponentially weighted mean of the shares. Its time constant is half
// a TTL, the mean age of an answer that clients hold for a TTL. A load divided by
// the traffic at the time of its report is the demand: the load at a share of 1.
//
// This keeps a controller stable that sets the next share by the demand: its own remaining
// effect on the demand is the difference between clients and model. For clients that hold
// answers for exactly the TTL, the absolute difference of the two impulse responses sums up to
// 0.58, and the gain from demand to share is below 1.
type lagged struct {
	share   float64   // set at since
	traffic float64   // at since
	since   time.Time // by the clock of the reports
}

// timeConstant returns the time constant of the traffic, in seconds.
func timeConstant(ttl time.Duration) float64 { return max(ttl, time.Second).Seconds() / 2 }

// at returns the traffic at a time; before since it is that of since.
func (l *lagged) at(t time.Time, ttl time.Duration) float64 {
	passed := t.Sub(l.since)
	if passed <= 0 {
		return l.traffic
	}
	return l.share + (l.traffic-l.share)*math.Exp(-passed.Seconds()/timeConstant(ttl))
}

// isReturning reports whether less than half of the traffic of the share is back. Until then
// a load tells little about the clients: what it has from elsewhere would count as theirs, and be
// divided by the small part of them that is back.
func (l *lagged) isReturning(t time.Time, ttl time.Duration) bool { return l.at(t, ttl) < l.share/2 }

// set changes the share from now on. Before the first report, at the zero time, the
// share counts as if it had never been different. A clock that was set back restarts at now.
func (l *lagged) set(share float64, now time.Time, ttl time.Duration) {
	if now.IsZero() {
		*l = lagged{share: share, traffic: share}
		return
	}
	if share == l.share && !now.Before(l.since) {
		return
	}
	l.traffic, l.share, l.since = l.at(now, ttl), share, now
}

// reportRounds detects when load reports are a complete round, so that a controller steps once for
// each round, and how far.
type reportRounds struct {
	stepped  time.Time     // the latest report of the last complete round
	interval time.Duration // the longest of the sources
}

// complete reports whether every source has reported since the last round or, if one
// does not, whether twice its interval has passed in the reports of the others.
func (r *reportRounds) complete(of *usage) bool {
	passed := of.at.Sub(r.stepped)
	return of.oldest.After(r.stepped) || r.interval > 0 && passed >= 2*r.interval || passed < 0 // the clock was set back
}

// step begins the next round and returns how far estimates move to its values: by half if
// rounds follow each other fast, so that clients that do not cache, and follow a share faster
// than its model, start no oscillation; fully if the time between rounds is long against a TTL.
func (r *reportRounds) step(at time.Time, ttl time.Duration) float64 {
	passed := max(0, at.Sub(r.stepped))
	r.stepped = at
	return 1 - math.Exp(-passed.Seconds()/timeConstant(ttl))/2
}
