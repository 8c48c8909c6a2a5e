package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestEventsCommand lists and follows the events of a running server.
func TestEventsCommand(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeAdminConfig(t, file, "127.0.0.1:0", port, "")
	_, stderr := background(t, "serve", "-c", file)
	api := "--server=http://" + stderr.await(t, `msg=serving listen=\S+ zones=1 admin=(\S+)`)[1]
	said(t, exitOK, "force", "up", "web/second", "--reason", "first", api)
	expectMatch(t, said(t, exitOK, "events", api, "--kind", "override"), `warning +override +web/second: forced up set: first`)
	expectMatch(t, said(t, exitOK, "events", "web", api, "--kind", "audit", "-o", "json"), `(?s)"what": "set an override".*"who": "local"`)
	said(t, exitConfig, "events", api, "--kind", "surprise")
	expectMatch(t, said(t, exitOK, "events", "other.example", api), `^no events of other\.example\n$`)
	expectMatch(t, said(t, exitConfig, "events", api, "--since", "-1"), `--since: "-1" is not a whole number of at least 0`)
	expectMatch(t, said(t, exitConfig, "events", api, "--limit", "x"), `--limit: "x" is not a whole number\n`)
	out, _ := background(t, "events", "--follow", "--kind", "override", "-o", "json", api)
	out.await(t, `"id":\d+.*"message":"forced up set: first"`)
	said(t, exitOK, "force", "off", "web/second", api)
	out.await(t, `"message":"forced up removed: first"`)
	if n := strings.Count(out.String(), `forced up set`); n != 1 {
		t.Errorf("an event is printed %d times", n)
	}
}
