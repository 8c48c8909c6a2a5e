package journal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = "example.com."

// record returns a record of the format of master files.
func record(t testing.TB, text string) Record {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return Record(buf[:end])
}

func soa(t testing.TB, serial uint32) Record {
	return record(t, fmt.Sprintf("example.com. 300 IN SOA ns. host. %d 2 3 4 5", serial))
}

// change returns a step of one serial.
func change(t testing.TB, from uint32, deleted, added []Record) *Change {
	return &Change{OldSOA: soa(t, from), NewSOA: soa(t, from+1), Deleted: deleted, Added: added, Digest: Digest{uint64(from), 1, 2, 3}}
}

func open(t testing.TB, path string, b Bounds) *Journal {
	t.Helper()
	j, err := OpenSyncing(path, zone, b, fast)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// fast is no sync: one takes milliseconds.
func fast(*os.File) error { return nil }

var large = Bounds{Size: 1 << 20, Depth: 1000}

// TestJournalIsTheSameAfterReopening makes random changes, and compares the journal with one that reads the file after each of
// them. The differences between any two serials are those of two sets of records.
func TestJournalIsTheSameAfterReopening(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "a", "j")
	bounds := Bounds{Size: 1 << 20, Depth: 7}
	j := open(t, path, bounds)
	j.Begin(1, Digest{9})
	var all []Record
	for i := range 12 {
		all = append(all, record(t, fmt.Sprintf("n%d.example.com. 60 IN TXT \"%d\"", i%4, i)))
	}
	content := map[Record]bool{}
	contents := []map[Record]bool{nil, maps.Clone(content)} // by serial
	for serial := uint32(1); serial < 40; serial++ {
		c := change(t, serial, nil, nil)
		for _, i := range random.Perm(len(all))[:1+random.IntN(3)] {
			if content[all[i]] {
				c.Deleted = append(c.Deleted, all[i])
				delete(content, all[i])
			} else {
				c.Added = append(c.Added, all[i])
				content[all[i]] = true
			}
		}
		if random.IntN(2) == 0 {
			c.Update = &Origin{"acme", time.Unix(int64(serial), 0).UTC()}
		}
		if err := j.Append(c); err != nil {
			t.Fatal(err)
		}
		contents = append(contents, maps.Clone(content))
		again := open(t, path, bounds)
		was, _ := j.State()
		if is, known := again.State(); !known || is != was || !sameOverlay(again.Overlay(), j.Overlay()) {
			t.Fatalf("seed %d, serial %d: %+v after reopening, was %+v\n%v\n%v", seed, serial, is, was, again.Overlay(), j.Overlay())
		}
		for from := was.Oldest; from <= serial; from++ {
			got := again.Since(from, serial+1)
			if got == nil || got.From() != from || got.To() != serial+1 {
				t.Fatalf("seed %d: from %d to %d: %v", seed, from, serial+1, got)
			}
			if !maps.Equal(setOf(got.Deleted), without(contents[from], content)) || !maps.Equal(setOf(got.Added), without(content, contents[from])) {
				t.Fatalf("seed %d: from %d to %d: %v", seed, from, serial+1, got)
			}
		}
		if again.Since(was.Oldest-1, serial+1) != nil {
			t.Fatalf("seed %d: a difference from serial %d, before the oldest", seed, was.Oldest-1)
		}
	}
	if s, _ := j.State(); s.Changes != 7 {
		t.Errorf("%d changes, want the depth", s.Changes)
	}
}

func sameOverlay(a, b Overlay) bool {
	return maps.Equal(a.Added, b.Added) && maps.Equal(a.Deleted, b.Deleted) && a.SOA == b.SOA
}

// without returns the records of a that b has not.
func without(a, b map[Record]bool) map[Record]bool {
	left := map[Record]bool{}
	for r := range a {
		if !b[r] {
			left[r] = true
		}
	}
	return left
}

