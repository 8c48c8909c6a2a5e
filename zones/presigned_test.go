package zones

import (
	"slices"
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

// signed returns an RRSIG record of a type, which does not expire soon.
func signed(owner, typ string) string {
	return owner + " RRSIG " + typ + " 13 3 300 20400101000000 20200101000000 1 example.com. AAAA\n"
}

// What lacks a signature, or a place in the chain, is refused by resolvers or denied.
func TestPresignedZoneIsComplete(t *testing.T) {
	const hash = "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom" // of example. with a salt; here of no name
	apex := apexRecords + signature(now.Add(-24*time.Hour), now.Add(30*24*time.Hour)) + signed("@", "NS")
	nsec := apex + "@ NSEC www NS SOA RRSIG NSEC\n" + signed("@", "NSEC")
	nsec3 := func(flags string) string {
		return apex + "@ NSEC3PARAM 1 0 0 -\n" + signed("@", "NSEC3PARAM") + hash + " NSEC3 1 " + flags + " 0 - " + hash + " A\n" + signed(hash, "NSEC3")
	}
	for _, test := range []struct{ behaviour, text, want, not string }{
		{"a set without signature", nsec + "www A 192.0.2.1\nwww NSEC @ A RRSIG NSEC\n" + signed("www", "NSEC"), `/z/0.zone:8:1: A of "www.example.com." has no RRSIG record, and the zone is signed: resolvers refuse it; sign the zone again`, "NSEC of"},
		{"a name outside the chain", nsec + "www A 192.0.2.1\n" + signed("www", "A"), `/z/0.zone:8:1: "www.example.com." is not in the chain of NSEC records of zone "example.com."`, "RRSIG record"},
		{"a delegation", nsec + "sub NS ns.sub\nns.sub A 192.0.2.1\nsub NSEC @ NS RRSIG NSEC\n" + signed("sub", "NSEC"), "", "sub"},
		{"a DS without signature", nsec + "sub NS ns.outside.\nsub DS 1 13 2 00\nsub NSEC @ NS RRSIG NSEC\n" + signed("sub", "NSEC"), `DS of "sub.example.com." has no RRSIG record`, "NS of"},
		{"an NSEC record without signature", apex + "@ NSEC @ NS SOA RRSIG NSEC\n", `NSEC of "example.com." has no RRSIG record`, "chain"},
		{"no NSEC3 record of the name", nsec3("0") + "www A 192.0.2.1\n" + signed("www", "A"), `"www.example.com." is not in the chain of NSEC3 records`, "RRSIG record"},
		{"a delegation without opt-out", nsec3("0") + "a.sub NS ns.outside.\n", `"a.sub.example.com." is not in the chain of NSEC3 records`, "RRSIG record"},
		{"opt-out", nsec3("1") + "a.sub NS ns.outside.\n", "", "sub"},
		{"opt-out of a signed delegation", nsec3("1") + "sub NS ns.outside.\nsub DS 1 13 2 00\n" + signed("sub", "DS"), `"sub.example.com." is not in the chain of NSEC3 records`, "RRSIG record"},
		{"too many iterations", apex + "@ NSEC3PARAM 1 0 60 -\n" + signed("@", "NSEC3PARAM"), "has 60 iterations", "no NSEC or NSEC3 record"},
	} {
		w := newWorld()
		w.zone("example.com.", test.text)
		_, report := w.compile()
		warnings, err := report.Join()
		got := ""
		for _, warning := range warnings {
			got += warning.Error() + "\n"
		}
		if err != nil {
			got += err.Error()
		}
		if !strings.Contains(got, test.want) || strings.Contains(got, test.not) {
			t.Errorf("%s: reports\n%s\nwant %q, without %q", test.behaviour, got, test.want, test.not)
		}
	}
}

func TestPresignedZoneIsChecked(t *testing.T) {
	const day = 24 * time.Hour
	valid := signature(now.Add(-day), now.Add(30*day)) + signed("@", "NS") + signed("@", "NSEC") + signed("@", "NSEC3PARAM")
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
		{"the most iterations", valid + "@ NSEC3PARAM 1 0 50 -\n", "", nil, "is not in the chain of NSEC3 records"},
		{"more iterations", valid + "@ NSEC3PARAM 1 0 51 -\n", "", nil, `/z/0.zone:8:1: NSEC3PARAM of "example.com." has 51 iterations, more than 50; sign the zone with 0 iterations (RFC 9276)`},
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

// A zone of ours that the presigned zone above does not delegate is not in the chain of that zone, and check warns of it.
func TestPresignedZoneWithoutADelegationToAZoneOfOurs(t *testing.T) {
	w := newWorld()
	w.zone("example.com.", apexRecords+signature(now, now.Add(time.Hour))+"@ NSEC zz NS SOA RRSIG NSEC\nzz TXT x\nzz NSEC @ TXT RRSIG NSEC\n")
	w.zone("in.example.com.", apexRecords)
	s, report := w.compile()
	warnings, err := report.Join()
	if err != nil {
		t.Fatal(err)
	}
	want := `zone "example.com." has signatures, and does not delegate to zone "in.example.com." below it`
	if !slices.ContainsFunc(warnings, func(w config.Error) bool { return strings.Contains(w.Error(), want) }) {
		t.Errorf("warnings %v, want %s", warnings, want)
	}
	c := s.NewChains([]bool{true, false})
	if next := c.Next(s.ApexNode(0)).String(); next != "zz.example.com." {
		t.Errorf("the NSEC record of the apex is followed by %s", next)
	}
}
