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

// The files of a state folder.
const (
	stateName = "state.json"
	stateNext = stateName + ".new" // the next one while it is written
)

// errStateTaken is of a folder that another process keeps its state in.
var errStateTaken = errors.New("another server keeps its state there")

// stateDir is where one server's state outlives it. One goroutine uses it at a time.
type stateDir struct {
	path   string
	locked *os.File // the folder, locked as long as it is open; nil: not yet
	disk   fileOps
}

func newStateDir(path string) *stateDir { return &stateDir{path: path, disk: realDisk()} }

// lock makes the folder where it is missing and locks it, unless that is done:
// two servers in one folder would each undo what the other keeps. The kernel
// lets go of the lock when the process ends, however it ends.
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

// stillOurs reports whether the folder that is held is still the one at path: it may
// have been renamed or removed, and another server hold what is there now.
func (f *stateDir) stillOurs() bool {
	held, err := f.locked.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.path)
	return err == nil && os.SameFile(held, there)
}

// unlock lets others have the folder.
func (f *stateDir) unlock() {
	if f.locked != nil {
		f.locked.Close()
		f.locked = nil
	}
}

// write replaces the state, whole or not at all, whenever the machine stops.
func (f *stateDir) write(file []byte) error {
	if err := f.lock(); err != nil {
		return err
	}
	return f.disk.replace(f.locked, f.path, file)
}

// read is the state that was kept; nil where there is none. A file that is no
// state is set aside, with a line that says so: never is a start refused for it.
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
	log.Info("state remembered", "file", path, "written", written, "verdicts", len(m.Verdicts), "overrides", len(m.Overrides))
	return m, nil
}

// quarantine renames what cannot be read, so that somebody can look at it.
func (f *stateDir) quarantine(path string, why error, log *slog.Logger) *Quarantined {
	now := time.Now()
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		log.Error("state cannot be read and not be set aside; begins without", "file", path, "error", why, "aside", err)
		return &Quarantined{now, path, why.Error()}
	}
	log.Error("state cannot be read; set aside, begins without", "file", path, "error", why, "aside", aside)
	return &Quarantined{now, aside, why.Error()}
}

// readBounded reads a regular file of at most limit octets; whatever else is there,
// such as a pipe or a device, might never end.
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
