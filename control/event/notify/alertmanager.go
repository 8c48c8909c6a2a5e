package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/control/event"
)

// An alert is a kind, a subject and what identifies one of several problems of it, such as an
// address. Its last event decides:
//
//	last event        alert
//	warning, error    firing, with that severity; one of the other severity is resolved
//	info              resolved
//	audit             none
//
// Events of a previous process make no alerts, since this one creates an event of each problem
// that lasts; overrides last without one.
//
// Alertmanager forgets an alert that is not sent again, so all firing ones are sent every minute,
// and one that is resolved until Alertmanager has accepted that once.

const (
	alertInterval = time.Minute
	alertValid    = 3 * time.Minute // how long a firing alert counts without another request
	maxAlerts     = 10_000
)

// identifying are the fields of events that distinguish problems of one kind and subject. They are
// labels; the others are annotations.
var identifying = [...]string{"address", "check", "family", "region"}

// alertKey identifies an alert; all of it is in the labels.
type alertKey struct {
	kind, subject string
	identity      [len(identifying)]string
	severity      event.Severity
}

// alert is the state of an alert.
type alert struct {
	event.Event           // the last one that is a warning or an error
	since       time.Time // when it began to fire
	ended       time.Time // when it was resolved; zero: it is firing
}

// alerts are the alerts of a sink.
type alerts map[alertKey]alert

// add updates the alerts by the next event.
func (a alerts) add(e event.Event) {
	if e.Kind == event.Audit {
		return
	}
	key := alertKey{kind: e.Kind, subject: e.Subject}
	for i, field := range identifying {
		key.identity[i] = e.Fields[field]
	}
	for _, severity := range []event.Severity{event.Warning, event.Error} {
		key.severity = severity
		if severity == e.Severity {
			a.fire(key, e)
		} else {
			a.resolve(key, e.Time)
		}
	}
}

func (a alerts) fire(key alertKey, e event.Event) {
	old, known := a[key]
	switch {
	case known && old.ended.IsZero():
		a[key] = alert{Event: e, since: old.since}
	case known || len(a) < maxAlerts:
		a[key] = alert{Event: e, since: e.Time}
	}
}

func (a alerts) resolve(key alertKey, at time.Time) {
	if old, known := a[key]; known && old.ended.IsZero() {
		if old.ended = at; at.Before(old.since) { // the clock was set back, and Alertmanager rejects such an alert
			old.ended = old.since
		}
		a[key] = old
	}
}

// expire resolves the alerts of overrides that ended while no process ran.
func (a alerts) expire(now time.Time) {
	for key, e := range a {
		if until, err := time.Parse(time.RFC3339, e.Fields["until"]); err == nil && key.kind == event.Override && now.After(until) {
			a.resolve(key, until)
		}
	}
}

// forgetResolved removes the alerts that Alertmanager has accepted as resolved.
func (a alerts) forgetResolved() {
	for key, e := range a {
		if !e.ended.IsZero() {
			delete(a, key)
		}
	}
}

// postedAlert is an alert in the API of Alertmanager.
type postedAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// posted returns the alerts in the API of Alertmanager, in a stable order. instance is the label of
// this server: nodes resolve only their own alerts.
func (a alerts) posted(now time.Time, instance string) []postedAlert {
	all := make([]postedAlert, 0, len(a))
	for key, e := range a {
		p := postedAlert{
			Labels:      key.labels(instance),
			Annotations: map[string]string{"summary": key.subject + ": " + e.Message},
			StartsAt:    e.since, EndsAt: cmp.Or(e.ended, now.Add(alertValid)),
		}
		for name, value := range e.Fields {
			if !slices.Contains(identifying[:], name) {
				p.Annotations[name] = value
			}
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b postedAlert) int {
		return cmp.Or(
			strings.Compare(a.Labels["kind"], b.Labels["kind"]), strings.Compare(a.Labels["subject"], b.Labels["subject"]), a.StartsAt.Compare(b.StartsAt),
		)
	})
	return all
}

// labels returns the labels of an alert. Empty ones are absent, as Alertmanager treats them.
func (k *alertKey) labels(instance string) map[string]string {
	all := map[string]string{
		"alertname": alertName(k.kind), "kind": k.kind, "subject": k.subject, "severity": string(k.severity), "job": "meridian", "instance": instance,
	}
	for i, name := range identifying {
		all[name] = k.identity[i]
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// alertName returns the name of the alerts of a kind: fail_open is MeridianFailOpen.
func alertName(kind string) string {
	name := "Meridian"
	for word := range strings.SplitSeq(kind, "_") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// sendAlerts keeps Alertmanager current until ctx ends. It begins with the alerts of all events in
// the log.
func (r *runner) sendAlerts(ctx context.Context) {
	all, cursor := alerts{}, uint64(0)
	gather := func() {
		p := r.events.Since(cursor, r.filter, event.Size)
		for _, e := range p.Events {
			if e.ID > r.started || e.Kind == event.Override {
				all.add(e)
			}
		}
		all.expire(time.Now())
		cursor = p.Next
		r.take(p)
	}
	for ctx.Err() == nil {
		changed := r.events.Changed()
		gather()
		if len(all) > 0 {
			if !r.retry(ctx, func() error { gather(); return r.postAlerts(ctx, all) }) {
				return
			}
			all.forgetResolved()
		}
		r.advance(cursor)
		select {
		case <-changed:
		case <-time.After(alertInterval):
		case <-ctx.Done():
		}
	}
}

func (r *runner) postAlerts(ctx context.Context, all alerts) error {
	body, err := json.Marshal(all.posted(time.Now(), r.instance))
	if err != nil {
		panic(err) // alerts are always valid
	}
	return r.post(ctx, strings.TrimSuffix(r.sink.URL, "/")+"/api/v2/alerts", body, http.Header{})
}
