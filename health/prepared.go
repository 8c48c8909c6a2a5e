package health

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"

	"meridian/config"
	"meridian/health/probe"
)

// identity identifies a target: equal check definitions and equal addresses are one target.
type identity struct {
	fingerprint fingerprint
	addr        netip.Addr
}

// fingerprint is a digest of all of a check that affects its probes and verdicts: the whole config.Check except name and
// positions, and the contents of its files.
type fingerprint [sha256.Size]byte

// preparedCheck is a check that is ready to probe. It is immutable.
type preparedCheck struct {
	check            *config.Check
	idle             *config.Check // check with the interval of idle targets; nil: idle is off
	fingerprint      fingerprint
	probeFingerprint fingerprint                                                                                                   // a digest of the probe alone, without thresholds
	run              func(ctx context.Context, addr netip.Addr, dial probe.Dial, log *slog.Logger) (probe.Result, <-chan struct{}) // nil: it has no probe

	parts  []part // of composites
	height int    // composites: 1 above the highest of their parts; others: 0
}

// prepareChecks prepares the check of each target, once per check.
func prepareChecks(targets []Target) ([]*preparedCheck, error) {
	made := make(preparedChecks)
	out := make([]*preparedCheck, len(targets))
	for i, t := range targets {
		if t.Check == nil || !t.Addr.IsValid() {
			return nil, fmt.Errorf("target %d has no check or no address", i)
		}
		c, err := made.get(t.Check)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// preparedChecks holds the prepared checks, one per config.Check.
type preparedChecks map[*config.Check]*preparedCheck

// get returns the prepared check of c, or prepares it.
func (made preparedChecks) get(c *config.Check) (*preparedCheck, error) {
	if of := made[c]; of != nil {
		return of, nil
	}
	of, problems := prepareCheck(c)
	if len(problems) > 0 {
		return nil, joinErrors(c.Name, problems)
	}
	if c.Type.Composite() {
		if err := of.compose(made); err != nil {
			return nil, err
		}
	}
	made[c] = of
	return of, nil
}

// prepareCheck prepares c, except the parts of a composite.
func prepareCheck(c *config.Check) (*preparedCheck, []probe.Problem) {
	of, problems := probe.New(c)
	made := &preparedCheck{check: c, idle: idleCheck(c), fingerprint: fingerprintOf(c, of.Files), probeFingerprint: fingerprintOf(probeFields(c), of.Files)}
	if of.Probes() {
		made.run = of.Probe
	}
	return made, problems
}

func joinErrors(check string, problems []probe.Problem) error {
	var errs []error
	for _, f := range problems {
		errs = append(errs, fmt.Errorf("checks.%s.%s: %s; %s", check, f.Key, f.What, f.Hint))
	}
	return errors.Join(errs...)
}

// fingerprintOf digests c. It iterates over all fields, so that a new field counts automatically; fields behind a pointer,
// or that do not count, are removed and, if they count, added by value. A zero field leaves no trace, so that the digests,
// and saved state with them, survive an upgrade that adds one. The name counts for exec, as its program receives it, and
// for push, as reports name it. compose adds the parts.
func fingerprintOf(c *config.Check, files [sha256.Size]byte) fingerprint {
	plain := *c
	if c.Type != config.Exec && c.Type != config.Push {
		plain.Name = ""
	}
	plain.Base, plain.Sources = "", nil
	plain.Pos, plain.TLS.CAPos, plain.TLS.CertPos, plain.CommandPos = config.Pos{}, config.Pos{}, config.Pos{}, config.Pos{}
	plain.Body, plain.Expect, plain.Answer, plain.Parts = nil, nil, nil, nil
	text := appendFields(nil, reflect.ValueOf(plain))
	text = fmt.Appendf(text, "%q %q %q %x", c.Body, c.Expect, c.Answer, files)
	for _, source := range slices.SortedFunc(slices.Values(c.Sources), netip.Addr.Compare) {
		text = fmt.Appendf(text, " source %v", source)
	}
	return sha256.Sum256(text)
}

// probeFields returns c without schedule and thresholds: two checks that differ only in those find the same of an endpoint.
func probeFields(c *config.Check) *config.Check {
	plain := *c
	plain.Interval, plain.Timeout, plain.Lease, plain.TLS.WarnDays = 0, 0, 0, 0
	plain.Rise, plain.Fall, plain.Confirm, plain.Idle = 0, 0, 0, config.IdleProbing{}
	plain.Quorum = config.Quorum{}
	plain.FlapDamping, plain.HoldDown, plain.Failback, plain.SlowStart = config.FlapDamping{}, 0, "", 0
	return &plain
}

// appendFields appends the non-zero fields of a struct, by name.
func appendFields(text []byte, of reflect.Value) []byte {
	for i := range of.NumField() {
		name, f := of.Type().Field(i).Name, of.Field(i)
		switch {
		case f.IsZero():
		case f.Kind() == reflect.Struct:
			text = append(appendFields(fmt.Appendf(text, "%s{", name), f), '}')
		default:
			text = fmt.Appendf(text, "%s=%#v ", name, f)
		}
	}
	return text
}
