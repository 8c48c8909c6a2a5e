package discovery

import (
	"time"

	"meridian/polling"
)

const (
	maxPrompt = 64 // lookups of prompt targets that hold a slot
	maxSlow   = 64 // lookups of slow targets
	// promptTime is how long a lookup of a prompt target holds its slot; a usual lookup takes less.
	promptTime = 500 * time.Millisecond
)

// newLimits returns the limits of concurrent lookups. A target is prompt if it is new, or was resolved last time; it is
// slow if it could not be resolved last time.
func newLimits() *polling.Limits { return polling.NewLimits(maxPrompt, maxSlow, promptTime) }
