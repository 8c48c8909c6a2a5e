package daemon

import (
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file that its writer empties, and fills again, between the two reads of a copy is not copied.
func TestFileChangedDuringACopyIsNotCopied(t *testing.T) {
	loaded := time.Now().Add(-time.Hour).Truncate(time.Second)
	for name, change := range map[string]func(path string, e *goodEntry) error{
		"not changed": nil,
		"emptied after its time was read": func(path string, e *goodEntry) error {
			e.crc = crc32.ChecksumIEEE(nil) // of the empty file, which both reads find
			return os.WriteFile(path, nil, 0o600)
		},
		"other content of the same size": func(path string, e *goodEntry) error {
			return os.WriteFile(path, []byte("sEcret"), 0o600)
		},
		"the same content, written again": func(path string, e *goodEntry) error {
			return os.WriteFile(path, []byte("secret"), 0o600)
		},
		"removed": func(path string, e *goodEntry) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, loaded, loaded); err != nil {
				t.Fatal(err)
			}
			e, err := examine(path, loaded)
			if err != nil {
				t.Fatal(err)
			}
			if change != nil {
				if err := change(path, &e); err != nil {
					t.Fatal(err)
				}
			}
			err = writeZip(filepath.Join(t.TempDir(), goodNext), &goodManifest{}, []goodEntry{e})
			if (err != nil) != (change != nil) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// The copy that exists stays if a file has changed since the configuration was loaded.
func TestChangedFileKeepsTheOldCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "meridian.yaml")
	m := goodManifest{File: goodKind, Version: goodVersion, Paths: []string{path}, Documents: []string{path}}
	begun := time.Now()
	for _, step := range []struct {
		text  string
		mtime time.Time
		err   string
		kept  string
	}{
		{"first", begun.Add(-2 * time.Second), "", "first"},
		{"second", begun.Add(time.Second), "changed while it was loaded", "first"},
		{"third", begun.Add(-time.Second), "", "third"},
		{"", begun.Add(-time.Second), "emptied after it was loaded", "third"},
	} {
		if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, step.mtime, step.mtime); err != nil {
			t.Fatal(err)
		}
		err := writeGood(dir, &m, []string{path, path}, begun)
		if step.err == "" && err != nil || step.err != "" && (err == nil || !strings.Contains(err.Error(), step.err)) {
			t.Errorf("%q: error %v, want %q", step.text, err, step.err)
		}
		g, err := openGood(filepath.Join(dir, goodName))
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.zip.Open(entryName(path))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		g.close()
		if err != nil || string(text) != step.kept {
			t.Errorf("the copy has %q, %v; want %q", text, err, step.kept)
		}
	}
}
