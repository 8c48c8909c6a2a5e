package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/health"
	"meridian/pools"
)

var keptAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func someMemory() *savedState {
	return &savedState{
		Verdicts: []health.SavedTarget{{
			Check: "web", Fingerprint: strings.Repeat("ab", 32), Address: netip.MustParseAddr("192.0.2.1"),
			At: keptAt, Verdict: "down", Since: keptAt, LastResultAt: keptAt, Reason: "status 500", Last: "failed", Streak: 3, StreakSince: keptAt,
		}},
		Ejections: []pools.SavedEjection{
			{Pool: "web", Member: "a", Down: [2]bool{true, false}, At: keptAt, Counted: true, Reason: "status 500"},
			{Pool: "web", Member: "b", Deferred: [2]bool{true, true}, Since: keptAt},
		},
		Loads: pools.LoadMemory{
			Shedding: []pools.ShedMemory{{Pool: "web", Region: "east", Kept: 0.5, Within: 1, At: keptAt, ShareMemory: pools.ShareMemory{Share: 0.5, Traffic: 0.6, Since: keptAt, Demand: 160}}},
			Balanced: []pools.BalanceMemory{{Pool: "least", Member: "a", At: keptAt, ShareMemory: pools.ShareMemory{Share: 0.5, Traffic: 0.5, Since: keptAt, Demand: 160}}},
		},
		Overrides: []Override{
			{Target: Selector{Pool: "web", Member: "a"}, Kind: pools.Drained.String(), Reason: `"why" é`, Since: keptAt, Until: keptAt.Add(time.Hour)},
			{Target: Selector{Region: "east"}, Kind: pools.ForcedDown.String(), Since: keptAt, Replaced: &Replaced{Kind: pools.Drained.String(), Reason: "power", Since: keptAt}},
		},
	}
}

func encoded(t testing.TB, m *savedState) []byte {
	t.Helper()
	file, err := encodeState(m, keptAt)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestStateFileRoundTrip(t *testing.T) {
	want := someMemory()
	got, written, err := decodeState(encoded(t, want))
	if err != nil || !written.Equal(keptAt) || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, %v\nwant %+v", got, written, err, want)
	}
}

// TestCorruptStateFileIsRejected tries every truncation, and a change of every
// octet of the content.
func TestCorruptStateFileIsRejected(t *testing.T) {
	file := encoded(t, someMemory())
	for n := range file {
		if _, _, err := decodeState(file[:n]); err == nil {
			t.Errorf("the first %d of %d bytes pass for whole", n, len(file))
		}
	}
	content := bytes.Index(file, []byte(`"content":`))
	if content < 0 {
		t.Fatalf("no content in %s", file)
	}
	for i := content; i < len(file); i++ {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		if _, _, err := decodeState(changed); err == nil {
			t.Errorf("a change of byte %d passes", i)
		}
	}
	if _, _, err := decodeState(append(file, file...)); err == nil {
		t.Error("a file with something after its end passes")
	}
}

