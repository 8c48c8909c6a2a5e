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

// An alert is a kind and a subject. Its last event decides:
//
//	last event        alert
//	warning, error    firing
//	info              resolved
//	audit             none
//
// Alertmanager forgets an alert that is not sent again, so all firing ones are sent every minute,
// and one that is resolved until Alertmanager has accepted that once.

const (
	alertInterval = time.Minute
	alertValid    = 3 * time.Minute // how long a firing alert counts without another request
	maxAlerts     = 10_000
)

type alertKey struct{ kind, subject string }

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
	key := alertKey{e.Kind, e.Subject}
	old, known := a[key]
	switch {
	case e.Kind == event.Audit, e.Severity == event.Info && !known, !known && len(a) >= maxAlerts:
	case e.Severity == event.Info:
		old.ended = e.Time
		a[key] = old
	case known && old.ended.IsZero():
		a[key] = alert{Event: e, since: old.since}
	default:
		a[key] = alert{Event: e, since: e.Time}
	}
}

// forgetResolved removes alerts whose end Alertmanager has accepted.
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

// posted returns the alerts in the API of Alertmanager, in a stable order.
func (a alerts) posted(now time.Time) []postedAlert {
	all := make([]postedAlert, 0, len(a))
	for key, e := range a {
		p := postedAlert{
			Labels: map[string]string{
				"alertname": alertName(key.kind), "kind": key.kind, "subject": key.subject, "severity": string(e.Severity), "job": "meridian",
			},
			Annotations: map[string]string{"summary": key.subject + ": " + e.Message},
			StartsAt:    e.since, EndsAt: cmp.Or(e.ended, now.Add(alertValid)),
		}
		maps.Copy(p.Annotations, e.Fields)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b postedAlert) int {
		return cmp.Or(strings.Compare(a.Labels["kind"], b.Labels["kind"]), strings.Compare(a.Labels["subject"], b.Labels["subject"]))
	})
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
			all.add(e)
		}
		cursor = p.Next
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
	body, err := json.Marshal(all.posted(time.Now()))
	if err != nil {
		panic(err) // alerts are always valid
	}
	return r.post(ctx, strings.TrimSuffix(r.sink.URL, "/")+"/api/v2/alerts", body, http.Header{})
}
