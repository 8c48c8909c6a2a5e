//go:build unix

package keys

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"meridian/dnssec"
)

// outside writes keys to a folder from which they are imported.
func outside(t *testing.T, n int) (keys []*Key, files []string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "outside")
	for range n {
		k := write(t, folder, 257, dnssec.ED25519)
		keys, files = append(keys, k), append(files, k.File)
	}
	return keys, files
}

// filesBelow returns the names of all files below a folder.
func filesBelow(t *testing.T, folder string) (names []string) {
	t.Helper()
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestImportCopiesKeysByAnyOfTheirNames(t *testing.T) {
	keys, files := outside(t, 4)
	for i, ending := range []string{"", publicFile, privateFile, stateFile} {
		files[i] += ending
	}
	folder := filepath.Join(t.TempDir(), "keys")
	imported, err := Import(folder, zoneName, files)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(keys, compare)
	read, err := open(t, folder).Keys(zoneName)
	if err != nil || len(read) != len(keys) || len(imported) != len(keys) {
		t.Fatalf("%d of %d keys, %v", len(read), len(imported), err)
	}
	for i, k := range read {
		if k.Tag != keys[i].Tag || k.Times != keys[i].Times || filepath.Dir(k.File) != filepath.Join(folder, "example.com") {
			t.Errorf("read %+v, want %+v", k, keys[i])
		}
	}
}

// An import that fails leaves no key, whatever failed: it can be repeated after the error is corrected.
func TestFailedImportCopiesNoKey(t *testing.T) {
	keys, files := outside(t, 3)
	for name, c := range map[string]struct {
		breaks func(t *testing.T, folder string) []string // returns the files to import
		want   string
		left   int // files
	}{
		"one is missing": {func(*testing.T, string) []string {
			return append(slices.Clone(files), filepath.Join(filepath.Dir(files[0]), "Kexample.com.+015+00000"))
		}, "has no .key file beside it", 0},
		"one is there already": {func(t *testing.T, folder string) []string {
			if _, err := Import(folder, zoneName, files[2:]); err != nil {
				t.Fatal(err)
			}
			return files
		}, fmt.Sprintf("key %d exists already as ", keys[2].Tag), 3},
		"one is listed twice": {func(*testing.T, string) []string { return append(slices.Clone(files), files[0]+privateFile) }, "exists already as ", 0},
		"the last cannot be written": {func(t *testing.T, folder string) []string {
			blocked := filepath.Join(folder, "example.com", baseName(zoneName, keys[2].Algorithm, keys[2].Tag)+privateFile+next)
			if err := os.MkdirAll(filepath.Join(blocked, "full"), 0o700); err != nil {
				t.Fatal(err)
			}
			return files
		}, "cannot be written", 0},
		"the last cannot be replaced": {func(t *testing.T, folder string) []string {
			blocked := filepath.Join(folder, "example.com", baseName(zoneName, keys[2].Algorithm, keys[2].Tag)+stateFile)
			if err := os.MkdirAll(filepath.Join(blocked, "full"), 0o700); err != nil {
				t.Fatal(err)
			}
			return files
		}, "cannot be replaced", 0},
		"the folder is a file": {func(t *testing.T, folder string) []string {
			if err := os.WriteFile(folder, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return files
		}, folderIsFile, 1},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "keys")
			from := c.breaks(t, folder)
			imported, err := Import(folder, zoneName, from)
			if err == nil || !strings.Contains(err.Error(), c.want) || imported != nil {
				t.Errorf("imported %v, error %v, want %s", imported, err, c.want)
			}
			if left := filesBelow(t, folder); len(left) != c.left {
				t.Errorf("left are %v", left)
			}
		})
	}
}

const folderIsFile = "cannot be made: not a directory"

// A pipe in place of a key file is an error; reading it would wait until something writes.
func TestPipeIsNoKeyFile(t *testing.T) {
	for _, ending := range []string{publicFile, privateFile, stateFile} {
		path := t.TempDir()
		k := write(t, path, 257, dnssec.ED25519)
		if err := os.Remove(k.File + ending); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(k.File+ending, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, path).Keys(zoneName); err == nil || err.Error() != k.File+ending+" is not a regular file" {
			t.Errorf("%s: error %v", ending, err)
		}
	}
}

// Programs that update one folder at the same time make one key, not one each.
func TestUpdatesOfOneFolderWaitForEachOther(t *testing.T) {
	r := request(t)
	var all sync.WaitGroup
	tags := make([]uint16, 4)
	for i := range tags {
		all.Go(func() {
			result, err := Update(r)
			if err != nil || len(result.Keys) != 1 {
				t.Errorf("%d keys, %v", len(result.Keys), err)
				return
			}
			tags[i] = result.Keys[0].Tag
		})
	}
	all.Wait()
	if len(slices.Compact(slices.Sorted(slices.Values(tags)))) != 1 {
		t.Errorf("the programs have the keys %v", tags)
	}
	if keys, err := open(t, r.Folder).Keys(zoneName); err != nil || len(keys) != 1 {
		t.Errorf("%d keys in the folder, %v", len(keys), err)
	}
}

func TestStateOfAKeyFollowsItsTimes(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	for want, times := range map[string]Times{
		"generated":              {Created: before, Publish: after, Activate: after},
		"published":              {Publish: before, Activate: after},
		"active":                 {Publish: before, Activate: before},
		"active ":                {Publish: now, Activate: now, Inactive: after, Delete: after},
		"retired":                {Publish: before, Activate: before, Inactive: before, Delete: after},
		"retired ":               {Publish: before, Activate: before, Inactive: now},
		"removed":                {Publish: before, Activate: before, Inactive: before, Delete: before},
		"removed ":               {Publish: before, Activate: before, Inactive: before, Delete: now},
		"signing, not published": {Publish: after, Activate: before},
	} {
		if got := keyState(&Key{Times: times}, now); got != strings.TrimSpace(want) {
			t.Errorf("%s, want %s: %+v", got, want, times)
		}
	}
	for want, k := range map[string]Key{
		"seen":    {Times: Times{DSPublish: before}},
		"seen ":   {Times: Times{DSPublish: before, DSRemoved: after}},
		"absent":  {Times: Times{DSRemoved: before}},
		"unknown": {},
	} {
		if got := DSState(&k); got != strings.TrimSpace(want) {
			t.Errorf("the DS is %s, want %s", got, want)
		}
	}
}
