package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pushConfig is a failover between an address with a push check and one without a check.
const pushConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
checks: {reported: {type: push, lease: 1h, rise: 1, fall: 1%s}}
pools:
  web:
    policy: failover
    members:
      - {name: first, addresses: [192.0.2.1], check: reported}
      - {name: second, addresses: [192.0.2.2]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// TestReportsMoveAnswers sends reports to a running API and queries the server: answers change
// at once, or after a clear if the member is held down.
func TestReportsMoveAnswers(t *testing.T) {
	const first, second = "192.0.2.1", "192.0.2.2"
	for _, c := range []struct {
		holds, keys string
		turns       int    // state changes, down and up, before the query
		recovered   string // the answer when the last report was up
		next        string // the next step in status; empty: not held down
	}{
		{"nothing", "", 1, first, ""},
		{"failback", ", failback: manual", 1, second, "failback"},
		{"hold_down", ", hold_down: 1h", 1, second, "up at"},
		{"flap_damping", ", flap_damping: {turns: 4, window: 1h, hold: 30m, max: 1h}", 2, second, "held down"},
	} {
		t.Run(c.holds, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "meridian.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig, c.keys), 0o600); err != nil {
				t.Fatal(err)
			}
			_, stderr := background(t, "serve", "-c", file)
			found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
			at, api := found[1], "http://"+found[2]
			expectAnswer := func(when, want string) {
				t.Helper()
				if got := lookUp(t, at, "www.example.com."); got != want {
					t.Errorf("%s: %s, want %s", when, got, want)
				}
			}
			report(t, api, true)
			for range c.turns {
				expectAnswer("up", first)
				report(t, api, false)
				expectAnswer("down", second)
				report(t, api, true)
			}
			expectAnswer("recovered", c.recovered)
			expectMatch(t, said(t, 0, "status", "web/first", "--server="+api), c.next)
			said(t, 0, "clear", "web", "--server="+api)
			expectAnswer("cleared", first)
		})
	}
}

// report sends the state of 192.0.2.1 to the API of a server.
func report(t *testing.T, api string, up bool) {
	t.Helper()
	body := fmt.Sprintf(`{"address": "192.0.2.1", "up": %v, "reason": "a test says so"}`, up)
	r, err := http.Post(api+"/v1/checks/reported/reports", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("a report: %s", r.Status)
	}
}

// TestUndrainShowsOtherOverrides undrains a member while the drain of its pool remains.
func TestUndrainShowsOtherOverrides(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	api := "--server=http://" + stderr.await(t, `msg=serving .* admin=(\S+)`)[1]
	said(t, 0, "drain", "web", "--yes", api)
	said(t, 0, "drain", "web/first", api)
	expectMatch(t, said(t, 0, "undrain", "web/first", api), `web/first is no longer drained\nweb/first is still drained by web\n`)
	said(t, 1, "drain", "web/first", "--for=0s", api)
}

func TestStateThatIsAFileIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig+"state: meridian.yaml\n", ""), 0o600); err != nil {
		t.Fatal(err)
	}
	said(t, 1, "check", "-c", file)
}
