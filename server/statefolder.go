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

// stateFolder is where one server's state outlives it. One goroutine uses it at a time.
type stateFolder struct {
	path string
	held *os.File // the folder, locked as long as it is open; nil: not yet
	disk disk
}

func newStateFolder(path string) *stateFolder { return &stateFolder{path: path, disk: realDisk()} }

// hold makes the folder where it is missing and locks it, unless that is done:
// two servers in one folder would each undo what the other keeps. The kernel
// lets go of the lock when the process ends, however it ends.
func (f *stateFolder) hold() error {
	if f.held != nil && f.stands() {
		return nil
	}
	f.release()
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
	f.held = folder
	return nil
}

// stands reports whether the folder that is held is still the one at path: it may
// have been renamed or removed, and another server hold what is there now.
func (f *stateFolder) stands() bool {
	held, err := f.held.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.path)
	return err == nil && os.SameFile(held, there)
}

// release lets others have the folder.
func (f *stateFolder) release() {
	if f.held != nil {
		f.held.Close()
		f.held = nil
	}
}

// write replaces the state, whole or not at all, whenever the machine stops.
func (f *stateFolder) write(file []byte) error {
	if err := f.hold(); err != nil {
		return err
	}
	return f.disk.replace(f.held, f.path, file)
}

// read is the state that was kept; nil where there is none. A file that is no
// state is set aside, with a line that says so: never is a start refused for it.
func (f *stateFolder) read(log *slog.Logger) (*memory, *SetAside) {
	path := filepath.Join(f.path, stateName)
	file, err := readBounded(path, maxStateSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var m *memory
	var written time.Time
	if err == nil {
		m, written, err = decodeState(file)
	}
	if err != nil {
		return nil, f.setAside(path, err, log)
	}
	log.Info("state remembered", "file", path, "written", written, "verdicts", len(m.Verdicts), "overrides", len(m.Overrides))
	return m, nil
}

// setAside renames what cannot be read, so that somebody can look at it.
func (f *stateFolder) setAside(path string, why error, log *slog.Logger) *SetAside {
	now := time.Now()
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		log.Error("state cannot be read and not be set aside; begins without", "file", path, "error", why, "aside", err)
		return &SetAside{now, path, why.Error()}
	}
	log.Error("state cannot be read; set aside, begins without", "file", path, "error", why, "aside", aside)
	return &SetAside{now, aside, why.Error()}
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
