package answer

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/server/answer/answertest"
)

const widenConfig = `
server: {listen: ["127.0.0.1:0"]}
regions: {eu: {location: [50, 8]}, us: {location: [40, -75]}}
geo: {networks: {198.51.100.0/24: {region: eu}}}
pools:
  near:
    policy: proximity
    members:
      - {name: e, region: eu, addresses: [192.0.2.1]}
      - {name: u, region: us, addresses: [192.0.2.2, "2001:db8::2"]}
  match:
    policy: geolocation
    members:
      - {name: e, match: {network: 198.51.100.0/24}, addresses: [192.0.2.1]}
      - {name: all, match: default, addresses: ["2001:db8::3"]}
  four: {policy: weighted, members: [{name: a, addresses: [192.0.2.9]}]}
zones:
  example.com: {file: example.com.zone, names: {near: {pool: near}, match: {pool: match}, four: {pool: four}}}
`

// The region is chosen before the family, unless family: widen makes the answer come from a member that has it.
func TestWidenAnswersFromMemberWithFamily(t *testing.T) {
	client := netip.MustParseAddr("198.51.100.7")
	for _, test := range []struct{ name, strict, widen string }{
		{"near", "", "2001:db8::2"},
		{"match", "", "2001:db8::3"},
		{"four", "", ""}, // no member has the family
	} {
		for family, want := range map[config.Family]string{config.StrictFamily: test.strict, config.WidenFamily: test.widen} {
			s := answertest.Build(t, widenConfig, answertest.LoneZone)
			s.Config.Zones[0].Family = family
			p := newPaths(s)
			query := answertest.Packed(t, answertest.Ask(test.name+".example.com.", dns.TypeAAAA))
			p.compare(t, query, client, false)
			var answer dns.Msg
			if err := answer.Unpack(p.last); err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(answer.Answer) > 0 {
				got = answer.Answer[0].(*dns.AAAA).AAAA.String()
			}
			if got != want {
				t.Errorf("%s, family %s: answer %q, want %q", test.name, family, got, want)
			}
		}
	}
}
