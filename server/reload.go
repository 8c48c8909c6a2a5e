package server

import (
	"errors"
	"time"

	"meridian/config"
)

// ReloadStatus is what became of the last reload. One that was refused leaves what
// was loaded before, which is not what the file says.
type ReloadStatus struct {
	At      time.Time `json:"at,omitzero"` // when it ended; zero: there was none
	Refused bool      `json:"refused"`
	Error   string    `json:"error,omitempty"` // why it was refused
	Fault   string    `json:"fault,omitempty"` // the first of the faults in the configuration, where that is why
}

// tellReload takes note of how a reload ended; nil: well.
func (c *Control) tellReload(err error) {
	s := ReloadStatus{At: time.Now(), Refused: err != nil}
	if err != nil {
		s.Error = err.Error()
		if first := (config.Fault{}); errors.As(err, &first) && first.Error() != s.Error {
			s.Fault = first.Error()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload = s
}

func (c *Control) reloaded() ReloadStatus {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reload
}
