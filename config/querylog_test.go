package config

import (
	"reflect"
	"testing"

	"meridian/dnsname"
)

func TestQueryLogIsDecoded(t *testing.T) {
	const rest = "\nzones: {example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com}}"
	for text, want := range map[string]QueryLog{
		`{dnstap: "unix:/run/d.sock"}`:                   {Dnstap: Destination{"unix", "/run/d.sock"}, Sample: 1},
		`{dnstap: "tcp:[2001:db8::9]:6000"}`:             {Dnstap: Destination{"tcp", "[2001:db8::9]:6000"}, Sample: 1},
		`{dnstap: "file:q.dnstap", file: q.json}`:        {Dnstap: Destination{"file", "/etc/meridian/q.dnstap"}, File: "/etc/meridian/q.json", Sample: 1},
		`{file: /q, sample: 1e-3, zones: [Example.COM]}`: {File: "/q", Sample: 0.001, Zones: []dnsname.Name{"example.com."}},
	} {
		cfg, _, err := Parse("/etc/meridian/config.yaml", []byte("query_log: "+text+rest))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(cfg.QueryLog, want) || !cfg.QueryLog.Enabled() {
			t.Errorf("%s: %+v, want %+v", text, cfg.QueryLog, want)
		}
	}
}

func TestCoarserDetail(t *testing.T) {
	for detail, want := range map[Detail]Detail{MemberDetail: PoolDetail, PoolDetail: RegionDetail, RegionDetail: RegionDetail} {
		if got := detail.Coarser(); got != want {
			t.Errorf("coarser than %s: %s, want %s", detail, got, want)
		}
	}
}
