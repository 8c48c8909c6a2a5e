package server

import (
	"os"
	"path/filepath"
)

// fileOps is what replacing a file asks of the operating system, in functions so that a
// test sees in which order, and has each of them fail.
type fileOps struct {
	create func(path string) (*os.File, error) // to be written from its beginning
	write  func(*os.File, []byte) error
	sync   func(*os.File) error // of a file or folder: returns when it is on the disk
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

// replace makes data the state file in a folder, which is open at path. A name is
// given to it only when its content is on the disk, or a crash could leave the
// name to half of it; and the folder is synced after, or a crash could take the name
// back that whoever waits has been told of.
func (d *fileOps) replace(folder *os.File, path string, data []byte) error {
	next := filepath.Join(path, stateNext)
	if err := d.writeSynced(next, data); err != nil {
		return err
	}
	if err := d.rename(next, filepath.Join(path, stateName)); err != nil {
		return err
	}
	return d.sync(folder)
}

// writeSynced writes a file that is on the disk when it returns, or not there.
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
		_ = d.remove(path) // give a full disk its room back
	}
	return err
}
