package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// some and empty are contents of a state file.
const (
	some  = `{"overrides":["a","b"],"n":1}`
	empty = `{}`
)

var keptAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func encoded(t testing.TB, content string) []byte {
	t.Helper()
	file, err := encode([]byte(content), keptAt)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestStateFileRoundTrip(t *testing.T) {
	got, written, err := decode(encoded(t, some))
	if err != nil || !written.Equal(keptAt) || string(got) != some {
		t.Errorf("got %q, %v, %v\nwant %q", got, written, err, some)
	}
}

// TestCorruptStateFileIsRejected tries every truncation, and a change of every octet of the
// content.
func TestCorruptStateFileIsRejected(t *testing.T) {
	file := encoded(t, some)
	for n := range file {
		if _, _, err := decode(file[:n]); err == nil {
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
		if _, _, err := decode(changed); err == nil {
			t.Errorf("a change of byte %d passes", i)
		}
	}
	if _, _, err := decode(append(file, file...)); err == nil {
		t.Error("a file with something after its end passes")
	}
}

func TestStateFileErrors(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"nothing in it":      {"", "it does not begin as a state file does"},
		"another file":       {"{\"a\":1}\n{}\n", "it does not begin as a state file does"},
		"of a later program": {strings.Replace(string(encoded(t, some)), `"version":1`, `"version":2`, 1), "it has version 2, and this program reads version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := decode([]byte(c.file)); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzStateFile(f *testing.F) {
	f.Add(encoded(f, `{"overrides":[]}`))
	f.Add(encoded(f, "null"))
	f.Add([]byte("{\"file\":\"meridian state\",\"version\":1,\"bytes\":-1,\"sha256\":\"\"}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		content, written, err := decode(file)
		if err != nil {
			return
		}
		again, err := encode(content, written)
		if err != nil {
			t.Fatal(err)
		}
		if twice, _, err := decode(again); err != nil || !bytes.Equal(twice, compact(t, content)) {
			t.Errorf("%q came back as %q, %v", content, twice, err)
		}
	})
}

// compact returns JSON as encode writes it.
func compact(t testing.TB, content []byte) []byte {
	t.Helper()
	text, err := json.Marshal(json.RawMessage(content))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func held(t *testing.T, path string) *Dir {
	t.Helper()
	f := NewDir(path)
	if err := f.Lock(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Unlock)
	return f
}

// content returns the saved content; "" if there is none.
func content(f *Dir) (saved string) {
	f.Read(func(content []byte) error { saved = string(content); return nil }, slog.New(slog.DiscardHandler))
	return saved
}

func TestStateDirIsCreatedAndKeepsLastState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	f := held(t, path)
	if m := content(f); m != "" {
		t.Errorf("an empty folder has %q", m)
	}
	for _, next := range []string{some, empty} {
		if err := f.Write([]byte(next)); err != nil {
			t.Fatal(err)
		}
	}
	if m := content(f); m != empty {
		t.Errorf("read %q", m)
	}
	if names := filesIn(t, path); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

// TestPartialStateFileIsIgnored checks that a partial file left by a crash is not read and does
// not prevent the next write.
func TestPartialStateFileIsIgnored(t *testing.T) {
	f := held(t, t.TempDir())
	if err := f.Write([]byte(some)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.path, nextName), []byte("half of"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m := content(f); m != some {
		t.Errorf("read %q", m)
	}
	if err := f.Write([]byte(empty)); err != nil {
		t.Fatal(err)
	}
	if m := content(f); m != empty {
		t.Errorf("read %q", m)
	}
}

func TestStateFileIsJSON(t *testing.T) {
	if file := encoded(t, some); !json.Valid(file) {
		t.Errorf("not JSON: %s", file)
	}
}

func TestCorruptStateIsQuarantinedAndLogged(t *testing.T) {
	f := held(t, t.TempDir())
	damaged := []byte("{\"file\":\"meridian state\",\"version\":9}\n{}\n")
	if err := os.WriteFile(filepath.Join(f.path, fileName), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	written, aside := f.Read(func(content []byte) error {
		t.Errorf("it uses %q", content)
		return nil
	}, slog.New(slog.NewTextHandler(&out, nil)))
	if !written.IsZero() {
		t.Errorf("it was written at %v", written)
	}
	if aside == nil || !strings.Contains(aside.File, ".corrupt-") || !strings.HasPrefix(aside.Error, "it has version 9") {
		t.Errorf("quarantined %+v", aside)
	}
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "it has version 9") || !strings.Contains(text, ".corrupt-") {
		t.Errorf("logged %q", text)
	}
	names := filesIn(t, f.path)
	if len(names) != 1 || !strings.HasPrefix(names[0], fileName+".corrupt-") {
		t.Fatalf("in the folder: %q", names)
	}
	if kept, err := os.ReadFile(filepath.Join(f.path, names[0])); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("set aside %q, %v", kept, err)
	}
}

func TestUnusableStateIsQuarantined(t *testing.T) {
	f := held(t, t.TempDir())
	if err := f.Write([]byte(some)); err != nil {
		t.Fatal(err)
	}
	written, corrupt := f.Read(func([]byte) error { return errors.New("unusable") }, slog.New(slog.DiscardHandler))
	if !written.IsZero() || corrupt == nil || corrupt.Error != "unusable" {
		t.Errorf("got %v, %+v", written, corrupt)
	}
}

func TestServersDoNotShareStateDir(t *testing.T) {
	first := held(t, t.TempDir())
	second := NewDir(first.path)
	if err := second.Lock(); !errors.Is(err, ErrTaken) {
		t.Errorf("a folder that is held: %v", err)
	}
	if err := second.Write([]byte(some)); !errors.Is(err, ErrTaken) {
		t.Errorf("writing to it: %v", err)
	}
	first.Unlock()
	if err := second.Lock(); err != nil {
		t.Errorf("after the first let go: %v", err)
	}
	second.Unlock()
}

func TestRemovedStateDirIsCreatedAgain(t *testing.T) {
	f := held(t, filepath.Join(t.TempDir(), "state"))
	if err := os.RemoveAll(f.path); err != nil {
		t.Fatal(err)
	}
	if err := f.Write([]byte(some)); err != nil {
		t.Error(err)
	}
	if m := content(f); m == "" {
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
	if err := second.Write([]byte(some)); err != nil {
		t.Fatal(err)
	}
	if err := first.Write([]byte(empty)); !errors.Is(err, ErrTaken) {
		t.Errorf("writing to another's folder: %v", err)
	}
	second.Unlock()
	if err := first.Write([]byte(empty)); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}

// TestSpecialStateFileIsQuarantined uses special files: reading them might never end.
func TestSpecialStateFileIsQuarantined(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a link to a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a folder":           func(path string) error { return os.Mkdir(path, 0o700) },
		"a file that is too long": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxSize+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := held(t, t.TempDir())
			if err := put(filepath.Join(f.path, fileName)); err != nil {
				t.Fatal(err)
			}
			if m := content(f); m != "" {
				t.Errorf("read %q", m)
			}
			if names := filesIn(t, f.path); len(names) != 1 || !strings.HasPrefix(names[0], fileName+".corrupt-") {
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
