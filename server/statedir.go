package server

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
	stateName = "state.json"
	stateNext = stateName + ".new" // the next one while it is being written
)

// errStateTaken is returned if another process uses the directory.
var errStateTaken = errors.New("another server stores its state there")

// stateDir is the directory of a server's saved state. One goroutine uses it at a time.
type stateDir struct {
	path   string
	locked *os.File // the locked directory; nil: not locked
	disk   fileOps
}

func newStateDir(path string) *stateDir { return &stateDir{path: path, disk: realDisk()} }

// lock creates the directory if it is missing and locks it, once: two servers in one directory
// would overwrite each other's state. The kernel releases the lock when the process ends.
func (f *stateDir) lock() error {
	if f.locked != nil && f.stillOurs() {
		return nil
	}
	f.unlock()
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
func (f *stateDir) stillOurs() bool {
	held, err := f.locked.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.path)
	return err == nil && os.SameFile(held, there)
}

// unlock releases the directory.
func (f *stateDir) unlock() {
	if f.locked != nil {
		f.locked.Close()
		f.locked = nil
	}
}

// write replaces the state atomically, even if the machine crashes.
func (f *stateDir) write(file []byte) error {
	if err := f.lock(); err != nil {
		return err
	}
	return f.disk.replace(f.locked, f.path, file)
}

// read returns the saved state, or nil if there is none. It quarantines and logs a corrupt file,
// and never prevents a start.
func (f *stateDir) read(log *slog.Logger) (*savedState, *Quarantined) {
	path := filepath.Join(f.path, stateName)
	file, err := readBounded(path, maxStateSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var m *savedState
	var written time.Time
	if err == nil {
		m, written, err = decodeState(file)
	}
	if err != nil {
		return nil, f.quarantine(path, err, log)
	}
	log.Info("state restored", "file", path, "written", written, "verdicts", len(m.Verdicts), "overrides", len(m.Overrides))
	return m, nil
}

// quarantine renames a corrupt file and keeps it for inspection.
func (f *stateDir) quarantine(path string, why error, log *slog.Logger) *Quarantined {
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