// TestOverlayIsWhatUpdatesChanged follows records through updates and other changes.
func TestOverlayIsWhatUpdatesChanged(t *testing.T) {
	one, two, file := record(t, "a.example.com. 60 IN TXT 1"), record(t, "a.example.com. 60 IN TXT 2"), record(t, "f.example.com. 300 IN TXT f")
	by := func(c *Change) *Change {
		c.Update = &Origin{"acme", time.Unix(5, 0).UTC()}
		return c
	}
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, Bounds{Size: 1 << 20}) // no history at all
	j.Begin(1, Digest{})
	check := func(what string, added, deleted []Record) {
		t.Helper()
		for _, o := range []Overlay{j.Overlay(), func() Overlay { again := open(t, path, large); return again.Overlay() }()} {
			if !slices.Equal(slices.Sorted(maps.Keys(o.Added)), added) || !slices.Equal(slices.Sorted(maps.Keys(o.Deleted)), deleted) {
				t.Errorf("%s: %v", what, o)
			}
		}
	}
	for _, c := range []*Change{by(change(t, 1, nil, []Record{one, two})), by(change(t, 2, []Record{file, two}, nil)), change(t, 3, []Record{one}, nil)} {
		if err := j.Append(c); err != nil {
			t.Fatal(err)
		}
	}
	check("after updates", []Record{one}, []Record{file.WithTTL(0)})
	if err := j.Append(by(change(t, 4, nil, []Record{file.WithTTL(77)}))); err != nil {
		t.Fatal(err)
	}
	check("added again", slices.Sorted(slices.Values([]Record{one, file.WithTTL(77)})), []Record{file.WithTTL(0)})
	if err := j.Append(by(change(t, 5, []Record{file.WithTTL(77)}, nil))); err != nil {
		t.Fatal(err)
	}
	check("deleted again", []Record{one}, []Record{file.WithTTL(0)})
	if err := j.Hide([]Record{one, two}); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(by(change(t, 6, []Record{one}, nil))); err != nil {
		t.Fatal(err)
	}
	check("deleted after the file has it too", nil, slices.Sorted(slices.Values([]Record{one.WithTTL(0), file.WithTTL(0)})))
}

// TestTornTailIsRemoved cuts the file at each octet of its last entry, as a crash does.
func TestTornTailIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, large)
	j.Begin(1, Digest{})
	if err := j.Append(change(t, 1, nil, []Record{record(t, "a.example.com. 60 IN TXT 1")})); err != nil {
		t.Fatal(err)
	}
	before := j.end
	if err := j.Append(change(t, 2, nil, []Record{record(t, "b.example.com. 60 IN TXT 1")})); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := before; end < int64(len(whole)); end++ {
		for _, tail := range [][]byte{nil, make([]byte, int64(len(whole))-end)} {
			torn := append(slices.Clone(whole[:end]), tail...)
			if len(tail) > 0 && end-before < headSize && end > before {
				continue // half of a head is not written without the other half: a sector has both, or the end is zeros
			}
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			again := open(t, path, large)
			if s, _ := again.State(); s.Serial != 2 && len(tail) == 0 {
				t.Fatalf("cut at %d: %+v", end, s)
			}
			if s, _ := again.State(); s.Serial == 2 {
				if err := again.Append(change(t, 2, nil, nil)); err != nil {
					t.Fatal(err)
				}
				third := open(t, path, large)
				if s, _ := third.State(); s.Serial != 3 || s.Changes != 2 {
					t.Fatalf("cut at %d, then appended: %+v", end, s)
				}
			}
		}
	}
}

