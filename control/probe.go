package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"meridian/health/probe"
)

// Probe runs a check once against an address, now, and reports its steps. It changes no health state.
func (c *Control) Probe(ctx context.Context, check string, addr netip.Addr) (probe.Report, error) {
	cfg := c.currentView().Snapshot.Config
	found, err := probe.Named(cfg, check)
	if err != nil {
		return probe.Report{}, &RequestError{NotFound: true, What: err.Error()}
	}
	ready, problems := probe.New(found)
	var errs []error
	for _, p := range problems { // a file of the check has changed since it was loaded
		errs = append(errs, fmt.Errorf("%s: %s", p.Key, p.What))
	}
	if len(errs) > 0 {
		return probe.Report{}, &RequestError{What: fmt.Sprintf("check %q: %v", check, errors.Join(errs...)), Hint: "see meridian check"}
	}
	return ready.Trace(ctx, addr, probe.SystemDial, c.log), nil
}
