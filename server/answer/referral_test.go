package answer

import (
	"fmt"
	"strings"
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// TestReferralWithMoreGlueThanFits delegates to name servers with more addresses than a message
// can carry: over UDP the referral is truncated; over TCP it has as many addresses as fit, and
// never TC.
func TestReferralWithMoreGlueThanFits(t *testing.T) {
	var zone strings.Builder
	zone.WriteString("$TTL 300\n@ SOA ns.outside. h.outside. 1 2 3 4 5\n@ NS ns.outside.\n")
	label := strings.Repeat("n", 60)
	for n := range 5 {
		for k := range 300 {
			fmt.Fprintf(&zone, "%s%d AAAA 2001:db8:%x::%x\n", label, n, n, k)
		}
		fmt.Fprintf(&zone, "sub NS %s%d\nsmall NS %s0\n", label, n, label)
	}
	p := newPaths(answertest.Build(t, "zones: {example.com: {file: example.com.zone}}", zone.String()))
	for _, name := range []string{"sub.example.com.", "www.SUB.example.com."} {
		query := answertest.Packed(t, answertest.WithOptions(answertest.Ask(name, dns.TypeA)))
		if answer := exchange(t, p, query, "198.51.100.7", false); !answer.Truncated || len(answer.Extra) != 1 {
			t.Errorf("%s by UDP: truncated %v, %d additional records", name, answer.Truncated, len(answer.Extra))
		}
		size := len(p.wire.Respond(nil, query, answertest.BenchSource, true))
		answer := exchange(t, p, query, "198.51.100.7", true)
		if answer.Truncated || len(answer.Ns) != 5 || size < MaxSize-200 {
			t.Errorf("%s by TCP: truncated %v, %d nameservers, %d octets", name, answer.Truncated, len(answer.Ns), size)
		}
	}
}
