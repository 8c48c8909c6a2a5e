package daemon

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"meridian/config"
	"meridian/dnsname"
)

// The last good configuration is one zip file in the state directory, so that it is replaced as a
// whole and any tool can read it. Its first entry is the manifest; the others are the files,
// uncompressed, under their absolute paths without the leading slash. The format has a checksum
// for each entry.
const (
	goodName      = "last-good.zip"
	goodNext      = goodName + ".new" // the next one while it is being written
	goodFolder    = "last-good"       // a start extracts the files into this directory
	goodEntryName = "manifest.json"
	goodKind      = "meridian last good configuration"
	goodVersion   = 1
)

// maxGoodSize limits a copy, in bytes of all its files.
const maxGoodSize = 4 << 30

// goodManifest describes the content of a copy.
type goodManifest struct {
	File        string            `json:"file"`
	Version     int               `json:"version"`
	Written     time.Time         `json:"written"`
	Paths       []string          `json:"paths"`       // of -c, absolute
	Documents   []string          `json:"documents"`   // absolute, in reading order
	Environment map[string]string `json:"environment"` // the environment variables used

	// What was served, for a start that would remove most of it; 0 in a copy without these fields.
	Zones    int `json:"zones"`
	Names    int `json:"names"`
	Balanced int `json:"balanced"`

	Members map[dnsname.Name]int `json:"members"` // zones in each catalog
}

// goodFile is an open copy.
type goodFile struct {
	path     string
	zip      *zip.ReadCloser
	manifest goodManifest
}

// openGood opens a copy and reads its manifest.
func openGood(path string) (*goodFile, error) {
	r, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	g := &goodFile{path: path, zip: r}
	if err := g.readManifest(); err != nil {
		r.Close()
		return nil, err
	}
	return g, nil
}

func (g *goodFile) readManifest() error {
	r, err := g.zip.Open(goodEntryName)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 16<<20))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &g.manifest); err != nil {
		return err
	}
	if m := &g.manifest; m.File != goodKind || m.Version != goodVersion {
		return fmt.Errorf("it is %q of version %d, and this program reads version %d", m.File, m.Version, goodVersion)
	}
	return nil
}

func (g *goodFile) close() { g.zip.Close() }

// extract writes the files of a copy below folder, where they stay while they are served. It
// closes the copy.
func (g *goodFile) extract(folder string) (*config.Copy, error) {
	defer g.close()
	root, err := filepath.Abs(filepath.Join(folder, goodFolder))
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(root); err != nil {
		return nil, err
	}
	size := uint64(0)
	for _, f := range g.zip.File {
		if size += f.UncompressedSize64; size > maxGoodSize || !filepath.IsLocal(f.Name) {
			return nil, fmt.Errorf("entry %q is not one of a copy", f.Name)
		}
		if err := extractEntry(f, filepath.Join(root, f.Name)); err != nil {
			return nil, err
		}
	}
	return &config.Copy{Name: strings.Join(g.manifest.Paths, ", "), Root: root, Files: g.manifest.Documents, Environment: g.manifest.Environment}, nil
}

// extractEntry writes an entry with the modification time of its file, because serial numbers
// depend on it. The reader verifies its checksum.
func extractEntry(f *zip.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.LimitReader(r, maxGoodSize))
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("entry %q: %w", f.Name, err)
	}
	return os.Chtimes(path, f.Modified, f.Modified)
}

// quarantine renames an unreadable copy and keeps it for inspection.
func (g *goodFile) quarantine(folder string, why error, log *slog.Logger) {
	aside := g.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(g.path, aside); err != nil {
		aside = err.Error()
	}
	log.Error("last good configuration corrupt, quarantined", "file", g.path, "error", why, "quarantined", aside, "folder", folder)
}

// goodEntry is a file to be copied.
type goodEntry struct {
	path string
	info os.FileInfo
	crc  uint32
}

