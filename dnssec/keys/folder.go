package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"meridian/dnsname"
	"meridian/errtext"
)

// maxFile is the longest file of a key, in octets; those of BIND have less than 1,000.
const maxFile = 64 << 10

// maxKeys is the most keys of a zone with DNSKEY records at one time: more make answers that resolvers cannot get.
const maxKeys = 16

// Folder is the folder of key files, as it was when Open read it. It is for one goroutine.
type Folder struct {
	path  string
	owner int                                   // user of the folder; -1: unknown
	found map[string]map[string]map[string]bool // encoded zone, path without ending, endings

	unlock func() // nil: not locked
}

// Open reads which files are in the folder and in the folders in it. A folder that does not exist is empty.
func Open(path string) (*Folder, error) {
	f := &Folder{path: path, owner: -1, found: map[string]map[string]map[string]bool{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, errtext.CannotRead(err))
	}
	if f.owner, err = checkFolder(path, info); err != nil {
		return nil, err
	}
	below, err := f.list(path)
	if err != nil {
		return nil, err
	}
	for _, folder := range below {
		if _, err := f.list(folder); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// checkFolder refuses what others could replace keys in.
func checkFolder(path string, info fs.FileInfo) (owner int, err error) {
	switch {
	case !info.IsDir():
		return 0, fmt.Errorf("%s is not a folder", path)
	case info.Mode().Perm()&0o002 != 0:
		return 0, fmt.Errorf("%s can be written by every user: run chmod 700 %s", path, path)
	}
	return ownerOf(info), nil
}

// list notes the key files in one folder and returns the folders in it.
func (f *Folder) list(path string) (below []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, errtext.CannotRead(err))
	}
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			below = append(below, name)
		}
		zone, _, _, ending, ok := parseName(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		if f.found[zone] == nil {
			f.found[zone] = map[string]map[string]bool{}
		}
		base := strings.TrimSuffix(name, ending)
		if f.found[zone][base] == nil {
			f.found[zone][base] = map[string]bool{}
		}
		f.found[zone][base][ending] = true
	}
	return below, nil
}

// Keys reads the keys of a zone, in the order of their tags. An error names the file.
func (f *Folder) Keys(zone dnsname.Name) ([]*Key, error) {
	files := f.found[encodeName(zone)]
	var all []*Key
	for _, base := range slices.Sorted(maps.Keys(files)) {
		k, err := f.read(base, files[base], zone)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(other *Key) bool { return other.Tag == k.Tag && other.Algorithm == k.Algorithm }); i >= 0 {
			return nil, fmt.Errorf("%s and %s are the same key: remove one", all[i].File, k.File)
		}
		all = append(all, k)
	}
	slices.SortFunc(all, compare)
	return all, nil
}

// compare orders keys by tag and algorithm, which no two keys of a zone share.
func compare(a, b *Key) int {
	if a.Tag != b.Tag {
		return int(a.Tag) - int(b.Tag)
	}
	return int(a.Algorithm) - int(b.Algorithm)
}

// read reads one key.
func (f *Folder) read(base string, endings map[string]bool, zone dnsname.Name) (*Key, error) {
	for _, ending := range []string{publicFile, privateFile} {
		if !endings[ending] {
			return nil, fmt.Errorf("%s has no %s file beside it: copy it too, or remove the key", base, ending)
		}
	}
	var t texts
	for ending, to := range map[string]*string{publicFile: &t.public, privateFile: &t.private, stateFile: &t.state} {
		if !endings[ending] {
			continue
		}
		text, err := f.readFile(base+ending, ending == privateFile)
		if err != nil {
			return nil, fmt.Errorf("%s%s %w", base, ending, err)
		}
		*to = text
	}
	k, err := parse(t)
	if err == nil {
		err = k.fits(filepath.Base(base), zone)
	}
	if err != nil {
		ending := publicFile
		if e, ok := errors.AsType[*fileError](err); ok {
			ending = e.ending
		}
		return nil, fmt.Errorf("%s%s: %w", base, ending, err)
	}
	k.File = base
	return k, nil
}

// fits checks that the name of the file is that of the key in it.
func (k *Key) fits(base string, zone dnsname.Name) error {
	if k.Zone != zone && !strings.HasPrefix(strings.ToLower(base), "k"+encodeName(zone)+"+") {
		return fmt.Errorf("a key of zone %s, not of %s", k.Zone, zone)
	}
	if k.Zone != zone {
		return fmt.Errorf("a key of zone %s, and the name of the file says %s", k.Zone, zone)
	}
	if want := baseName(zone, k.Algorithm, k.Tag); !strings.EqualFold(want, base) {
		return fmt.Errorf("a key with algorithm %d and tag %d: its file should be named %s", k.Algorithm, k.Tag, want)
	}
	return nil
}

// readFile reads a file. A secret one must be readable by its owner only.
func (f *Folder) readFile(path string, secret bool) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not make it wait for a writer
	if err != nil {
		return "", errtext.CannotRead(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", errtext.CannotRead(err)
	}
	if err := f.checkFile(info, secret); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return "", errtext.CannotRead(err)
	case len(text) > maxFile:
		return "", errors.New("is longer than 64 KiB: it is not a file of a key")
	}
	return string(text), nil
}

func (f *Folder) checkFile(info fs.FileInfo, secret bool) error {
	mode, owner := info.Mode().Perm(), ownerOf(info)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	case secret && mode&0o077 != 0:
		return fmt.Errorf("has mode %04o, so others can read the private key: run chmod 600", mode)
	case owner >= 0 && owner != 0 && owner != os.Geteuid() && owner != f.owner:
		return fmt.Errorf("belongs to user %d, want the user of this process or of the folder: run chown", owner)
	}
	return nil
}
