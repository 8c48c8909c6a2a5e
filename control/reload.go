package control

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"meridian/cluster/rollout"
	"meridian/config"
	"meridian/control/generations"
	"meridian/dnsname"
)

// ReloadStatus is the outcome of the last reload. After a refused reload, the previous
// configuration is in use, which differs from the file.
type ReloadStatus struct {
	At      time.Time `json:"at,omitzero"` // end of the reload; zero: there was none
	Refused bool      `json:"refused"`
	Error   string    `json:"error,omitempty"`  // the reason for the refusal
	Detail  string    `json:"detail,omitempty"` // the first error in the configuration, if that is the reason
}

// reloadCounts counts reloads.
type reloadCounts struct{ succeeded, refused atomic.Uint64 }

// RecordReload records the outcome of a reload; nil means success.
func (c *Control) RecordReload(err error) {
	if err == nil {
		c.reloads.succeeded.Add(1)
	} else {
		c.reloads.refused.Add(1)
	}
	s := ReloadStatus{At: time.Now(), Refused: err != nil}
	if err != nil {
		s.Error = err.Error()
		if first := (config.Error{}); errors.As(err, &first) && first.Error() != s.Error {
			s.Detail = first.Error()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(m *view) { m.reload = s })
	c.recordConfig(c.currentView().Snapshot.Config.File, err)
}

// ReloadRequest is an operator's request for a reload. The zero value represents a signal.
type ReloadRequest struct {
	AllowRemoval      bool
	OverrideGuardrail string // the reason to load against the guardrails; empty: they bind

	CheckOnly bool // do all that can fail, and serve nothing else

	Canary *CanaryRequest // serve Documents to a share of the clients, beside what serves; nil: to all, in its place

	// Of a new configuration by the API.
	Documents []config.Document      // its files; nil: they are read
	MaxMoved  float64                // the part of the clients that it may move; 0: any
	IfMatch   []string               // the hashes that the served configuration may have; none: any
	Origin    generations.Generation // Source, Who and Reason

	done chan<- ReloadOutcome // has room for one; nil: no caller waits
}

// ReloadOutcome is the outcome of a reload.
type ReloadOutcome struct {
	Loaded *Loaded
	Err    error
}

// Loaded holds the counts of a loaded configuration.
type Loaded struct {
	Config  string        `json:"config"` // the file
	Zones   int           `json:"zones"`
	Names   int           `json:"names"`    // with records or a pool
	Bound   int           `json:"balanced"` // of these: bound to a pool
	Records int           `json:"records"`  // static ones
	Pools   int           `json:"pools"`
	Took    time.Duration `json:"took"` // in nanoseconds

	Members      map[dnsname.Name]int `json:"-"` // zones in each catalog that is produced
	FromCatalogs int                  `json:"-"` // zones in those of other servers

	Admin      string `json:"admin,omitempty"`       // the address of the API; empty: it is off now
	AdminMoved bool   `json:"admin_moved,omitempty"` // the reload changed it
	AdminTLS   bool   `json:"admin_tls,omitempty"`   // it is reached by https

	Generation uint64 `json:"generation,omitempty"` // of the configuration; 0: it is not stored

	Shared bool              `json:"shared,omitempty"` // it is a generation of the cluster
	Nodes  []rollout.NodeAck `json:"nodes,omitempty"`  // that serve it, or have rejected it
}

// Answer reports the outcome to the caller of Reload.
func (r *ReloadRequest) Answer(outcome ReloadOutcome) {
	if r.done != nil {
		r.done <- outcome
	}
}

// Reload loads the configuration again, as SIGHUP does, and reports the loaded content or the
// reason for a refusal. It waits for a running reload; ctx ends the waiting, not the reload.
func (c *Control) Reload(ctx context.Context, request ReloadRequest) (*Loaded, error) {
	if err := validReason(request.OverrideGuardrail); err != nil {
		return nil, &RequestError{What: err.Error()}
	}
	done := make(chan ReloadOutcome, 1)
	request.done = done
	outcome, err := ask(ctx, c.requests, request, done)
	if err != nil {
		return nil, err
	}
	return outcome.Loaded, outcome.Err
}

// ErrNotAwaited is returned to a caller that stopped waiting for the outcome of its request.
var ErrNotAwaited = errors.New("the caller did not wait for the outcome")

// errLeft is ErrNotAwaited for a request that the daemon had taken: it goes on.
var errLeft = fmt.Errorf("%w of a request that goes on", ErrNotAwaited)

// ask sends a request to the daemon and waits for its outcome.
func ask[R, O any](ctx context.Context, requests chan<- R, request R, done <-chan O) (outcome O, err error) {
	if ctx.Err() != nil { // a select would choose at random
		return outcome, ErrNotAwaited
	}
	select {
	case requests <- request:
	case <-ctx.Done():
		return outcome, ErrNotAwaited
	}
	select {
	case outcome = <-done:
		return outcome, nil
	case <-ctx.Done():
		return outcome, errLeft
	}
}

// Requests returns the reloads that operators request. Each request must be answered.
func (c *Control) Requests() <-chan ReloadRequest { return c.requests }

// LastGoodStatus says that a copy is served because the configuration was invalid or refused at
// start.
type LastGoodStatus struct {
	Kept   time.Time `json:"kept"`   // when the copy was made
	Error  string    `json:"error"`  // why the configuration is not served
	Errors []string  `json:"errors"` // the errors of the configuration, maxErrors at most

	// Hint says how to load the configuration if it is valid, but was refused because it removes
	// most of what the copy serves; empty: it is invalid.
	Hint string `json:"hint,omitempty"`

	// Environment lists the environment variables with a saved value, which the copy uses, that
	// differs from the present one.
	Environment []string `json:"environment,omitempty"`
}

// LastGood returns the status of the last good configuration if it is served in place of an
// invalid one, otherwise nil.
func (c *Control) LastGood() *LastGoodStatus { return c.lastGood.Load() }

// RecordLastGood records that the last good configuration serves; nil: the configuration itself.
func (c *Control) RecordLastGood(s *LastGoodStatus) { c.lastGood.Store(s) }