// writeGood replaces the copy in folder, unless it is identical. If a file changed after begun,
// it is not the loaded one, and the old copy is kept. A file that is empty by now, but has no content that could be loaded, has
// changed as well: ext4 shows the size of a file that its writer empties before it shows the new time.
func writeGood(folder string, m *goodManifest, files []string, begun time.Time) error {
	slices.Sort(files)
	var entries []goodEntry
	for _, path := range slices.Compact(files) {
		e, err := examine(path, begun)
		if err != nil {
			return err
		}
		if e.info.Size() == 0 && (len(m.Documents) == 1 || !slices.Contains(m.Documents, path)) {
			return fmt.Errorf("%s was emptied after it was loaded", path)
		}
		entries = append(entries, e)
	}
	path := filepath.Join(folder, goodName)
	if old, err := openGood(path); err == nil {
		same := old.holds(m, entries)
		old.close()
		if same {
			return nil
		}
	}
	next := filepath.Join(folder, goodNext)
	if err := writeZip(next, m, entries); err != nil {
		_ = os.Remove(next) // free the space on a full disk
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// examine reads a file and computes its checksum.
func examine(path string, begun time.Time) (goodEntry, error) {
	r, err := os.Open(path)
	if err != nil {
		return goodEntry{}, err
	}
	defer r.Close()
	info, err := r.Stat()
	switch {
	case err != nil:
		return goodEntry{}, err
	case !info.Mode().IsRegular():
		return goodEntry{}, fmt.Errorf("%s is not a regular file", path)
	case info.ModTime().After(begun):
		return goodEntry{}, fmt.Errorf("%s changed while it was loaded", path)
	}
	sum := crc32.NewIEEE()
	if _, err := io.Copy(sum, io.LimitReader(r, maxGoodSize)); err != nil {
		return goodEntry{}, err
	}
	return goodEntry{path, info, sum.Sum32()}, nil
}

// holds reports whether a copy equals the one that m and entries would make.
func (g *goodFile) holds(m *goodManifest, entries []goodEntry) bool {
	have, want := g.manifest, *m
	have.Written, want.Written = time.Time{}, time.Time{}
	if len(have.Environment) == 0 && len(want.Environment) == 0 {
		have.Environment, want.Environment = nil, nil
	}
	if !reflect.DeepEqual(have, want) || len(g.zip.File) != len(entries)+1 {
		return false
	}
	for i, e := range entries {
		f := g.zip.File[i+1]
		if f.Name != entryName(e.path) || f.CRC32 != e.crc || f.UncompressedSize64 != uint64(e.info.Size()) || !f.Modified.Equal(e.info.ModTime().Truncate(time.Second)) {
			return false
		}
	}
	return true
}

// entryName returns the name of a file in a copy.
func entryName(path string) string { return strings.TrimPrefix(filepath.ToSlash(path), "/") }

// writeZip writes a copy and returns when it is on disk.
func writeZip(path string, m *goodManifest, entries []goodEntry) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = addEntry(z, goodEntryName, m.Written, strings.NewReader(string(text)+"\n"))
	}
	for i := range entries {
		if err == nil {
			err = entries[i].addTo(z)
		}
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = f.Sync()
	}
	for i := range entries {
		if err == nil {
			err = entries[i].verify()
		}
	}
	return errors.Join(err, f.Close())
}

func (e *goodEntry) addTo(z *zip.Writer) error {
	r, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := crc32.NewIEEE()
	if err := addEntry(z, entryName(e.path), e.info.ModTime(), io.TeeReader(io.LimitReader(r, maxGoodSize), sum)); err != nil {
		return err
	}
	if sum.Sum32() != e.crc {
		return fmt.Errorf("%s changed while it was copied", e.path)
	}
	return nil
}

// verify returns an error if the file is not as it was when it was examined: a program may have written it between the
// reads of its time, of its checksum and of its content.
func (e *goodEntry) verify() error {
	now, err := os.Stat(e.path)
	if err != nil {
		return err
	}
	if now.Size() != e.info.Size() || !now.ModTime().Equal(e.info.ModTime()) {
		return fmt.Errorf("%s changed while it was copied", e.path)
	}
	return nil
}

func addEntry(z *zip.Writer, name string, modified time.Time, content io.Reader) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: modified.UTC()})
	if err == nil {
		_, err = io.Copy(w, content)
	}
	return err
}

// syncFolder returns when the names in a directory are on disk.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
