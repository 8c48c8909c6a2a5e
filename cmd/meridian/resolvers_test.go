package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

const resolversConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
%s
regions: {eu: {location: [53, 6]}, us: {location: [39, -77]}}
geo: {networks: {127.0.0.0/8: {region: us}, 203.0.113.0/24: {region: eu}}}
pools: {web: {policy: proximity, members: [{name: a, region: eu, addresses: [192.0.2.1]}, {name: b, region: us, addresses: [192.0.2.2]}]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com, names: {www: {pool: web}}}}
`

// serveResolvers serves resolversConfig with more settings, and returns the addresses of the server and of its API.
func serveResolvers(t *testing.T, settings string) (server, api string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, resolversConfig, settings), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen="?(\S+?)"? .* admin=(\S+)`)
	return found[1], "--server=http://" + found[2]
}

func TestResolversAndDrainsAreMeasuredFromQueries(t *testing.T) {
	server, api := serveResolvers(t, "resolver_stats: on")
	for range 12 { // with a client subnet far from the resolver, which is this machine
		q := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IP{203, 0, 113, 0}}}
		if _, err := counterpart.Exchange(q, server); err != nil {
			t.Fatal(err)
		}
	}
	expectMatch(t, said(t, exitOK, "drain", api, "web/a"), `(?m)^web/a is drained\nclients: 0 % gone, by the queries of resolvers \(0 % have a new answer, the old one of 0 % has expired\); the last may stay until `)
	expectMatch(t, said(t, exitOK, "status", api), `(?m)^override: web/a is drained\n  clients: 0 % gone`)
	expectMatch(t, said(t, exitOK, "resolvers", api), `(?m)^resolvers: 1, observed for \d+s\n.*\n127\.0\.0\.1 +12 +\S+ +\S+ +30s +us +eu +MISPLACED: 100 % of its clients are`)
	expectMatch(t, said(t, exitOK, "resolvers", api, "--misplaced", "-o", "json"), `(?s)"resolvers": \[\s+\{\s+"address": "127.0.0.1",.*"misplaced": true`)
	later := time.Now().Add(time.Hour).Format(time.RFC3339)
	expectMatch(t, said(t, exitOK, "weight", api, "web/b", "50%", "--at", later, "--for", "1h"), `web/b is scheduled to be at weight 50% from 2`)
	expectMatch(t, said(t, exitOK, "force", api, "up", "web/b", "--at", later, "--for", "1h"), `web/b is scheduled to be forced up from 2`)
	expectMatch(t, said(t, exitConfig, "weight", api, "web/b", "off", "--at", later), `--at sets an override for later`)
}

func TestResolversNeedStatistics(t *testing.T) {
	_, api := serveResolvers(t, "")
	expectMatch(t, said(t, exitConfig, "resolvers", api), `resolvers are not observed\n +write resolver_stats: on`)
}