func TestStateFileErrors(t *testing.T) {
	sealed := func(m *savedState) string { return string(encoded(t, m)) }
	bad := someMemory()
	bad.Overrides[1].Kind = "painted"
	odd := someMemory()
	odd.Overrides[1].Replaced.Reason = "\x1b[2J"
	for name, c := range map[string]struct{ file, want string }{
		"nothing in it":       {"", "it does not begin as a state file does"},
		"another file":        {"{\"a\":1}\n{}\n", "it does not begin as a state file does"},
		"of a later program":  {strings.Replace(sealed(someMemory()), `"version":1`, `"version":2`, 1), "it has version 2, and this program reads version 1"},
		"impossible replaced": {sealed(odd), `override 2: what it replaced: the reason "\x1b[2J" has characters that do not print; write it on one line with plain spaces`},
		"impossible override": {sealed(bad), `override 2: "painted" is not a kind of override; want "drained", "forced up", "forced down"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := decodeState([]byte(c.file)); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzStateFile(f *testing.F) {
	f.Add(encoded(f, someMemory()))
	f.Add(encoded(f, &savedState{}))
	f.Add([]byte("{\"file\":\"meridian state\",\"version\":1,\"bytes\":-1,\"sha256\":\"\"}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, written, err := decodeState(file)
		if err != nil {
			return
		}
		again, err := encodeState(m, written)
		if err != nil {
			t.Fatal(err)
		}
		twice, _, err := decodeState(again)
		if err != nil || !reflect.DeepEqual(twice.Overrides, m.Overrides) || len(twice.Verdicts) != len(m.Verdicts) {
			t.Errorf("%+v came back as %+v, %v", m, twice, err)
		}
		overrides(m.Overrides).forTree() // a valid list must be usable by a tree
	})
}

// FuzzStateContent fuzzes what is inside a valid frame: the fuzzer would not find the checksum.
func FuzzStateContent(f *testing.F) {
	seed, err := json.Marshal(someMemory())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"overrides":[{"target":"region:","kind":"drained"}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := frameState(content, keptAt)
		if err != nil {
			return // not JSON
		}
		m, _, err := decodeState(file)
		if err != nil {
			return
		}
		overrides(m.Overrides).forTree()
		for _, o := range m.Overrides {
			if again, err := ParseSelector(o.Target.String()); err != nil || again != o.Target {
				t.Errorf("target %+v is written %q and read as %+v, %v", o.Target, o.Target, again, err)
			}
		}
	})
}

func held(t *testing.T, path string) *stateDir {
	t.Helper()
	f := newStateDir(path)
	if err := f.lock(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.unlock)
	return f
}

func TestStateDirIsCreatedAndKeepsLastState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	f := held(t, path)
	if m, _ := f.read(slog.New(slog.DiscardHandler)); m != nil {
		t.Errorf("an empty folder remembers %+v", m)
	}
	for _, reason := range []string{"first", "second"} {
		m := someMemory()
		m.Overrides[0].Reason = reason
		if err := f.write(encoded(t, m)); err != nil {
			t.Fatal(err)
		}
	}
	if m, _ := f.read(slog.New(slog.DiscardHandler)); m == nil || m.Overrides[0].Reason != "second" {
		t.Errorf("remembered %+v", m)
	}
	if names := filesIn(t, path); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

// TestPartialStateFileIsIgnored checks that a partial file left by a crash is not read and does
// not prevent the next write.
func TestPartialStateFileIsIgnored(t *testing.T) {
	f := held(t, t.TempDir())
	if err := f.write(encoded(t, someMemory())); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.path, stateNext), []byte("half of"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, _ := f.read(slog.New(slog.DiscardHandler)); m == nil || len(m.Overrides) != 2 {
		t.Errorf("remembered %+v", m)
	}
	if err := f.write(encoded(t, &savedState{})); err != nil {
		t.Fatal(err)
	}
	if m, _ := f.read(slog.New(slog.DiscardHandler)); m == nil || len(m.Overrides) != 0 {
		t.Errorf("remembered %+v", m)
	}
}

func TestStateFileIsJSON(t *testing.T) {
	if file := encoded(t, someMemory()); !json.Valid(file) {
		t.Errorf("not JSON: %s", file)
	}
}

func TestCorruptStateIsQuarantinedAndLogged(t *testing.T) {
	f := held(t, t.TempDir())
	damaged := []byte("{\"file\":\"meridian state\",\"version\":9}\n{}\n")
	if err := os.WriteFile(filepath.Join(f.path, stateName), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	m, aside := f.read(slog.New(slog.NewTextHandler(&out, nil)))
	if m != nil {
		t.Errorf("remembered %+v", m)
	}
	if aside == nil || !strings.Contains(aside.File, ".corrupt-") || !strings.HasPrefix(aside.Error, "it has version 9") {
		t.Errorf("told %+v", aside)
	}
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "it has version 9") || !strings.Contains(text, ".corrupt-") {
		t.Errorf("logged %q", text)
	}
	names := filesIn(t, f.path)
	if len(names) != 1 || !strings.HasPrefix(names[0], stateName+".corrupt-") {
		t.Fatalf("in the folder: %q", names)
	}
	if kept, err := os.ReadFile(filepath.Join(f.path, names[0])); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("set aside %q, %v", kept, err)
	}
}

func TestServersDoNotShareStateDir(t *testing.T) {
	first := held(t, t.TempDir())
	second := newStateDir(first.path)
	if err := second.lock(); !errors.Is(err, errStateTaken) {
		t.Errorf("a folder that is held: %v", err)
	}
	if err := second.write(encoded(t, someMemory())); !errors.Is(err, errStateTaken) {
		t.Errorf("writing to it: %v", err)
	}
	first.unlock()
	if err := second.lock(); err != nil {
		t.Errorf("after the first let go: %v", err)
	}
	second.unlock()
}

func TestRemovedStateDirIsCreatedAgain(t *testing.T) {
	f := held(t, filepath.Join(t.TempDir(), "state"))
	if err := os.RemoveAll(f.path); err != nil {
		t.Fatal(err)
	}
	if err := f.write(encoded(t, someMemory())); err != nil {
		t.Error(err)
	}
	if m, _ := f.read(slog.New(slog.DiscardHandler)); m == nil {
		t.Error("nothing is kept")
	}
}

// TestReplacedStateDirIsNotTouched renames the directory; another server stores its state in
// a new one of that name.
func TestReplacedStateDirIsNotTouched(t *testing.T) {
	first := held(t, filepath.Join(t.TempDir(), "state"))
	if err := os.Rename(first.path, first.path+".old"); err != nil {
		t.Fatal(err)
	}
	second := held(t, first.path)
	if err := second.write(encoded(t, someMemory())); err != nil {
		t.Fatal(err)
	}
	if err := first.write(encoded(t, &savedState{})); !errors.Is(err, errStateTaken) {
		t.Errorf("writing to another's folder: %v", err)
	}
	second.unlock()
	if err := first.write(encoded(t, &savedState{})); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}

// TestSpecialStateFileIsQuarantined uses special files: reading them might never end.
func TestSpecialStateFileIsQuarantined(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a link to a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a folder":           func(path string) error { return os.Mkdir(path, 0o700) },
		"a file that is too long": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxStateSize+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := held(t, t.TempDir())
			if err := put(filepath.Join(f.path, stateName)); err != nil {
				t.Fatal(err)
			}
			if m, _ := f.read(slog.New(slog.DiscardHandler)); m != nil {
				t.Errorf("remembered %+v", m)
			}
			if names := filesIn(t, f.path); len(names) != 1 || !strings.HasPrefix(names[0], stateName+".corrupt-") {
				t.Errorf("in the folder: %q", names)
			}
		})
	}
}

func filesIn(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
