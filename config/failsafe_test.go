package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestFailsafe(t *testing.T) {
	const before = "node: a\ncluster:\n  name: prod\n  region: east\n  etcd: {endpoints: [\"http://127.0.0.1:1\"]}\n  identity: k\n" +
		"  trust: {a: \"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}\n"
	every := func(port uint16) Failsafe {
		return Failsafe{Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), port), Every: true}
	}
	schema := compiledSchema(t)
	for text, want := range map[string]Failsafe{
		"":                               {},
		"failsafe: false":                {},
		"failsafe: {}":                   every(8054),
		`failsafe: {listen: ":8054"}`:    every(8054),
		`failsafe: {listen: ":0"}`:       every(0),
		"failsafe: {listen: '[::]:9'}":   {Listen: netip.MustParseAddrPort("[::]:9")},
		"failsafe: {listen: 10.0.0.1:9}": {Listen: netip.MustParseAddrPort("10.0.0.1:9")},
		"failsafe: {advertise: 192.0.2.1:9}": {
			Listen: every(8054).Listen, Every: true, Advertise: netip.MustParseAddrPort("192.0.2.1:9"),
		},
	} {
		cfg, _, err := Parse("m.yaml", []byte(before+"  "+text+"\n"))
		if err != nil || cfg.Cluster.Failsafe != want || cfg.Cluster.Failsafe.On() != want.Listen.IsValid() {
			t.Errorf("%s: %v, %+v, want %+v", text, err, cfg, want)
		}
		if err := validates(t, schema, []byte(before+"  "+text+"\n")); err != nil {
			t.Errorf("%s: the schema rejects it: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"failsafe: true":                         `m.yaml:8:13: cluster.failsafe: "true" is not a mapping; write failsafe: {listen: ":8054"}, or failsafe: false for none`,
		"failsafe: :8054":                        `"`,
		"failsafe: [a]":                          "cluster.failsafe: found a list",
		"failsafe: {listen: 8054}":               `cluster.failsafe.listen: "8054" is not an address and port; write it like ":8054" or "10.0.0.1:8054"`,
		`failsafe: {listen: ":99999"}`:           `":99999" is not an address and port`,
		"failsafe: {advertise: 0.0.0.0:8054}":    `cluster.failsafe.advertise: "0.0.0.0:8054" is not an address that others can connect to; write the address and port`,
		"failsafe: {advertise: 192.0.2.1:0}":     "is not an address that others can connect to",
		"failsafe: {advertise: node1:8054}":      "is not an address and port; write the address and port at which the other nodes reach this one",
		"failsafe: {listen: ':1', tls: {ca: x}}": `cluster.failsafe.tls: unknown key "tls"; known: listen, advertise`,
	} {
		_, _, err := Parse("m.yaml", []byte(before+"  "+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"failsafe: true", "failsafe: :8054", "failsafe:", "failsafe: [a]"} {
		if validates(t, schema, []byte(before+"  "+text+"\n")) == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
}
