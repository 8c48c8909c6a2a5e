package generations

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func file(text string) []File { return []File{{"/etc/meridian.yaml", text}} }

func add(t *testing.T, s *Store, text string) Generation {
	t.Helper()
	g, err := s.Add(Generation{Time: time.Unix(1, 0).UTC(), Source: "reload"}, file(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func numbers(s *Store) string {
	var b strings.Builder
	for _, g := range s.List() {
		fmt.Fprint(&b, g.Number, " ")
	}
	return b.String()
}

func TestGenerationsSurviveARestart(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "generations")} {
		s, errs := Open(dir)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		add(t, s, "one")
		add(t, s, "one") // unchanged
		add(t, s, "two")
		last := add(t, s, "one")
		if got := numbers(s); got != "3 2 1 " {
			t.Errorf("generations %s, want 3 2 1", got)
		}
		s.Remove(last.Number)
		if dir != "" {
			if s, errs = Open(dir); len(errs) > 0 {
				t.Fatal(errs)
			}
		}
		g, files, err := s.Files(2)
		if err != nil || g.Number != 2 || files[0].Text != "two" || numbers(s) != "2 1 " {
			t.Errorf("%+v %+v %v of %s", g, files, err, numbers(s))
		}
		if _, _, err := s.Files(9); !errors.Is(err, ErrUnknown) {
			t.Errorf("generation 9: %v", err)
		}
	}
}

func TestOldGenerationsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s, _ := Open(dir)
	for i := range Kept + 3 {
		add(t, s, fmt.Sprint(i))
	}
	entries, err := os.ReadDir(dir)
	if n := len(s.List()); n != Kept || len(entries) != Kept || err != nil || s.List()[0].Number != Kept+3 {
		t.Errorf("%d generations, %d files, latest %d: %v", n, len(entries), s.List()[0].Number, err)
	}
}

func TestCorruptGenerationIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	s, _ := Open(dir)
	for _, text := range []string{"one", "two", "three", "four"} {
		add(t, s, text)
	}
	data, err := os.ReadFile(s.path(2))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	for number, content := range map[uint64][]byte{2: data, 3: nil, 4: data[:7]} {
		if err := os.WriteFile(s.path(number), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, errs := Open(dir)
	if len(errs) != 3 || numbers(s) != "1 " {
		t.Errorf("errors %v, generations %s", errs, numbers(s))
	}
	if g := add(t, s, "five"); g.Number != 5 {
		t.Errorf("the next generation is %d, want 5: a number is not used twice", g.Number)
	}
}

// TestFullDiskKeepsTheOldContent makes the write fail at its last step, also for root.
func TestErrorOfATruncatedGenerationNamesIt(t *testing.T) {
	s, _ := Open(t.TempDir())
	g := add(t, s, "one")
	if err := os.Truncate(s.path(g.Number), 10); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Files(g.Number); err == nil || !strings.Contains(err.Error(), "generation 1 cannot be read: unexpected EOF") {
		t.Errorf("error %v", err)
	}
}

func TestFullDiskKeepsTheOldContent(t *testing.T) {
	dir := t.TempDir()
	s, _ := Open(dir)
	add(t, s, "one")
	if err := os.WriteFile(filepath.Join(dir, "2.json.gz.new"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "2.json.gz"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(Generation{}, file("two")); err == nil {
		t.Error("no error")
	}
	if g, files, err := s.Files(1); err != nil || files[0].Text != "one" || numbers(s) != "1 " {
		t.Errorf("%+v %v, generations %s", g, err, numbers(s))
	}
	if err := ReplaceFile(filepath.Join(dir, "missing", "x"), nil, 0o600); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v", err)
	}
}

func FuzzDecode(f *testing.F) {
	data, err := encode(Generation{Number: 1, Hash: Hash(file("x"))}, file("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if g, files, err := decode(data); err == nil && g.Hash != Hash(files) {
			t.Errorf("%+v", g)
		}
	})
}
