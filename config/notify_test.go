package config

import "testing"

// A webhook's path is its receiver's: only the URL of an Alertmanager loses a slash at its end.
func TestWebhookKeepsTheSlashAtItsEnd(t *testing.T) {
	sinks := parse(t, minimalConfig+"notify: [{webhook: \"https://hooks.example.com/x/\"}, {alertmanager: \"http://am.example.com:9093/\"}]\n").Notify
	if len(sinks) != 2 || sinks[0].URL != "https://hooks.example.com/x/" || sinks[1].URL != "http://am.example.com:9093" {
		t.Errorf("got %+v", sinks)
	}
}
