package config

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestEveryDNSSECKeyIsDecoded(t *testing.T) {
	cfg := parse(t, `
dnssec:
  keys: keys
  cache: 2MiB
  signers: 3
  policies:
    default: {keys: ksk+zsk, algorithm: ed25519, denial: nsec, validity: 1d12h, refresh: 30s, inception: 0, dnskey_ttl: 2s, publish_safety: 3s, retire_safety: 4s,
              ksk_lifetime: 365d, zsk_lifetime: 30d, cds: always, manager: external, parent: {servers: ["192.0.2.1:5353"], ds_ttl: 5s, propagation: 6s}, family: strict, variety: 7}
zones:
  a.example: {nameservers: {ns1.example.net: []}, contact: a@example.com, dnssec: default, extra_dnskeys: other.keys}
  b.example: {nameservers: {ns1.example.net: []}, contact: a@example.com, dnssec: default, family: widen, variety: 8}
  c.example: {nameservers: {ns1.example.net: []}, contact: a@example.com, dnssec: none}
`)
	want := DNSSEC{Keys: "keys", KeysPos: Pos{3, 9}, Cache: 2 << 20, Signers: 3, Policies: []SigningPolicy{{
		Name: "default", Keys: KSKAndZSK, Algorithm: 15, Denial: NSECDenial, Validity: 36 * time.Hour, Refresh: 30 * time.Second,
		DNSKEYTTL: 2 * time.Second, PublishSafety: 3 * time.Second, RetireSafety: 4 * time.Second,
		KSKLifetime: 365 * 24 * time.Hour, ZSKLifetime: 30 * 24 * time.Hour, CDS: CDSAlways, Manager: ExternalManager,
		Parent: Parent{Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5353")}, DSTTL: 5 * time.Second, Propagation: 6 * time.Second},
		Family: StrictFamily, Variety: 7, Pos: Pos{7, 5},
	}}}
	if !reflect.DeepEqual(cfg.DNSSEC, want) {
		t.Errorf("got\n%+v\nwant\n%+v", cfg.DNSSEC, want)
	}
	a, b, c := &cfg.Zones[0], &cfg.Zones[1], &cfg.Zones[2]
	if a.Family != StrictFamily || a.Variety != 7 || a.ExtraDNSKEYs != "other.keys" || cfg.DNSSECPolicy(a) != &cfg.DNSSEC.Policies[0] {
		t.Errorf("zone %+v, want the values of its policy", a)
	}
	if b.Family != WidenFamily || b.Variety != 8 {
		t.Errorf("zone %+v, want its own values", b)
	}
	if c.Family != StrictFamily || c.Variety != 0 || cfg.DNSSECPolicy(c) != nil {
		t.Errorf("zone %+v, want no policy", c)
	}
}

func TestDefaultPolicyNeedsNoDefinition(t *testing.T) {
	cfg := parse(t, `
dnssec: {keys: /keys}
zones:
  a.example: {nameservers: {ns1.example.net: []}, contact: a@example.com, dnssec: default}
  b.example: {nameservers: {ns1.example.net: []}, contact: a@example.com}
`)
	const day = 24 * time.Hour
	want := SigningPolicy{
		Name: "default", Keys: CSK, Algorithm: 13, Denial: CompactDenial, Validity: 3 * day, Refresh: day, Inception: time.Hour,
		DNSKEYTTL: time.Hour, PublishSafety: time.Hour, RetireSafety: time.Hour, CDS: CDSRollover, Manager: AutoManager,
		Parent: Parent{DSTTL: day, Propagation: time.Hour}, Family: WidenFamily, Variety: 32,
	}
	if got := cfg.DNSSECPolicy(&cfg.Zones[0]); got == nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got := cfg.DNSSECPolicy(&cfg.Zones[1]); got != nil {
		t.Errorf("a zone without dnssec has policy %+v", got)
	}
}
