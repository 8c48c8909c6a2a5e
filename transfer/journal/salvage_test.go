package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSerialOfACorruptFileIsKept corrupts octets of a file with history, a base and changes, one at a time, and then all from the
// end of an entry. The serial is never below the last one, and stays known, unless every entry is corrupt.
func TestSerialOfACorruptFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, large)
	j.Begin(1, Digest{1})
	const last = 6
	ends := []int64{}
	for serial := uint32(1); serial < last; serial++ {
		if err := j.Append(change(t, serial, nil, []Record{record(t, fmt.Sprintf("n%d.example.com. 60 IN TXT 1", serial))})); err != nil {
			t.Fatal(err)
		}
		if serial == 3 {
			if err := j.rewriteLocked(); err != nil {
				t.Fatal(err)
			}
		}
		ends = append(ends, j.end)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := len(magic) + headSize + len(j.changes[0].data) // the end of the first entry
	check := func(what string, wrong []byte, known bool) {
		t.Helper()
		if err := os.WriteFile(path, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := OpenSyncing(path, zone, large, fast)
		corrupt := (*CorruptError)(nil)
		switch {
		case err == nil:
			return // it looks as if a crash cut it off
		case !errors.As(err, &corrupt):
			t.Fatalf("%s: %v", what, err)
		}
		_ = os.Remove(corrupt.Aside)
		s, has := again.State()
		if has != known || has && (Newer(last, s.Serial) || s.Digest != Digest{}) {
			t.Fatalf("%s: known %v, %+v", what, has, s)
		}
		if !has {
			return
		}
		reopened := open(t, path, large)
		if is, _ := reopened.State(); is != s {
			t.Fatalf("%s: %+v after reopening, was %+v", what, is, s)
		}
	}
	for at := 0; at < len(whole); at += 5 { // more than once in each field of an entry
		wrong := slices.Clone(whole)
		wrong[at] ^= 0x55
		check(fmt.Sprintf("octet %d", at), wrong, true)
	}
	for _, from := range append(ends[:len(ends)-1:len(ends)-1], int64(len(magic)), int64(first)) {
		wrong := slices.Clone(whole)
		for i := from; i < int64(len(wrong)); i++ {
			wrong[i] ^= 0x55
		}
		check(fmt.Sprintf("from octet %d", from), wrong, from >= int64(first))
	}
	check("other octets", []byte("no journal"), false)
}

// TestSerialOfAnotherZoneIsNotUsed has the file of another zone in place of a journal.
func TestSerialOfAnotherZoneIsNotUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, large)
	j.Begin(1, Digest{1})
	if err := j.Append(change(t, 1, nil, nil)); err != nil {
		t.Fatal(err)
	}
	other, err := OpenSyncing(path, "example.org.", large, fast)
	if corrupt := (*CorruptError)(nil); !errors.As(err, &corrupt) {
		t.Fatal(err)
	}
	if s, known := other.State(); known {
		t.Errorf("it has %+v", s)
	}
}
