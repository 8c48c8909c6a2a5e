package control

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"meridian/control/event"
)

// errorReportInterval is the minimum time between two events about reports: resolvers may send many.
const errorReportInterval = time.Minute

// reportResolverErrorsLocked reports that resolvers have reported errors since the last event.
func (c *Control) reportResolverErrorsLocked(now time.Time) {
	last, ok := c.server.LastErrorReport() // also within the interval: the responders have little room for reports
	if !ok || now.Sub(c.errorsReportedAt) < errorReportInterval || !last.Last.After(c.errorsReported) {
		return
	}
	c.errorsReported, c.errorsReportedAt = last.Last, now
	code := strconv.Itoa(int(last.Code))
	c.report(slog.LevelWarn, "resolver reports an error", []any{"name", last.Name, "type", last.Type, "zone", last.Zone, "code", code, "reason", last.Error, "client", last.Resolver}, event.Event{
		Kind: event.ErrorReport, Severity: event.Warning, Subject: last.Name + " " + last.Type,
		Message: fmt.Sprintf("a resolver reports error %s: %s", code, last.Error), Fields: map[string]string{"zone": last.Zone, "code": code, "client": last.Resolver},
	})
}
