package config

import (
	"strings"
	"testing"
)

const splitServing = `# the shared configuration
regions: {east: {location: [0, 0]}}
pools:
  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}
dnssec: {keys: /keys, policies: {default: {keys: csk}}}
zones:
  gslb.example.com:
    nameservers: {ns1.example.net: []}
    contact: h@example.com
    names:
      www: {pool: web}
      "*.t": {pool: web}
`

func TestCheckSplitNamesWhatAShareOfTheClientsCannotHave(t *testing.T) {
	const otherValue = ": a share of the clients cannot have another value than the others; push it to all nodes at once, or to some nodes first with --canary NODE"
	const added = ": a share of the clients cannot have it while others do not; "
	const removed = ": a share of the clients cannot be without it while others have it; "
	for _, c := range []struct {
		what, from, to string
		want           []string // none: it may differ
	}{
		{"nothing", "", "", nil},
		{"pools", "[192.0.2.1]", "[192.0.2.2]", nil},
		{"a pool more", "dnssec:", "  api: {policy: all, members: []}\ndnssec:", nil},
		{"sections more", "dnssec:", "checks: {web: {type: tcp, port: 1}}\nviews: {v: {}}\nloads: {}\ngeo: {default: east}\ndnssec:", nil},
		{"a binding", "www: {pool: web}", "www: {pool: web, ttl: 5}", nil},
		{"the TTL of a zone", "    contact", "    ttl: 5\n    contact", nil},
		{"comments and order", "    contact: h@example.com\n", "", []string{"s.yaml: zones.gslb.example.com.contact" + removed}},
		{"keys", "keys: csk", "keys: ksk+zsk", []string{"s.yaml:5:1: dnssec" + otherValue}},
		{"a zone more", "zones:", "zones:\n  other.example: {contact: x@example.com}", []string{"s.yaml:7:3: zones.other.example" + added}},
		{"a zone less", "gslb.example.com:", "gslb.example.org:", []string{"s.yaml:7:3: zones.gslb.example.org" + added, "s.yaml: zones.gslb.example.com" + removed}},
		{"transfers", "    contact", "    transfer: {pools: live}\n    contact", []string{"s.yaml:9:5: zones.gslb.example.com.transfer" + added}},
		{"a name more", "      www:", "      api: {pool: web}\n      www:", []string{"s.yaml:11:7: zones.gslb.example.com.names.api" + added}},
		{"a name less", `      "*.t": {pool: web}`, "", []string{"s.yaml: zones.gslb.example.com.names.*.t" + removed}},
		{"a name without a pool", "www: {pool: web}", "www: {whoami: true}", []string{"s.yaml:11:7: zones.gslb.example.com.names.www.whoami" + added}},
		{"a section more", "dnssec:", "notify: {x: 1}\ndnssec:", []string{"s.yaml:5:1: notify" + added}},
		{"several", "contact: h@", "file: x.zone\n    contact: g@", []string{"zones.gslb.example.com.file" + added, "zones.gslb.example.com.contact" + otherValue}},
		{"a section by an anchor", "{keys: csk}}}", "&a {keys: csk}}}\nguardrails: *a", []string{"guardrails" + added}},
		{
			"in one line", splitServing, `{pools: {}, zones: {gslb.example.com: {contact: h@example.com, names: {www: {}, "*.t": {}}, nameservers: {ns1.example.net: []}}}, tsig: {}}`,
			[]string{"tsig" + added, "dnssec" + removed},
		},
		{"only pools", splitServing, "pools: {}\n", []string{"dnssec" + removed, "zones" + removed}},
	} {
		err := CheckSplit([]byte(splitServing), Document{File: "s.yaml", Text: []byte(strings.Replace(splitServing, c.from, c.to, 1))})
		if len(c.want) == 0 && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", c.what, err, want)
			}
		}
		if err != nil && strings.Count(err.Error(), splitHint) != len(c.want) {
			t.Errorf("%s: %v, want %d errors", c.what, err, len(c.want))
		}
	}
	if err := CheckSplit([]byte(splitServing), Document{File: "s.yaml", Text: []byte("zones: [")}); err == nil || !strings.Contains(err.Error(), "s.yaml:") {
		t.Errorf("text that is no YAML: %v", err)
	}
}

// A shared configuration may be long; what may differ is not parsed.
func TestCheckSplitLeavesLongSectionsOut(t *testing.T) {
	left := string(withoutSplitSections([]byte(splitServing)))
	if strings.Contains(left, "192.0.2.1") || strings.Count(left, "\n") != strings.Count(splitServing, "\n") || !strings.Contains(left, "dnssec: {keys") {
		t.Errorf("left:\n%s", left)
	}
}
