package daemon

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"meridian/config"
	"meridian/control"
	"meridian/control/event"
	"meridian/control/event/notify"
)

func TestConfigurationKnowsEveryKindOfEvent(t *testing.T) {
	for _, kind := range event.Kinds() {
		if !slices.Contains(config.EventKinds(), kind) {
			t.Errorf("notify does not know the kind %q", kind)
		}
	}
}

// TestSinkReadsSecretForEachRequest checks that a changed file takes effect without a reload.
func TestSinkReadsSecretForEachRequest(t *testing.T) {
	dir := t.TempDir()
	key, token := filepath.Join(dir, "key"), filepath.Join(dir, "token")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := sinks(&config.Config{Notify: []config.Sink{{
		URL: "http://hook.example", Events: []string{"state"}, Secret: key,
		Headers: []config.SinkHeader{{Name: "Authorization", File: token}, {Name: "X-Team", Value: "dns"}},
	}}})[0]
	if _, err := s.Secret(); err == nil {
		t.Error("a missing key is accepted")
	}
	for _, text := range []string{"one", "two"} {
		write(key, text+"\n")
		write(token, "Bearer "+text+"\n")
		if got, err := s.Secret(); string(got) != text || err != nil {
			t.Errorf("key %q, %v", got, err)
		}
		if got, err := s.Headers[0].Value(); got != "Bearer "+text || err != nil {
			t.Errorf("header %q, %v", got, err)
		}
	}
	write(key, " \n")
	if _, err := s.Secret(); err == nil {
		t.Error("an empty key is accepted")
	}
}

// TestOverrideReachesWebhook sets an override in a running server that has, in its configuration, a
// webhook.
func TestOverrideReachesWebhook(t *testing.T) {
	got := make(chan event.Event, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e event.Event
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &e); err != nil || r.Header.Get(notify.IDHeader) == "" {
			t.Errorf("%s: %v", body, err)
		}
		got <- e
	}))
	t.Cleanup(hook.Close)
	r := start(t, `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
regions: {a: {location: [0, 0]}}
pools: {web: {policy: failover, members: [{name: x, region: a, addresses: [192.0.2.1]}, {name: y, region: a, addresses: [192.0.2.2]}]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}}
notify: [{webhook: "`+hook.URL+`", events: [override]}]
`)
	if _, err := r.Override(control.Selector{Pool: "web", Member: "x"}, 1, control.OverrideOptions{Reason: "upgrade"}); err != nil {
		t.Fatal(err)
	}
	if e := <-got; e.Kind != event.Override || e.Subject != "web/x" || e.Message != "drained set: upgrade" {
		t.Errorf("received %+v", e)
	}
	s, err := r.Status(control.Selector{})
	if err != nil || len(s.Notify) != 1 || s.Notify[0].Sink != hook.URL {
		t.Errorf("status %+v, %v", s.Notify, err)
	}
}
