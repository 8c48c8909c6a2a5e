package daemon

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/config"
	"meridian/health"
	"meridian/snapshot"
)

// probedYAML has members of all kinds.
const probedYAML = `
node: a
geo: {default: eu}
regions:
  eu: {location: [50, 8], check: web, addresses: [192.0.2.1]}
  us: {location: [40, -75]}
checks:
  web: {type: http, path: /healthz, idle: on}
  tcp: {type: tcp, port: 443}
  alone: {type: tcp, port: 444, quorum: {preset: local}}
  disk: {type: exec, command: [/bin/true]}
  told: {type: push}
  all: {type: all, checks: [web, disk, {check: tcp, critical: true}, {check: tcp, address: 192.0.2.99}]}
  own: {type: any, checks: [disk, told]}
  inverted: {type: invert, checks: [tcp]}
  deep: {type: at_least, n: 2, checks: [all, inverted, own]}
pools:
  near:
    policy: proximity
    check: web
    members:
      - {name: a, region: eu, addresses: [192.0.2.2, "2001:db8::2"]}
      - {name: b, region: us, addresses: [192.0.2.3], check: {use: web, port: 8080, path: /x}}
      - {name: c, region: us, addresses: [192.0.2.4], check: none}
      - {name: d, region: us, addresses: [192.0.2.5], enabled: false}
      - {name: e, region: us, addresses: [192.0.2.6], weight: 0}
  mixed:
    policy: geolocation
    default: nodata
    members:
      - {name: a, addresses: [192.0.2.10], check: all, match: {country: [DE]}}
      - {name: b, addresses: [192.0.2.11], check: own, match: {country: [FR]}}
      - {name: c, addresses: [192.0.2.12], check: deep, match: {country: [IT]}}
      - {name: d, addresses: [192.0.2.13], check: alone, match: {country: [ES]}}
      - {name: e, pool: near, match: {continent: [NA]}}
  only-nested: {policy: failover, members: [{name: a, pool: near}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: mixed}}
`

const agentCluster = `
cluster:
  name: prod
  region: eu
  etcd: {endpoints: ["http://127.0.0.1:1"]}
  identity: missing.ed25519
  trust: {a: "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}
`

// sharedProbes returns the probes that nodes decide about together, of all targets of a configuration and their parts.
func sharedProbes(t *testing.T, text string, build snapshot.Builder) map[health.ProbeID]string {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	probes := map[health.ProbeID]string{}
	var add func(c *config.Check, at netip.Addr)
	add = func(c *config.Check, at netip.Addr) {
		if health.Shares(c) {
			probes[health.IDOf(c, at)] = c.Name + " " + at.String()
		}
		for _, p := range c.Parts {
			if p.Address.IsValid() {
				add(p.Check, p.Address)
			} else {
				add(p.Check, at)
			}
		}
	}
	for _, target := range s.Pools.Targets() {
		add(target.Check, target.Addr)
	}
	return probes
}

// An agent sends the same probes as a node, of those that nodes decide about together.
func TestAgentProbesWhatNodesShare(t *testing.T) {
	node := sharedProbes(t, probedYAML+agentCluster, snapshot.Build)
	agent := sharedProbes(t, probedYAML+agentCluster, BuildAgent(snapshot.Build))
	if len(node) < 10 || !maps.Equal(node, agent) {
		t.Errorf("an agent probes\n%v\na node\n%v", slices.Sorted(maps.Values(agent)), slices.Sorted(maps.Values(node)))
	}
}

// An agent runs no check that stays with each node, and keeps the normal interval, since no query asks for anything.
func TestAgentRunsNoChecksOfNodes(t *testing.T) {
	cfg, _, err := config.Parse("meridian.yaml", []byte(probedYAML+agentCluster))
	if err != nil {
		t.Fatal(err)
	}
	cfg.State = "/var/lib/meridian"
	s, warnings, err := BuildAgent(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var visit func(c *config.Check)
	visit = func(c *config.Check) {
		if !c.Type.Composite() && (!health.Shares(c) || c.Idle.After != 0) {
			t.Errorf("it runs check %s, idle after %v", c.Name, c.Idle.After)
		}
		for _, p := range c.Parts {
			visit(p.Check)
		}
	}
	for _, target := range s.Pools.Targets() {
		visit(target.Check)
	}
	if len(s.Config.Zones) != 0 || len(s.Config.Server.Listen) != 0 || s.Config.State != "" || len(warnings) != 0 {
		t.Errorf("zones %d, listen %v, state %q, warnings %v", len(s.Config.Zones), s.Config.Server.Listen, s.Config.State, warnings)
	}
}

func TestAgentNeedsCluster(t *testing.T) {
	cfg, _, err := config.Parse("meridian.yaml", []byte(probedYAML))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := BuildAgent(snapshot.Build)(cfg); err == nil || !strings.Contains(err.Error(), "cluster: it is missing") {
		t.Error(err)
	}
}
