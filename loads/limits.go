package loads

import (
	"time"

	"meridian/polling"
)

const (
	maxPrompt = 128 // polls of prompt targets that hold a slot
	maxSlow   = 256 // polls of slow targets
	// promptTime is how long a poll of a prompt target holds its slot; a usual poll takes less.
	promptTime = 100 * time.Millisecond
)

// newLimits returns the limits of concurrent polls. A target is prompt if it has a fresh report, or is new; it is slow if
// it was polled and has no fresh report. So a target that starts to stall is prompt until its last report is stale.
func newLimits() *polling.Limits { return polling.NewLimits(maxPrompt, maxSlow, promptTime) }
