package state

import (
	"os"
	"path/filepath"
)

// fileOps holds the system calls that replace a file, as functions so that a test can check their
// order and make each of them fail.
type fileOps struct {
	create func(path string) (*os.File, error) // for writing from its beginning
	write  func(*os.File, []byte) error
	sync   func(*os.File) error // of a file or directory: returns when it is on disk
	rename func(from, to string) error
	remove func(path string) error
}

func realDisk() fileOps {
	return fileOps{
		create: func(path string) (*os.File, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		},
		write:  func(f *os.File, data []byte) error { _, err := f.Write(data); return err },
		sync:   (*os.File).Sync,
		rename: os.Rename,
		remove: os.Remove,
	}
}

// replace makes data the state file in a directory, which is open at path. The content is on disk
// before it gets its name: otherwise a crash could leave half of it under that name. The
// directory is synced afterwards: otherwise a crash could undo a rename that was already
// reported.
func (d *fileOps) replace(folder *os.File, path string, data []byte) error {
	next := filepath.Join(path, nextName)
	if err := d.writeSynced(next, data); err != nil {
		return err
	}
	if err := d.rename(next, filepath.Join(path, fileName)); err != nil {
		return err
	}
	return d.sync(folder)
}

// writeSynced writes a file and returns when it is on disk; on an error it removes the file.
func (d *fileOps) writeSynced(path string, data []byte) error {
	w, err := d.create(path)
	if err != nil {
		return err
	}
	err = d.write(w, data)
	if err == nil {
		err = d.sync(w)
	}
	if closing := w.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = d.remove(path) // free the space on a full disk
	}
	return err
}