// TestCorruptFileIsSetAside changes each octet of a file, one at a time. Only the last entry may be lost without a word: it looks
// as if a crash cut it off.
func TestCorruptFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	j := open(t, path, large)
	j.Begin(1, Digest{})
	update := change(t, 1, nil, []Record{record(t, "a.example.com. 60 IN TXT 1")})
	update.Update = &Origin{"acme", time.Unix(1, 0)}
	if err := j.Append(update); err != nil {
		t.Fatal(err)
	}
	last := j.end
	if err := j.Append(change(t, 2, nil, nil)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		wrong := slices.Clone(whole)
		wrong[at] ^= 0x55
		if err := os.WriteFile(path, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := OpenSyncing(path, zone, large, fast)
		corrupt := (*CorruptError)(nil)
		switch {
		case err == nil && int64(at) >= last+8: // the last entry, and the checksum of its data
			if s, _ := again.State(); s.Serial != 2 {
				t.Errorf("octet %d: %+v", at, s)
			}
			continue
		case !errors.As(err, &corrupt):
			t.Fatalf("octet %d: %v", at, err)
		}
		if kept, err := os.ReadFile(corrupt.Aside); err != nil || !slices.Equal(kept, wrong) {
			t.Errorf("octet %d: %v", at, err)
		}
		_ = os.Remove(corrupt.Aside)
		if s, known := again.State(); int64(at) >= last && (!known || s.Serial != 3 || s.Added != 1 || s.Changes != 0) {
			t.Errorf("octet %d: %+v", at, s)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, "example.org.", large); err == nil || !strings.Contains(err.Error(), "it is the journal of zone example.com.") {
		t.Errorf("another zone: %v", err)
	}
}

// TestFailedWriteIsNotRecorded has the file in a folder that does not accept it.
func TestFailedWriteIsNotRecorded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "j")
	j := open(t, path, large)
	j.Begin(1, Digest{})
	if err := os.WriteFile(filepath.Join(dir, "sub"), nil, 0o600); err != nil { // in place of the folder
		t.Fatal(err)
	}
	if err := j.Append(change(t, 1, nil, nil)); err == nil {
		t.Fatal("appended")
	}
	if s, _ := j.State(); s.Serial != 1 || s.Changes != 0 {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(change(t, 1, nil, nil)); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(change(t, 7, nil, nil)); err == nil {
		t.Error("a change that does not follow is accepted")
	}
	j.Close()
	if err := j.Append(change(t, 2, nil, nil)); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestFailedSyncIsNotRecorded has each sync fail, one at a time: what is on disk is then what was acknowledged.
func TestFailedSyncIsNotRecorded(t *testing.T) {
	for fails := range 5 {
		path := filepath.Join(t.TempDir(), "j")
		left := fails
		j, err := OpenSyncing(path, zone, large, func(*os.File) error {
			if left--; left == -1 {
				return errors.New("no space")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		j.Begin(1, Digest{})
		acknowledged := uint32(1)
		for range 3 {
			if j.Append(change(t, acknowledged, nil, nil)) == nil {
				acknowledged++
			}
		}
		again := open(t, path, large)
		if s, _ := again.State(); s.Serial != acknowledged || acknowledged < 3 {
			t.Errorf("sync %d fails: serial %d, acknowledged %d", fails, s.Serial, acknowledged)
		}
	}
}

// TestFileIsRewrittenBeforeItGrows appends more changes than the bounds keep.
func TestFileIsRewrittenBeforeItGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, Bounds{Size: 1 << 20, Depth: 3})
	j.Begin(1, Digest{})
	most := int64(0)
	for serial := uint32(1); serial < 300; serial++ {
		if err := j.Append(change(t, serial, nil, []Record{record(t, fmt.Sprintf("n%d.example.com. 60 IN TXT 1", serial))})); err != nil {
			t.Fatal(err)
		}
		most = max(most, j.end)
	}
	if most > 32<<10 {
		t.Errorf("the file had %d octets", most)
	}
	again := open(t, path, Bounds{Size: 1 << 20, Depth: 3})
	if s, _ := again.State(); s.Serial != 300 || s.Changes != 3 {
		t.Errorf("%+v", s)
	}
}

// TestFailedRewriteIsDoneAgain has the sync of the folder fail after a rewrite that replaced the file, and that of the next
// file: no change is appended where the old file ended.
func TestFailedRewriteIsDoneAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	folders, failed := 0, false
	j, err := OpenSyncing(path, zone, Bounds{Size: 1 << 20, Depth: 3}, func(f *os.File) error {
		if f.Name() == filepath.Dir(path) {
			if folders++; folders == 2 { // the first one is that of the new file
				return errors.New("no folder")
			}
		}
		if folders == 2 && !failed && strings.HasSuffix(f.Name(), ".new") {
			failed = true
			return errors.New("no space")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	j.Begin(1, Digest{})
	acknowledged := uint32(1)
	for range 100 {
		if j.Append(change(t, acknowledged, nil, []Record{record(t, "n.example.com. 60 IN TXT 1")})) == nil {
			acknowledged++
		}
		again := open(t, path, large)
		if s, _ := again.State(); s.Serial != acknowledged {
			t.Fatalf("serial %d after reopening, want %d", s.Serial, acknowledged)
		}
	}
	if folders < 3 || !failed || acknowledged != 100 {
		t.Errorf("%d syncs of the folder, failed %v, serial %d", folders, failed, acknowledged)
	}
}

func FuzzJournalFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "j")
	j := open(f, path, large)
	j.Begin(1, Digest{})
	c := change(f, 1, []Record{record(f, "b.example.com. 60 IN TXT 1")}, []Record{record(f, "a.example.com. 60 IN TXT 1")})
	c.Update = &Origin{"acme", time.Unix(1, 0)}
	for _, c := range []*Change{c, change(f, 2, nil, nil)} {
		if err := j.Append(c); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	// The checksums keep random octets from the decoders, so entries are read too, each as both kinds.
	f.Add(c.encode())
	f.Add((&base{zone: zone, overlay: j.overlay}).encode())
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = (&Journal{zone: zone, bounds: large}).read(content)
		if c, err := decodeChange(content); err == nil {
			if again, err := decodeChange(c.encode()); err != nil || !reflect.DeepEqual(c, again) {
				t.Fatalf("%v: %v became %v", err, c, again)
			}
		}
		if b, err := decodeBase(content); err == nil {
			if again, err := decodeBase(b.encode()); err != nil || !reflect.DeepEqual(b, again) {
				t.Fatalf("%v: %v became %v", err, b, again)
			}
		}
	})
}
