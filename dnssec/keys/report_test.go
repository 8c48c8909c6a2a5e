package keys

import (
	"testing"
	"time"
)

// The first key of a zone may wait for its DS for ever: the zone is not secure, and nothing breaks.
func TestFirstKeyIsNeverOverdue(t *testing.T) {
	r := request(t)
	r.Policy.KSKLifetime = 0
	update(t, r)
	r.Now = r.Now.Add(100 * 24 * time.Hour)
	result := update(t, r)
	report := ReportOf(r.Zone, r.Policy, &result)
	if report.Overdue || report.Waits == "" || len(report.Keys) != 1 || report.Keys[0].Role != "csk" || report.Keys[0].State != "active" {
		t.Errorf("report %+v", report)
	}
}
