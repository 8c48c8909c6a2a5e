package secondary

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// copyWith returns a copy of example.com with a serial and some records.
func copyWith(t testing.TB, serial, records int, confirmed time.Time) *zones.Copy {
	t.Helper()
	var b zones.CopyBuilder
	lines := []string{fmt.Sprintf("example.com. 60 IN SOA ns.example.com. h.example.com. %d 60 60 3600 60", serial), "example.com. 60 IN NS ns.example.com."}
	for i := range records {
		lines = append(lines, fmt.Sprintf("n%d.example.com. 60 IN TXT \"%d of %d\"", i, i, serial))
	}
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Pack(rr)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(r)
	}
	c, err := b.Copy("example.com.", "192.0.2.1:53", confirmed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// filesOfCopies returns the names in the folder of copies.
func filesOfCopies(t testing.TB, state string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(state, zones.CopyFolder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFilesOfCopiesKeepWhenTheyWereConfirmed(t *testing.T) {
	state, at := t.TempDir(), time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	c := copyWith(t, 7, 3, at)
	read := func(when string) *zones.Copy {
		t.Helper()
		got, err := zones.ReadCopy(state, c.Zone)
		if err != nil || got == nil || got.SOA.Serial != 7 || got.Count() != c.Count() || !got.Confirmed.Equal(c.Confirmed) {
			t.Fatalf("%s: %+v, %v", when, got, err)
		}
		return got
	}
	if err := touch(state, c); err != nil { // as after somebody has removed it
		t.Fatal(err)
	}
	read("a missing file is written")
	c.Confirmed = at.Add(time.Hour)
	if err := touch(state, c); err != nil {
		t.Fatal(err)
	}
	if got := read("only the time changes"); string(got.Encode()) != string(c.Encode()) {
		t.Error("the content changed")
	}
	for range 2 { // the second time there is none
		if err := remove(state, c.Zone); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := zones.ReadCopy(state, c.Zone); got != nil || err != nil {
		t.Errorf("after its removal: %v, %v", got, err)
	}
	for _, err := range []error{write("", c), touch("", c), remove("", c.Zone)} {
		if err != nil {
			t.Errorf("without a state directory: %v", err)
		}
	}
}

// A file that cannot be replaced, or a folder that cannot be made, is an error that leaves nothing behind.
func TestFailedWriteOfACopyLeavesNothing(t *testing.T) {
	state := t.TempDir()
	c := copyWith(t, 1, 1, time.Now())
	path := zones.CopyFile(state, c.Zone)
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := write(state, c); err == nil || !strings.Contains(err.Error(), "rename") {
			t.Errorf("error %v", err)
		}
	}
	if left := filesOfCopies(t, state); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
	if got, err := zones.ReadCopy(state, c.Zone); got != nil || err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a folder is read as %v, %v", got, err)
	}
	if err := remove(state, c.Zone); err == nil {
		t.Error("a folder with files is removed")
	}
	file := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(file, c); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("in a file: %v", err)
	}
}

// A copy that a crash has cut at any octet, or a disk has changed in any, is an error and never half a zone.
func TestDamagedCopyIsNotRead(t *testing.T) {
	whole := copyWith(t, 9, 2, time.Now()).Encode()
	for n := range whole {
		if c, err := zones.DecodeCopy(whole[:n], time.Now()); err == nil || c != nil {
			t.Fatalf("%d of %d octets are read as %v", n, len(whole), c)
		}
		changed := append([]byte(nil), whole...)
		if changed[n] ^= 1 << (n % 8); string(changed) == string(whole) {
			t.Fatal("nothing changed")
		}
		if c, err := zones.DecodeCopy(changed, time.Now()); err == nil || c != nil {
			t.Fatalf("with octet %d changed it is read as %v", n, c)
		}
	}
	if c, err := zones.DecodeCopy(append(append([]byte(nil), whole...), 0), time.Now()); err == nil {
		t.Errorf("with an octet more it is read as %v", c)
	}
	state := t.TempDir()
	other := zones.CopyFile(state, "example.org.")
	if err := Replace(other, whole); err != nil {
		t.Fatal(err)
	}
	if c, err := zones.ReadCopy(state, "example.org."); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("the copy of another zone is read as %v, %v", c, err)
	}
}

// During an upgrade two processes write the copy of a zone: a reader finds one of them, whole.
func TestConcurrentWritesOfACopyAreWhole(t *testing.T) {
	state := t.TempDir()
	copies := []*zones.Copy{copyWith(t, 1, 5, time.Now()), copyWith(t, 2, 300, time.Now()), copyWith(t, 3, 60, time.Now())}
	if err := write(state, copies[0]); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, c := range copies {
		writers.Go(func() {
			for range 5 {
				if err := write(state, c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); writers.Wait() }()
	for reading := true; reading; {
		select {
		case <-ended:
			reading = false
		default:
		}
		c, err := zones.ReadCopy(state, "example.com.")
		if err != nil || c == nil || c.Count() != copies[c.SOA.Serial-1].Count() {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	if left := filesOfCopies(t, state); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}

// What a process that was killed has left is removed after an hour, also in a folder with a name like a pattern.
func TestUnfinishedFilesAreRemovedInAnyFolder(t *testing.T) {
	state, now := filepath.Join(t.TempDir(), "a[b-"), time.Now()
	if err := write(state, copyWith(t, 1, 1, now)); err != nil {
		t.Fatal(err)
	}
	path := zones.CopyFile(state, "example.com.")
	for name, age := range map[string]time.Duration{
		path:                                     1000 * time.Hour,
		path + ".new-1":                          2 * time.Hour,
		path + ".new-2":                          time.Minute,
		zones.CopyFile(state, "new-.") + ".new-": 61 * time.Minute,
		zones.CopyFile(state, dnsname.Name("new-1.example.")): 2 * time.Hour,
	} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	removeUnfinished(state, now)
	removeUnfinished(filepath.Join(state, "missing"), now)
	removeUnfinished("", now)
	left := filesOfCopies(t, state)
	if len(left) != 3 {
		t.Errorf("left are %v", left)
	}
	for _, name := range left {
		if strings.HasSuffix(name, ".new-1") || strings.HasSuffix(name, ".new-") {
			t.Errorf("%s is left", name)
		}
	}
}
