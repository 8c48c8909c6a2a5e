package notify_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/control/event"
	"meridian/control/event/notify"
	"meridian/counterpart"
)

// fakeAlertmanager keeps the alerts that it was sent, by labels.
type fakeAlertmanager struct {
	mu     sync.Mutex
	alerts map[string]posted
}

func (f *fakeAlertmanager) transport(t *testing.T) transport {
	f.alerts = map[string]posted{}
	return func(r *http.Request) (*http.Response, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var all []posted
		if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
			t.Error(err)
		}
		for _, p := range all {
			if p.EndsAt.Before(p.StartsAt) {
				t.Errorf("an alert ends before it begins: %v", p)
			}
			f.alerts[labelText(p.Labels)] = p
		}
		return status(http.StatusOK)
	}
}

// firing returns the labels of the alerts that fire, without those that all have.
func (f *fakeAlertmanager) firing() (all []string) {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for labels, p := range f.alerts {
		if p.EndsAt.After(time.Now()) {
			all = append(all, labels)
		}
	}
	slices.Sort(all)
	return all
}

func labelText(labels map[string]string) string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "alertname" && name != "job" && name != "instance" {
			text = append(text, name+"="+labels[name])
		}
	}
	return strings.Join(text, " ")
}

// TestAlertsAreToldApart sends events of several problems of one subject: the end of one resolves only that.
func TestAlertsAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var am fakeAlertmanager
		events := event.NewLog(nil)
		start(t, events, notify.Options{Transport: am.transport(t), Instance: "ns1"}, notify.Sink{URL: "http://am.example", Alertmanager: true})
		add := func(kind string, severity event.Severity, fields ...string) {
			all := map[string]string{}
			for i := 0; i < len(fields); i += 2 {
				all[fields[i]] = fields[i+1]
			}
			events.Add(event.Event{Kind: kind, Severity: severity, Subject: "web/a", Message: "m", Fields: all})
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if got := am.firing(); !slices.Equal(got, want) {
				t.Errorf("%s: %q fire, want %q", when, got, want)
			}
			time.Sleep(time.Second)
		}
		add(event.State, event.Warning, "address", "192.0.2.1", "check", "web", "reason", "timeout")
		add(event.State, event.Warning, "address", "2001:db8::1", "check", "web", "reason", "timeout")
		const v4 = "address=192.0.2.1 check=web kind=state severity=warning subject=web/a"
		const v6 = "address=2001:db8::1 check=web kind=state severity=warning subject=web/a"
		expect("both addresses down", v4, v6)
		add(event.State, event.Info, "address", "192.0.2.1", "check", "web", "reason", "status 200")
		expect("one is up again", v6)
		add(event.Mode, event.Warning, "family", "ipv4")
		const fallback, dead = "family=ipv4 kind=mode severity=warning subject=web/a", "family=ipv4 kind=mode severity=error subject=web/a"
		expect("a fallback", v6, fallback)
		add(event.Mode, event.Error, "family", "ipv4")
		expect("no answer", v6, dead)
		add(event.Mode, event.Info, "family", "ipv6")
		expect("the other family is normal", v6, dead)
		add(event.Mode, event.Info, "family", "ipv4")
		expect("all normal", v6)
	})
}

// TestRestoredEventsMakeNoAlerts begins with the events of a previous process, which did not see how its problems ended.
func TestRestoredEventsMakeNoAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var am fakeAlertmanager
		now := time.Now()
		override := func(id uint64, subject string, until time.Time) event.Event {
			return event.Event{ID: id, Time: now, Kind: event.Override, Severity: event.Warning, Subject: subject, Fields: map[string]string{"until": until.Format(time.RFC3339)}}
		}
		events := event.NewLog([]event.Event{
			{ID: 1, Time: now, Kind: event.FailOpen, Severity: event.Error, Subject: "web"},
			override(2, "web/ended", now.Add(-time.Minute)),
			override(3, "web/lasts", now.Add(time.Hour)),
		})
		start(t, events, notify.Options{Transport: am.transport(t)}, notify.Sink{URL: "http://am.example", Alertmanager: true})
		if got, want := am.firing(), []string{"kind=override severity=warning subject=web/lasts"}; !slices.Equal(got, want) {
			t.Errorf("%q fire, want %q", got, want)
		}
		time.Sleep(2 * time.Hour)
		if got := am.firing(); len(got) != 0 {
			t.Errorf("%q fire after the end of the override", got)
		}
	})
}

const alertmanagerConfig = `
route:
  receiver: events
  group_by: [alertname, subject]
  group_wait: 0s
  group_interval: 1s
receivers: [{name: events, webhook_configs: [{url: "http://127.0.0.1:%d/", max_alerts: 0}]}]
`

// activeAlerts returns the active alerts of an Alertmanager.
func activeAlerts(port int) (all []posted, err error) {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/v2/alerts?active=true", port))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return all, json.NewDecoder(answer.Body).Decode(&all)
}

// TestRealAlertmanager fires and resolves alerts at the real Alertmanager.
func TestRealAlertmanager(t *testing.T) {
	program := counterpart.Find(t, "prometheus-alertmanager")
	ports := counterpart.FreePorts(t, 2)
	settings := filepath.Join(t.TempDir(), "alertmanager.yaml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, alertmanagerConfig, ports[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Start(t, program, "--config.file="+settings, "--storage.path="+t.TempDir(), "--cluster.listen-address=", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", ports[0]))
	counterpart.AwaitListeners(t, ports[0])

	events := event.NewLog(nil)
	n := start(t, events, notify.Options{Instance: "ns1"}, notify.Sink{URL: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), Alertmanager: true})
	down := func(address string, severity event.Severity) {
		events.Add(event.Event{
			Kind: event.State, Severity: severity, Subject: "web/a", Message: "down, was up: timeout",
			Fields: map[string]string{"address": address, "check": "web", "reason": "timeout"},
		})
	}
	expect := func(addresses ...string) (all []posted) {
		t.Helper()
		counterpart.Await(t, func() (err error) {
			if all, err = activeAlerts(ports[0]); err != nil {
				return err
			}
			var got []string
			for _, p := range all {
				got = append(got, p.Labels["address"])
			}
			if slices.Sort(got); !slices.Equal(got, addresses) {
				return fmt.Errorf("alerts for %q are active, want %q", got, addresses)
			}
			return nil
		})
		return all
	}
	down("192.0.2.1", event.Warning)
	down("192.0.2.2", event.Warning)
	want := map[string]string{
		"alertname": "MeridianState", "kind": "state", "subject": "web/a", "severity": "warning", "job": "meridian", "instance": "ns1", "check": "web", "address": "192.0.2.1",
	}
	all := expect("192.0.2.1", "192.0.2.2")
	if !slices.ContainsFunc(all, func(p posted) bool {
		return maps.Equal(p.Labels, want) && p.Annotations["summary"] == "web/a: down, was up: timeout" && p.Annotations["reason"] == "timeout"
	}) {
		t.Errorf("no alert has the labels %v: %v", want, all)
	}
	down("192.0.2.1", event.Info)
	expect("192.0.2.2")
	down("192.0.2.2", event.Info)
	expect()
	counterpart.Await(t, func() error { // an alert is active before its answer is counted
		if s := n.Status()[0]; s.Failed != 0 || s.Delivered < 3 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}
