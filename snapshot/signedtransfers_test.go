package snapshot

import (
	"fmt"
	"strings"
	"testing"

	"meridian/config"
	"meridian/zones"
)

// TestTransferWithSignaturesIsChecked has a zone that secondaries serve for a time, with policies of other times.
func TestTransferWithSignaturesIsChecked(t *testing.T) {
	for policy, want := range map[string]string{
		"":                            "serves its copy for 168h0m0s (expire of the SOA), and signatures in it may end after 42h0m0s",
		"validity: 14d":               "",
		"validity: 8d6h":              "",
		"validity: 8d5h, refresh: 1d": "may end after 167h0m0s",
	} {
		text := fmt.Sprintf("dnssec: {keys: %s, policies: {default: {%s}}}\nzones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.net, dnssec: default, transfer: {sign: true, out: [{addresses: [192.0.2.1]}]}}}\n", t.TempDir(), policy)
		cfg, _, err := config.Parse("meridian.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s, warnings, err := Build(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(warnings); strings.Contains(got, "transfer.sign") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%q: %s", policy, got)
		}
		_ = s.Close()
	}
}

// TestZoneWithTooManyNamesIsNotSignedForTransfers checks a zone against limits around its number of names.
func TestZoneWithTooManyNamesIsNotSignedForTransfers(t *testing.T) {
	text := fmt.Sprintf("dnssec: {keys: %s, policies: {default: {validity: 14d}}}\nzones: {example.com: {nameservers: {ns1.example.com: [192.0.2.53], ns2.example.com: [192.0.2.54]}, contact: h@example.net, dnssec: default, transfer: {sign: true, out: [{addresses: [192.0.2.1]}]}}}\n", t.TempDir())
	cfg, _, err := config.Parse("meridian.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := zones.Compile(cfg)
	names := data.Summary()[0].Names
	for most, want := range map[int]string{
		names:     "",
		names - 1: fmt.Sprintf("zones.example.com.transfer.sign: the zone has %d names; a transfer with signatures is for at most %d; leave sign out, and let the secondary sign", names, names-1),
	} {
		_, report := zones.Compile(cfg)
		checkSignedTransfers(cfg, data, most, report)
		if _, err := report.Join(); (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("at most %d names: %v, want %q", most, err, want)
		}
	}
}
