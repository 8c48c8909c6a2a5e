package main

import (
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/server/answer"
)

// TestErrorReportsInStatus prints reports, the latest first.
func TestErrorReportsInStatus(t *testing.T) {
	at := time.Unix(10_000, 0)
	s := &control.Status{At: at, ErrorReports: []answer.ErrorReport{
		{Name: "a.example.com.", Type: "A", Code: 6, Error: "DNSSEC Bogus", Resolver: "192.0.2.9", Reports: 1, Last: at.Add(-time.Minute)},
		{Name: "b.example.com.", Type: "AAAA", Code: 65535, Resolver: "2001:db8::9", Reports: 3, Last: at.Add(-5 * time.Second)},
	}}
	var out strings.Builder
	printErrorReports(&out, s)
	const want = `error report: b.example.com. AAAA: code 65535, 3 times, the last from 2001:db8::9 5s ago
error report: a.example.com. A: code 6 DNSSEC Bogus, once, the last from 192.0.2.9 1m0s ago
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// TestErrorReportsAreProblems checks that recent reports about our zones are problems, alone as well, and no others.
func TestErrorReportsAreProblems(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	ours := answer.ErrorReport{Name: "a.example.com.", Zone: "example.com.", Last: at.Add(-23 * time.Hour)}
	old := answer.ErrorReport{Name: "b.example.com.", Zone: "example.com.", Last: at.Add(-25 * time.Hour)}
	foreign := answer.ErrorReport{Name: "example.org.", Last: at}
	s := &control.Status{At: at, ErrorReports: []answer.ErrorReport{old, foreign}}
	if keepProblems(s); hasProblems(s) || len(s.ErrorReports) != 0 {
		t.Errorf("problems: %v", s.ErrorReports)
	}
	s.ErrorReports = []answer.ErrorReport{old, foreign, ours}
	if keepProblems(s); !hasProblems(s) || len(s.ErrorReports) != 1 || s.ErrorReports[0] != ours {
		t.Errorf("problems: %v", s.ErrorReports)
	}
}
