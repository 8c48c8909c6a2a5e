package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestServeFollowsCompositeChecks(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	database, _ := endpoint(t, "127.0.0.63", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	text := fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"]}
checks:
  web: {type: http, port: %[1]d, interval: 100ms, fall: 1, rise: 1}
  site: {type: all, checks: [web, {check: web, address: 127.0.0.63}, drained]}
  drained: {type: invert, checks: [drain]}
  drain: {type: push}
pools:
  web:
    policy: failover
    members:
      - {name: main, addresses: [127.0.0.61], check: site}
      - {name: spare, addresses: [127.0.0.62], check: web}
zones:
  gslb.example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    ttl: 0
    names: {www: {pool: web}}
`, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	at := stderr.await(t, `msg=serving listen=(\S+)`)[1]
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.61")
	database.Store(true)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.62")
	stderr.await(t, `check=site address=127\.0\.0\.61 from=unknown to=down reason="check \\"web\\" at 127\.0\.0\.63: status 503`)
	database.Store(false)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.61")
}
