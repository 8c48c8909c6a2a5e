package snapshot

import (
	"fmt"
	"strings"
	"testing"

	"meridian/config"
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
