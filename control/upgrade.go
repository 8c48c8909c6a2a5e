package control

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"meridian/control/event"
)

// UpgradeRequest is an operator's request to replace this process by a new one. The zero value represents a signal.
type UpgradeRequest struct {
	Timeout           time.Duration // for the new process; 0: DefaultUpgradeTimeout
	OverrideGuardrail string        // the reason to upgrade against the guardrails; empty: they bind

	Audit *Audit // the request of the API, which the new process records; nil: a signal

	done chan<- UpgradeOutcome // has room for one; nil: no caller waits
}

// The time in which a new process must answer queries.
const (
	DefaultUpgradeTimeout = time.Minute
	MaxUpgradeTimeout     = time.Hour
)

// UpgradeOutcome is the outcome of an upgrade.
type UpgradeOutcome struct {
	Upgraded *Upgraded
	Err      error
}

// Upgraded describes the process that has taken over, and the previous one.
type Upgraded struct {
	Version         string        `json:"version"`
	PID             int           `json:"pid"`
	PreviousVersion string        `json:"previous_version"`
	PreviousPID     int           `json:"previous_pid"`
	Took            time.Duration `json:"took"` // from the request until the new process answers queries, in nanoseconds
}

// Answer reports the outcome to the caller of Upgrade.
func (r *UpgradeRequest) Answer(outcome UpgradeOutcome) {
	if r.done != nil {
		r.done <- outcome
	}
}

// Upgrade starts the program again and lets it take over, as SIGUSR2 does. An error leaves this process serving. ctx
// ends the waiting, not the upgrade: its failure is recorded then, with the request of the API.
func (c *Control) Upgrade(ctx context.Context, request UpgradeRequest) (*Upgraded, error) {
	if err := validReason(request.OverrideGuardrail); err != nil {
		return nil, &RequestError{What: err.Error()}
	}
	done := make(chan UpgradeOutcome, 1)
	request.done = done
	outcome, err := ask(ctx, c.upgrades, request, done)
	if errors.Is(err, errLeft) {
		go c.recordUnawaited(request.Audit, done)
	}
	if err != nil {
		return nil, err
	}
	return outcome.Upgraded, outcome.Err
}

// recordUnawaited records the request for an upgrade that fails when no caller waits for its outcome.
func (c *Control) recordUnawaited(audit *Audit, done <-chan UpgradeOutcome) {
	if outcome := <-done; outcome.Err != nil && audit != nil {
		failed := *audit
		failed.Result = "failed: " + outcome.Err.Error()
		c.RecordAudit(failed)
	}
}

// Upgrades returns the upgrades that operators request. Each request must be answered.
func (c *Control) Upgrades() <-chan UpgradeRequest { return c.upgrades }

// ErrUpgrading is returned for a change while another process takes over.
var ErrUpgrading = &RequestError{Unavailable: true, What: "the server is being upgraded, and changes nothing until that is done", Hint: "try again in a second"}

// ErrStopping is returned for an upgrade that the end of the server interrupts.
var ErrStopping = &RequestError{Unavailable: true, What: "the server is being stopped, and the upgrade was given up", Hint: "start the server again, which starts the new program"}

// Suspend refuses changes from now on: they would be lost, because the new process gets the present state.
func (c *Control) Suspend() {
	c.changing.Lock() // a change that is being made is part of the state
	defer c.changing.Unlock()
	c.suspended.Store(true)
}

// Resume ends Suspend.
func (c *Control) Resume() { c.suspended.Store(false) }

// RecordUpgrade records that this process has taken over.
func (c *Control) RecordUpgrade(u *Upgraded) {
	message := "version " + u.Version + " took over from " + u.PreviousVersion
	c.report(slog.LevelInfo, "took over from the previous process",
		[]any{"version", u.Version, "previous_version", u.PreviousVersion, "previous_pid", u.PreviousPID, "took", u.Took.Round(time.Millisecond)},
		event.Event{Kind: event.Upgrade, Severity: event.Info, Subject: u.Version, Message: message, Fields: map[string]string{
			"previous_version": u.PreviousVersion, "pid": strconv.Itoa(u.PID), "previous_pid": strconv.Itoa(u.PreviousPID),
		}})
	c.markDirty()
}

// RecordUpgradeFailure records that the new process did not take over.
func (c *Control) RecordUpgradeFailure(program string, err error) {
	c.report(slog.LevelError, "upgrade failed; this process keeps serving", []any{"program", program, "error", err},
		event.Event{Kind: event.Upgrade, Severity: event.Error, Subject: program, Message: "upgrade failed, the old process keeps serving: " + err.Error()})
	c.markDirty()
}
