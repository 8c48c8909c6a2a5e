package zones

import (
	"strings"
	"testing"
	"time"

	"meridian/config"
)

// signature returns an RRSIG record of the apex with these times.
func signature(begins, expires time.Time) string {
	const form = "20060102150405"
	return "@ RRSIG SOA 13 2 300 " + expires.UTC().Format(form) + " " + begins.UTC().Format(form) + " 1 example.com. AAAA\n"
}

func TestPresignedZoneIsChecked(t *testing.T) {
	const day = 24 * time.Hour
	valid := signature(now.Add(-day), now.Add(30*day))
	for _, test := range []struct {
		behaviour, text string
		policy          string
		balanced        []string
		want            string // of the errors and warnings; empty: none
	}{
		{"with an NSEC record", valid + "@ NSEC @ NS SOA RRSIG NSEC\n", "", nil, ""},
		{"without one", valid, "", nil, `zone "example.com." has signatures, and no NSEC or NSEC3 record at its apex: resolvers refuse negative answers`},
		{"a pool", valid + "@ NSEC @ NS SOA RRSIG NSEC\n", "", []string{"www.example.com."}, `"www.example.com." has a pool, and the zone has signatures in its file (/z/0.zone:4): the addresses could not be signed; have Meridian sign the zone`},
		{"a pool, and none is served as signed", valid, config.Unsigned, []string{"www.example.com."}, ""},
		{"expired", signature(now.Add(-3*day), now.Add(-day)) + "@ NSEC @ NS SOA RRSIG NSEC\n", "", nil, "/z/0.zone:4:1: a signature of the zone has expired at 2030-03-16T17:46:40Z, and resolvers refuse it; sign the zone again"},
		{"near the end", signature(now.Add(-8*day), now.Add(2*day)) + "@ NSEC @ NS SOA RRSIG NSEC\n", "", nil, "a signature of the zone expires at 2030-03-19T17:46:40Z, in 48h"},
		{"the most iterations", valid + "@ NSEC3PARAM 1 0 50 -\n", "", nil, ""},
		{"more iterations", valid + "@ NSEC3PARAM 1 0 51 -\n", "", nil, `/z/0.zone:5:1: NSEC3PARAM of "example.com." has 51 iterations, more than 50; sign the zone with 0 iterations (RFC 9276)`},
		{"an unknown hash", valid + "@ NSEC3PARAM 2 0 0 -\n", "", nil, `NSEC3PARAM of "example.com." has the unknown hash algorithm 2`},
		{"a name that is no hash", valid + "@ NSEC3PARAM 1 0 0 -\nwww NSEC3 1 0 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n", "", nil, `NSEC3 of "www.example.com." is ignored: the name is not a hash below the zone`},
	} {
		w := newWorld()
		z := w.zone("example.com.", apexRecords+test.text, test.balanced...)
		z.DNSSEC = test.policy
		_, report := w.compile()
		warnings, err := report.Join()
		var all strings.Builder
		for _, warning := range warnings {
			all.WriteString(warning.Error() + "\n")
		}
		if err != nil {
			all.WriteString(err.Error())
		}
		if got := all.String(); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: reports\n%s\nwant %q", test.behaviour, got, test.want)
		}
	}
}

// The parent side of a zone of ours has its NSEC record in the presigned zone above.
func TestPresignedZoneHasTheParentSide(t *testing.T) {
	w := newWorld()
	w.zone("example.com.", apexRecords+signature(now, now.Add(time.Hour))+"@ NSEC in NS SOA RRSIG NSEC\nin NS ns.outside.\nin NSEC @ NS RRSIG NSEC\nin RRSIG NSEC 13 3 300 20300401000000 20300101000000 1 example.com. AAAA\n")
	w.zone("in.example.com.", apexRecords)
	s := w.mustCompile(t)
	c := s.NewChains([]bool{true, false})
	if next := c.Next(s.ApexNode(0)).String(); next != "in.example.com." {
		t.Errorf("the NSEC record of the apex is followed by %s", next)
	}
}
