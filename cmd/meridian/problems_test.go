package main

import (
	"path/filepath"
	"testing"
)

func TestProblemsOutagesAndDrainsOfTheLastMember(t *testing.T) {
	broken, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeAdminConfig(t, file, "127.0.0.1:0", port, "regions: {use1: {location: [39, -77]}}")
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	at, api := found[1], "--server=http://"+found[2]

	if got := said(t, exitOK, "status", "--problems", api); got != "no problems\n" {
		t.Errorf("problems of a healthy server:\n%s", got)
	}
	expectMatch(t, said(t, exitOK, "status", api, "-o", "json"), `"outages": \[\],`)
	expectMatch(t, said(t, exitConfig, "drain", "use1", api), `^meridian: no pool "use1"\n  did you mean region:use1\?\n$`)
	expectMatch(t, said(t, exitConfig, "drain", "web", api),
		`^meridian: draining web would leave no answer for www.gslb.example.com.\n  drain it all the same with --yes; in the API: "force": true\n$`)
	expectMatch(t, said(t, exitConfig, "force", "down", "web", api),
		`^meridian: forcing web down would leave no answer for www.gslb.example.com.\n  force it down all the same with --yes; in the API: "force": true\n$`)
	said(t, exitOK, "drain", "web/second", api, "--for=1h")
	expectMatch(t, said(t, exitConfig, "force", "down", "web/first", api), `^meridian: forcing web/first down would leave no answer`)
	expectMatch(t, said(t, exitConfig, "drain", "web/first", api), `would leave no answer for www.gslb.example.com.`)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "127.0.0.61" {
		t.Errorf("after a drain that was refused: %s", got)
	}
	expectMatch(t, said(t, exitOK, "status", "--problems", api), `(?s)pool web.*second +- +drained .*ends at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (Z|[+-]\d\d:\d\d)`)
	broken.Store(true)
	stderr.await(t, `to=fail-open`)
	expectMatch(t, said(t, exitOK, "status", api), `(?m)^OUTAGE: pool web, failover: eligible 0 .*; no member is healthy$`)
	expectMatch(t, said(t, exitOK, "status", "--problems", api, "-o", "json"), `"outages": \[\s+\{\s+"pool": "web",\s+"mode": \{\s+"IPv4": "fail-open"`)
	expectMatch(t, said(t, exitOK, "force", "down", "web/first", api, "--yes"), `^web/first is forced down\n`)
	said(t, exitOK, "force", "off", "web/first", api)
	expectMatch(t, said(t, exitOK, "drain", "web/first", api, "--yes"), `^web/first is drained\n`)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "NOERROR" {
		t.Errorf("all drained by force: %s", got)
	}
	expectMatch(t, said(t, exitOK, "status", api), `(?m)^OUTAGE: pool web, failover: eligible 0 .*; every member is drained, forced down or disabled$`)
}
