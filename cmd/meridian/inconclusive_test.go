package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"meridian/control"
)

const inconclusiveConfig = `
server: {listen: ["127.0.0.1:0"]}
admin: {listen: 127.0.0.1:0}
checks:
  elsewhere: {type: tcp, port: %d, source: 192.0.2.9, interval: 400ms, timeout: 400ms, rise: 1, fall: 1}
pools:
  web:
    policy: failover
    members:
      - {name: first, addresses: [127.0.0.1], check: elsewhere}
      - {name: second, addresses: [192.0.2.2]}
zones:
  example.net:
    nameservers: {ns1.example.org: []}
    contact: hostmaster@example.net
    names: {www: {pool: web}}
`

// TestStatusShowsInconclusiveProbes uses a source address that this machine does not
// have: such probes are inconclusive, and the endpoint stays in the answers.
func TestStatusShowsInconclusiveProbes(t *testing.T) {
	_, port := endpoint(t, "127.0.0.1", 0)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, inconclusiveConfig, port), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	const why = `this machine cannot probe: bind: cannot assign requested address`
	expectMatch(t, stderr.String(), `level=ERROR msg="probes inconclusive[^"]*" check=elsewhere address=127.0.0.1 reason="`+why+`"`)
	if got := lookUp(t, found[1], "www.example.net."); got != "127.0.0.1" {
		t.Errorf("answer %s, want the first member", got)
	}
	api := "--server=http://" + found[2]
	expectMatch(t, said(t, 0, "status", api), `first +- +unknown +- +inconclusive since 20\S+ \S+ \S+: this machine cannot probe: `)
	expectMatch(t, said(t, 0, "status", api), `note: 127.0.0.1, check elsewhere: inconclusive since 20\S+ \S+ \S+: `+why)
	expectMatch(t, said(t, 0, "explain", "www.example.net", "--client=192.0.2.7", api), `check elsewhere, of web/first: unknown for -: inconclusive since\s+20\S+\s+\S+\s+\S+: this machine cannot probe`)

	var s control.Status
	if err := json.Unmarshal([]byte(said(t, 0, "status", "-o", "json", api)), &s); err != nil {
		t.Fatal(err)
	}
	if a := s.Pools[0].Members[0].Addresses[0]; a.Verdict != "unknown" || a.Inconclusive.IsZero() || a.Results[0].Outcome != "inconclusive" {
		t.Errorf("status has %+v, want it unknown and inconclusive", a)
	}
}
