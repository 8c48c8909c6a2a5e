package daemon

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/pools"
	"meridian/server/answer"
)

// answered returns the counters of a server after so many answers, some of them SERVFAIL.
func answered(good, failures uint64) (c answer.Counters) {
	c.Rcodes[dns.RcodeSuccess], c.Rcodes[dns.RcodeServerFailure] = good, failures
	return c
}

// open returns pools that fail open, for lostPools.
func open(names ...string) map[string]pools.Mode { return lost(pools.FailedOpen, names) }

// dead returns pools without an answer, for lostPools.
func dead(names ...string) map[string]pools.Mode { return lost(pools.Dead, names) }

func lost(mode pools.Mode, names []string) map[string]pools.Mode {
	all := map[string]pools.Mode{}
	for _, name := range names {
		all[name] = mode
	}
	return all
}

func TestCanaryIsComparedWithWhatServedBefore(t *testing.T) {
	for name, c := range map[string]struct {
		before, now         answer.Counters
		lostBefore, lostNow map[string]pools.Mode
		want                string // empty: it may go on
	}{
		"equal":                  {answered(9000, 1000), answered(18000, 2000), nil, nil, ""},
		"a few failures":         {answered(1000, 0), answered(1100, minFailures-1), nil, nil, ""},
		"more failures":          {answered(1000, 0), answered(1090, 10), nil, nil, "answers 10.0 % of the queries with SERVFAIL, and 0.0 % before"},
		"failures as before":     {answered(900, 100), answered(990, 110), nil, nil, ""},
		"a pool fails open":      {answered(1, 0), answered(2, 0), open("a"), open("a", "b"), `makes pool "b" fail open`},
		"a pool stays open":      {answered(1, 0), answered(2, 0), open("a"), open("a"), ""},
		"a pool recovered":       {answered(1, 0), answered(2, 0), open("a"), nil, ""},
		"a pool has no answer":   {answered(1, 0), answered(2, 0), nil, dead("b"), `leaves pool "b" without an answer`},
		"an open pool goes":      {answered(1, 0), answered(2, 0), open("b"), dead("b"), `leaves pool "b" without an answer`},
		"a dead pool stays":      {answered(1, 0), answered(2, 0), dead("b"), dead("b"), ""},
		"a dead pool opens":      {answered(1, 0), answered(2, 0), dead("b"), open("b"), ""},
		"no query in the canary": {answered(1000, 0), answered(1000, 0), nil, nil, ""},
	} {
		w := new(canaryWatch)
		w.begin(c.before, c.lostBefore)
		if got := w.breach(c.now, c.lostNow); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A node that restarts as a canary has nothing to compare with: what it finds at first is no breach.
func TestRestartedCanaryIsComparedWithItself(t *testing.T) {
	w := new(canaryWatch)
	if got := w.breach(answered(0, 50), open("a")); got != "" {
		t.Errorf("at first: %q", got)
	}
	if got := w.breach(answered(0, 100), open("a", "b")); got == "" {
		t.Error("a pool that fails open later, and failures, are no breach")
	}
}
