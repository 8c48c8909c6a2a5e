package health

import (
	"time"

	"meridian/config"
)

// damping counts the transitions of a target, to hold down one that flaps (as RFC 2439 does for routes).
type damping struct {
	transitions []time.Time   // those within the window, since the last hold began; oldest first, never written to
	hold        time.Duration // length of the last hold; 0: there was none, or a calm window followed it
	until       time.Time     // when the last hold ends or ended
}

// add returns d after a transition at now, and whether that begins a hold.
//
//	transitions in the window, with this one  the last hold ended           held for
//	----------------------------------------  ----------------------------  ----------------------
//	< turns                                   any                           not at all
//	turns                                     never, or calm for a window   hold
//	turns                                     else                          twice the last, to max
//
// Calm is without a transition and not held. Each hold restarts the count.
func (d damping) add(now time.Time, f config.FlapDamping) (after damping, tooOften bool) {
	if f.Turns == 0 {
		return damping{}, false
	}
	recent := d.within(now, f.Window)
	if len(recent) == 0 && now.Sub(d.until) >= f.Window {
		d.hold = 0
	}
	if len(recent)+1 < f.Turns {
		d.transitions = append(recent, now)
		return d, false
	}
	d.transitions = nil
	d.hold = min(max(f.Hold, 2*d.hold), f.Max)
	d.until = now.Add(d.hold)
	return d, true
}

// within returns a copy of the transitions less than a window ago.
func (d damping) within(now time.Time, window time.Duration) []time.Time {
	var recent []time.Time
	for _, at := range d.transitions {
		if now.Sub(at) < window {
			recent = append(recent, at)
		}
	}
	return recent
}
