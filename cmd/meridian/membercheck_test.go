package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const memberCheckConfig = `
server: {listen: ["127.0.0.1:0"]}
admin: {listen: 127.0.0.1:0}
checks:
  web: {type: http, port: %[1]d, interval: 400ms, timeout: 400ms, rise: 1, fall: 1}
pools:
  web:
    policy: failover
    check: web
    members:
      - {name: first, addresses: [127.0.0.1], check: {use: web, port: %[2]d}}
      - {name: again, addresses: [127.0.0.1], check: {port: %[2]d}}
      - {name: second, addresses: [127.0.0.2], check: {use: web, port: %[1]d, source: 127.0.0.9}}
      - {name: third, addresses: [127.0.0.1]}
zones:
  example.net:
    nameservers: {ns1.example.org: []}
    contact: hostmaster@example.net
    names: {www: {pool: web}}
`

// TestMembersHaveTheirOwnCheckSettings runs two services at one address, on separate ports.
func TestMembersHaveTheirOwnCheckSettings(t *testing.T) {
	_, port := endpoint(t, "127.0.0.1", 0)
	brokenOwn, own := endpoint(t, "127.0.0.1", 0)
	endpoint(t, "127.0.0.2", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, memberCheckConfig, port, own), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	awaitAnswer(t, found[1], "www.example.net.", "127.0.0.1")
	brokenOwn.Store(true)
	awaitAnswer(t, found[1], "www.example.net.", "127.0.0.2")
	api := "--server=http://" + found[2]
	status := said(t, 0, "status", api)
	expectMatch(t, status, `first +- +down .*status 503`)
	expectMatch(t, status, `again +- +down .*status 503`)
	expectMatch(t, status, `second +- +up `)
	expectMatch(t, status, `third +- +up `)
	expectMatch(t, said(t, 0, "status", "web/first", api), fmt.Sprintf(`127\.0\.0\.1, check web \(port %d\)\n`, own))
	expectMatch(t, said(t, 0, "status", "web/second", api), `127\.0\.0\.2, check web \(source 127\.0\.0\.9\)\n`)
	expectMatch(t, said(t, 0, "explain", "www.example.net", "--client=192.0.2.7", api), fmt.Sprintf(`check web \(port %d\), of web/first: down`, own))
	if lines := strings.Count(stderr.String(), fmt.Sprintf(`check="web (port %d)" address=127.0.0.1 from=up to=down`, own)); lines != 1 {
		t.Errorf("%d lines that the shared target is down, want one:\n%s", lines, stderr.String())
	}
	expectMatch(t, said(t, 0, "check", "-c", file), fmt.Sprintf(`web +failover +4 .*web \(port %d\)`, own))
}
