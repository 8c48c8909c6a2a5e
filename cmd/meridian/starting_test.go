package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fetch returns the status and body of a GET, or an empty body if nothing listens.
func fetch(url string) (code int, body string) {
	c := http.Client{Timeout: 10 * time.Second}
	response, err := c.Get(url)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// TestAPIAnswersBeforeFirstHealthChecks starts a server with one endpoint that accepts probes and
// does not answer them until the test has asked.
func TestAPIAnswersBeforeFirstHealthChecks(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	hanging, err := net.Listen("tcp", fmt.Sprintf("127.0.0.62:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	api := freeAddress(t)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeFile(t, file, fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"]}
admin: {listen: %q}
checks: {web: {type: http, port: %d, interval: 1h, timeout: 1h}}
pools:
  web:
    policy: failover
    check: web
    members: [{name: first, addresses: [127.0.0.61]}, {name: second, addresses: [127.0.0.62]}]
zones:
  gslb.example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}
`, api, port))
	_, stderr := background(t, "serve", "-c", file)
	probe, err := hanging.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	var why string
	for deadline := time.Now().Add(4 * time.Second); !strings.Contains(why, "1 of 2") && time.Now().Before(deadline); {
		code := 0
		if code, why = fetch("http://" + api + "/readyz"); code != http.StatusServiceUnavailable {
			t.Fatalf("/readyz: %d %s", code, why)
		}
	}
	expectMatch(t, why, `"ready": false,\s+"why": "starting: first health checks: 1 of 2 done"`)
	if code, body := fetch("http://" + api + "/healthz"); code != http.StatusOK || !strings.Contains(body, `"serving": false`) {
		t.Errorf("/healthz: %d %s", code, body)
	}
	expectMatch(t, said(t, exitConfig, "status", "--server=http://"+api), `^meridian: the server is starting: first health checks: 1 of 2 done\n  try again in a second\n`)
	expectMatch(t, said(t, exitConfig, "reload", "--server=http://"+api), `^meridian: the server is starting`)
	probe.Close()
	stderr.await(t, `msg=serving`)
	if code, body := fetch("http://" + api + "/healthz"); code != http.StatusOK || !strings.Contains(body, `"serving": true`) {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if code, body := fetch("http://" + api + "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, body)
	}
}

func TestReloadThatMovesTheAPIIsAnswered(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeConfig(t, file, "127.0.0.1:0", "gslb.example.com", port)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	zones := string(text)
	first, second := freeAddress(t), freeAddress(t)
	writeFile(t, file, zones+fmt.Sprintf("admin: {listen: %q}\n", first))
	_, stderr := background(t, "serve", "-c", file)
	stderr.await(t, `msg=serving`)
	writeFile(t, file, zones+fmt.Sprintf("admin: {listen: %q}\n", second))
	expectMatch(t, said(t, exitOK, "reload", "--server=http://"+first), `^loaded .*: 1 zones, .*\nthe API is now at http://`+second+`\n$`)
	expectMatch(t, said(t, exitConfig, "status", "--server=http://"+first), `^meridian: no server answers`)
	expectMatch(t, said(t, exitOK, "reload", "--server=http://"+second), `^loaded .*\n$`)
	writeFile(t, file, zones)
	expectMatch(t, said(t, exitOK, "reload", "--server=http://"+second), `^loaded .*\nthe API is off now: the configuration has no admin.listen\n$`)
}
