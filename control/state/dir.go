package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// The files of a state directory.
const (
	fileName = "state.json"
	nextName = fileName + ".new" // the next one while it is being written
)

// ErrTaken is returned if another process uses the directory.
var ErrTaken = errors.New("another server stores its state there")

// Dir is the directory of a server's saved state. One goroutine uses it at a time.
type Dir struct {
	path   string
	locked *os.File // the locked directory; nil: not locked
	disk   fileOps
}

// NewDir returns the directory at path, which need not exist yet.
func NewDir(path string) *Dir { return &Dir{path: path, disk: realDisk()} }

// Path returns the path of the directory.
func (f *Dir) Path() string { return f.path }

// File returns the path of the state file.
func (f *Dir) File() string { return filepath.Join(f.path, fileName) }

// Lock creates the directory if it is missing and locks it, once: two servers in one directory
// would overwrite each other's state. The kernel releases the lock when the process ends.
func (f *Dir) Lock() error {
	if f.locked != nil && f.stillOurs() {
		return nil
	}
	f.Unlock()
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return err
	}
	folder, err := os.Open(f.path)
	if err != nil {
		return err
	}
	if err := lockFile(folder); err != nil {
		folder.Close()
		return err
	}
	f.locked = folder
	return nil
}

// stillOurs reports whether the locked directory is still the one at path: it may have been
// renamed or removed, and another server may have locked the new one.
func (f *Dir) stillOurs() bool {
	held, err := f.locked.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.path)
	return err == nil && os.SameFile(held, there)
}

// Unlock releases the directory.
func (f *Dir) Unlock() {
	if f.locked != nil {
		unlockFile(f.locked)
		f.locked.Close()
		f.locked = nil
	}
}

// Write replaces the content atomically, even if the machine crashes.
func (f *Dir) Write(content []byte) error {
	text, err := encode(content, time.Now())
	if err != nil {
		return err
	}
	if err := f.Lock(); err != nil {
		return err
	}
	return f.disk.replace(f.locked, f.path, text)
}

// Read passes the saved content to use and returns when it was written, or the zero time if there
// is none. A corrupt file, or one that use returns an error for, is quarantined and logged; it
// never prevents a start.
func (f *Dir) Read(use func(content []byte) error, log *slog.Logger) (written time.Time, corrupt *Quarantined) {
	path := f.File()
	text, err := readBounded(path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	var content []byte
	if err == nil {
		content, written, err = decode(text)
	}
	if err == nil {
		err = use(content)
	}
	if err != nil {
		return time.Time{}, f.quarantine(path, err, log)
	}
	return written, nil
}

// Quarantined is a state file that was corrupt at start.
type Quarantined struct {
	At    time.Time `json:"at"`
	File  string    `json:"file"`  // its current path
	Error string    `json:"error"` // the reason
}

// quarantine renames a corrupt file and keeps it for inspection.
func (f *Dir) quarantine(path string, why error, log *slog.Logger) *Quarantined {
	now := time.Now()
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		log.Error("state file corrupt, cannot quarantine it; starting empty, overrides lost", "file", path, "error", why, "quarantine_error", err)
		return &Quarantined{now, path, why.Error()}
	}
	log.Error("state file corrupt, quarantined; starting empty, overrides lost", "file", path, "error", why, "quarantined", aside)
	return &Quarantined{now, aside, why.Error()}
}

// readBounded reads a regular file of at most limit octets. Reading anything else, such as a pipe
// or a device, might never end.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is not a regular file but %s", info.Mode().Type())
	case info.Size() > limit:
		return nil, fmt.Errorf("it is longer than %d bytes", limit)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return b.Bytes(), err
}
