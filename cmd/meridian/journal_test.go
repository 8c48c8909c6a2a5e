package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/transfer"
	"meridian/transfer/journal"
)

// TestJournalShowsChanges prints a journal of two changes, an update among them, and one that is corrupt.
func TestJournalShowsChanges(t *testing.T) {
	state := t.TempDir()
	zone := dnsname.Name("example.com.")
	path := transfer.JournalFile(state, zone)
	j, err := journal.Open(path, zone, journal.Bounds{Size: 1 << 20, Depth: 10})
	if err != nil {
		t.Fatal(err)
	}
	soa := journal.NewRecord(zone.Wire(), dns.TypeSOA, 60, make([]byte, 22))
	txt := journal.NewRecord(dnsname.Name("a.example.com.").Wire(), dns.TypeTXT, 60, []byte("\x01x"))
	j.Begin(4, journal.Digest{})
	err = j.Append(
		&journal.Change{OldSOA: soa.WithSerial(4), NewSOA: soa.WithSerial(5), Added: []journal.Record{txt}, Update: &journal.Origin{Key: "acme.", At: time.Unix(1_800_000_000, 0)}},
		&journal.Change{OldSOA: soa.WithSerial(5), NewSOA: soa.WithSerial(7), Deleted: []journal.Record{txt.WithTTL(9)}},
	)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	show := []string{"journal", "example.com", "--state", state}
	expectMatch(t, said(t, exitOK, show...), `(?s)^zone example.com.: serial 7, changes since 4; updates have added 1 records to its file and deleted 0\n`+
		`serial 4 to 5 by an update with key acme, 2027-01-15 .*\n\+ a.example.com.\t60\tIN\tTXT\t"x"\nserial 5 to 7 by the configuration or a file\n- a.example.com.\t9\tIN\tTXT\t"x"\n$`)
	if last := said(t, exitOK, append(show, "--last", "1")...); strings.Contains(last, "serial 4 to 5") || !strings.Contains(last, "serial 5 to 7") {
		t.Errorf("the last change: %s", last)
	}
	expectMatch(t, said(t, exitOK, append(show, "-o", "json")...), `"update": \{\s*"key": "acme."`)
	said(t, exitConfig, "journal", "example.org", "--state", state)
	said(t, exitConfig, append(show, "--last", "-1")...)
	if now, _ := os.ReadFile(path); string(now) != string(before) {
		t.Error("the file has changed")
	}
	for _, cut := range []int{5, len(before) / 8} {
		torn := before[:len(before)-cut]
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		expectMatch(t, said(t, exitOK, show...), `serial 4 to 5 [^$]*\nthe last entry is incomplete \(\d+ octets\): .*the next start drops it\n$`)
		expectMatch(t, said(t, exitOK, append(show, "-o", "json")...), `"torn": \d+`)
	}
	damaged := []byte(string(before))
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, exitConfig, show...), `(?s)^zone example.com.: .*\.journal is corrupt: at offset \d+: .*\n  the next start renames it, keeps the updates that it can still read, and begins another one\n$`)
	if files, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(files) != 1 {
		t.Errorf("files %q: a corrupt one stays where it is", files)
	}
	if err := os.WriteFile(path, []byte("other data"), 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, exitConfig, show...), `^meridian: .* is corrupt: it does not begin with .*\n  no state can be read; the next start renames it and begins another one\n$`)
}

// TestJournalWithoutUpdates prints a journal of a zone that may have no file: a catalog, for example.
func TestJournalWithoutUpdates(t *testing.T) {
	state, zone := t.TempDir(), dnsname.Name("catalog.example.")
	j, err := journal.Open(transfer.JournalFile(state, zone), zone, journal.Bounds{Size: 1 << 20, Depth: 10})
	if err != nil {
		t.Fatal(err)
	}
	j.Begin(4, journal.Digest{})
	if err := j.Save(); err != nil {
		t.Fatal(err)
	}
	if got := said(t, exitOK, "journal", "catalog.example", "--state", state); got != "zone catalog.example.: serial 4, changes since 4\n" {
		t.Errorf("%q", got)
	}
	expectMatch(t, said(t, exitConfig, "journal", "--state", state), `e\.g\. meridian journal example\.com`)
	expectMatch(t, said(t, exitConfig, "zone", "status"), `e\.g\. meridian zone status example\.com`)
}
