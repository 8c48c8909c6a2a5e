package certs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/certs/certstest"
)

// TestStoreKeepsTheLastValidFiles replaces the files of a store, with valid ones and with others.
func TestStoreKeepsTheLastValidFiles(t *testing.T) {
	dir, other, now := t.TempDir(), t.TempDir(), time.Now()
	cert, key := certstest.Write(t, dir, now, "a.example")
	secret := strings.Repeat("0123456789abcdef", 4) + "\n"
	tickets := filepath.Join(dir, "tickets")
	write := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(tickets, secret)
	s, err := open([]Pair{{cert, key}}, tickets, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, wantChanged, wantError bool) {
		t.Helper()
		before := s.Current()
		changed, err := s.Update()
		if changed != wantChanged || (err != nil) != wantError || (s.Failure() != "") != wantError || !wantChanged && s.Current() != before {
			t.Errorf("%s: changed %v, error %v, failure %q", what, changed, err, s.Failure())
		}
	}
	expect("nothing has changed", false, false)
	foreign, _ := certstest.Write(t, other, now, "a.example")
	content, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	write(cert, string(content))
	expect("a certificate without its key", false, true)
	certstest.Write(t, dir, now.Add(time.Minute), "a.example")
	expect("a renewed pair", true, false)
	write(tickets, secret+"x\n")
	expect("a broken secret", false, true)
	write(tickets, secret+secret)
	expect("a second secret", true, false)
	if err := os.Chmod(tickets, 0o644); err != nil {
		t.Fatal(err)
	}
	expect("a secret that others can read", false, true)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	expect("a missing key", false, true)
}

// A pair with an error must not keep the others from being renewed, nor the keys of tickets from changing each day.
func TestStoreRenewsOtherPairsBesideABadOne(t *testing.T) {
	now := time.Now()
	firstDir, secondDir := t.TempDir(), t.TempDir()
	firstCert, firstKey := certstest.Write(t, firstDir, now, "a.example")
	secondCert, secondKey := certstest.Write(t, secondDir, now, "b.example")
	s, err := open([]Pair{{firstCert, firstKey}, {secondCert, secondKey}}, "", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	before := s.Current()
	if err := os.Remove(firstKey); err != nil {
		t.Fatal(err)
	}
	certstest.Write(t, secondDir, now.Add(time.Minute), "b.example")
	changed, err := s.Update()
	after := s.Current()
	if !changed || err == nil || s.Failure() == "" || !after.Certificates[0].Leaf.Equal(before.Certificates[0].Leaf) ||
		after.Certificates[1].Leaf.Equal(before.Certificates[1].Leaf) {
		t.Errorf("changed %v, error %v, failure %q", changed, err, s.Failure())
	}
	now = now.Add(24 * time.Hour)
	if _, err := s.Update(); err == nil || s.Current().TicketKeys[0] == after.TicketKeys[0] {
		t.Errorf("error %v; the first key of tickets must be a new one", err)
	}
	if _, err := open([]Pair{{firstCert, firstKey}}, "", time.Now); err == nil {
		t.Error("a store with a missing key was opened")
	}
}

// TestOpenReturnsAllErrors opens a store with errors in two of three pairs and in the ticket secrets.
func TestOpenReturnsAllErrors(t *testing.T) {
	dir := t.TempDir()
	cert, key := certstest.Write(t, dir, time.Now(), "a.example")
	missing := filepath.Join(dir, "missing")
	_, err := Open([]Pair{{missing, key}, {cert, key}, {cert, missing}}, missing)
	var all PairErrors
	if !errors.As(err, &all) {
		t.Fatalf("error %v", err)
	}
	var pairs []int
	for _, one := range all {
		pairs = append(pairs, one.Pair)
	}
	var first *PairError
	if !slices.Equal(pairs, []int{0, 2, -1}) || !errors.As(err, &first) || first.Pair != 0 {
		t.Errorf("errors of pairs %v, the first is %v", pairs, first)
	}
}

// TestNodesShareTicketKeys checks the keys of two stores with equal secrets, on the same day and on the next ones.
func TestNodesShareTicketKeys(t *testing.T) {
	dir, day := t.TempDir(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cert, key := certstest.Write(t, dir, time.Now(), "a.example")
	tickets := filepath.Join(dir, "tickets")
	if err := os.WriteFile(tickets, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	now := day
	clock := func() time.Time { return now }
	first, err := open([]Pair{{cert, key}}, tickets, clock)
	if err != nil {
		t.Fatal(err)
	}
	second, err := open([]Pair{{cert, key}}, tickets, clock)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Current().TicketKeys, second.Current().TicketKeys) {
		t.Error("the keys of equal secrets differ")
	}
	makes := first.Current().TicketKeys[0]
	for days, accepted := range []bool{true, true, false} {
		now = day.AddDate(0, 0, days)
		if _, err := second.Update(); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(second.Current().TicketKeys, makes); got != accepted {
			t.Errorf("after %d days a ticket is accepted: %v, want %v", days, got, accepted)
		}
		if got := second.Current().TicketKeys[0] == makes; got != (days == 0) {
			t.Errorf("after %d days the same key makes tickets: %v", days, got)
		}
	}
}
