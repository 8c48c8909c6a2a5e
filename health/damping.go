package health

import (
	"time"

	"meridian/config"
)

// damping counts the turns of a target, so as to hold down one that flaps
// (RFC 2439 does it to routes).
type damping struct {
	turns []time.Time   // those within the window, since the last hold began; oldest first, never written to
	hold  time.Duration // how long the last hold is or was; 0: there was none, or it was calm since
	until time.Time     // when the last hold ends or ended
}

// add is d after a turn at now, and whether it was one too many.
//
//	turns in the window, this one included  the last hold ended           held for
//	--------------------------------------  ----------------------------  ----------------------
//	< turns                                 any                           not at all
//	turns                                   never, or calm for a window   hold
//	turns                                   else                          twice the last, to max
//
// Calm is without a turn and not held. The count begins anew with each hold.
func (d damping) add(now time.Time, f config.FlapDamping) (after damping, tooOften bool) {
	if f.Turns == 0 {
		return damping{}, false
	}
	recent := d.within(now, f.Window)
	if len(recent) == 0 && now.Sub(d.until) >= f.Window {
		d.hold = 0
	}
	if len(recent)+1 < f.Turns {
		d.turns = append(recent, now)
		return d, false
	}
	d.turns = nil
	d.hold = min(max(f.Hold, 2*d.hold), f.Max)
	d.until = now.Add(d.hold)
	return d, true
}

// within is a copy of the turns less than a window ago.
func (d damping) within(now time.Time, window time.Duration) []time.Time {
	var recent []time.Time
	for _, at := range d.turns {
		if now.Sub(at) < window {
			recent = append(recent, at)
		}
	}
	return recent
}
