package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const refusingConfig = `
server:
  filter: [{name: flood, names: [flood.example.com.], action: refuse}]
zones:
  example.com: {file: example.com.zone}
  inside.test: {file: example.com.zone, allow: [192.0.2.0/24]}
  waits.test: {primaries: [{address: 192.0.2.1}]}
  expired.test: {primaries: [{address: 192.0.2.1}]}
`

// refusingWorld returns a snapshot with a reason for each extended error.
func refusingWorld(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	s := answertest.Build(t, refusingConfig, "$TTL 300\n@ SOA ns.example.net. host 7 7200 3600 604800 60\n@ NS ns.example.net.\n")
	return answertest.WithCopy(t, s, "expired.test.", time.Now().Add(-2*time.Hour),
		"expired.test. 300 IN SOA ns.example.net. host.expired.test. 9 60 60 3600 60", "expired.test. 300 IN NS ns.example.net.")
}

// TestClientsPrintExtendedErrors asks for each reason by which a query has no answer, with two clients, over UDP and TCP. The
// texts are those of the clients for the codes.
func TestClientsPrintExtendedErrors(t *testing.T) {
	to := serve(t, refusingWorld(t), false, "127.0.0.1:0").Addrs()[0]
	at := []string{"@127.0.0.1", "-p", fmt.Sprint(to.Port()), "+norec", "+edns"}
	for _, c := range []struct {
		args       []string
		rcode, ede string
	}{
		{[]string{"www.waits.test"}, "SERVFAIL", "14 (Not Ready)"},
		{[]string{"www.inside.test"}, "REFUSED", "18 (Prohibited)"},
		{[]string{"flood.example.com"}, "REFUSED", "18 (Prohibited)"},
		{[]string{"www.example.net"}, "REFUSED", "20 (Not Authoritative)"},
		{[]string{"example.com", "-t", "TYPE253"}, "NOTIMP", "21 (Not Supported)"},
		{[]string{"-c", "CLASS4", "example.com"}, "REFUSED", "21 (Not Supported)"},
		{[]string{"www.expired.test"}, "SERVFAIL", "24 (Invalid Data)"},
		{[]string{"example.com", "-t", "TYPE250"}, "FORMERR", "30"},
		{[]string{"example.com", "-t", "SOA"}, "NOERROR", ""},
	} {
		for _, client := range []string{"dig", "kdig"} {
			for _, over := range []string{"+notcp", "+tcp"} {
				text := counterpart.Output(t, client, append(append(at[:len(at):len(at)], over), c.args...)...)
				if !strings.Contains(text, "status: "+c.rcode) || c.ede == "" && strings.Contains(text, "EDE: ") || c.ede != "" && !strings.Contains(text, "EDE: "+c.ede) {
					t.Errorf("%s %s %v: want %s and EDE %q:\n%s", client, over, c.args, c.rcode, c.ede, text)
				}
			}
		}
	}
}
