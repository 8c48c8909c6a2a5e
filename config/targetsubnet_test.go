package config

import (
	"fmt"
	"strings"
	"testing"
)

// membersText returns name, region, target and weight of each member of a pool.
func membersText(p *Pool) string {
	var all []string
	for _, m := range p.Members {
		all = append(all, fmt.Sprintf("%s %s %s %d", m.Name, m.Region, m.Target, m.Weight))
	}
	return strings.Join(all, "\n")
}

const inRegions = `
pools:
  web:
    policy: proximity
    min_up: 4
    members:
      - {name: lb, weight: 7, target: {name: LB.example.net, ecs: region}}
      - {name: own, region: sa, addresses: [192.0.2.1]}
      - {name: one, region: eu, target: {name: lb.example.net, ecs: region}}
      - {name: net, region: us, target: {name: lb.example.net, ecs: 192.0.2.0/24}}
      - {name: as-it-is, region: us, target: lb.example.net}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}
`

const regionsWithSubnets = `
regions:
  us: {location: [39, -77], subnet: 198.51.100.0/24}
  eu: {location: [53, -6], subnet: "2001:db8:1::/48"}
  sa: {location: [-23, -46]}
`

// The member takes the place of the first region, and the others follow the written members: where regions are written in the
// file does not matter.
func TestTargetInAllRegionsIsAMemberOfEach(t *testing.T) {
	const want = `lb.us us lb.example.net. for 198.51.100.0/24 7
own sa  1
one eu lb.example.net. for 2001:db8:1::/48 1
net us lb.example.net. for 192.0.2.0/24 1
as-it-is us lb.example.net. 1
lb.eu eu lb.example.net. for 2001:db8:1::/48 7`
	for _, text := range []string{regionsWithSubnets + inRegions, inRegions + regionsWithSubnets} {
		cfg, warnings, err := Parse("f.yaml", []byte(text))
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		if got := membersText(&cfg.Pools[0]); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// A region that only such a member uses is in use, and one without a subnet is not.
func TestRegionsOfATargetAreUsed(t *testing.T) {
	only := regionsWithSubnets + `
pools: {web: {policy: proximity, members: [{name: lb, target: {name: lb.example.net, ecs: region}}]}}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}
`
	_, warnings, err := Parse("f.yaml", []byte(only))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Error(), `region "sa" is not used`) {
		t.Error(err, warnings)
	}
}

func TestTargetHasItsParts(t *testing.T) {
	for target, want := range map[Target]string{
		"": " invalid Prefix", "lb.example.net.": "lb.example.net. invalid Prefix",
		"lb.example.net. for 198.51.100.0/24": "lb.example.net. 198.51.100.0/24",
		"lb.example.net. for 2001:db8::/48":   "lb.example.net. 2001:db8::/48",
		`a\032for\032b. for 2001:db8::/48`:    `a\032for\032b. 2001:db8::/48`,
	} {
		if got := fmt.Sprint(target.Name(), " ", target.Subnet()); got != want {
			t.Errorf("%q: got %q, want %q", target, got, want)
		}
		if again := newTarget(target.Name(), target.Subnet()); again != target {
			t.Errorf("%q is %q again", target, again)
		}
	}
}
