package secondary

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"meridian/zones"
)

// write replaces the file of a copy: it is on disk before it has its name. Without a state directory it does nothing.
func write(state string, c *zones.Copy) error {
	if state == "" {
		return nil
	}
	path := zones.CopyFile(state, c.Zone)
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	next, err := writeSynced(path, c.Encode())
	if err == nil {
		err = os.Chtimes(next, c.Confirmed, c.Confirmed)
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(next))) // free the space of a full disk
	}
	return syncFolder(folder)
}

// writeSynced writes a file beside path and returns its name. During an upgrade two processes may write copies of one zone.
func writeSynced(path string, content []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// unfinishedAge is the age of a file of an unfinished write that is removed: no process writes for that long.
const unfinishedAge = time.Hour

// removeUnfinished removes what a process that was killed has left.
func removeUnfinished(state string, now time.Time) {
	if state == "" {
		return
	}
	left, _ := filepath.Glob(filepath.Join(state, zones.CopyFolder, "*.new-*")) // the pattern is valid
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > unfinishedAge {
			_ = os.Remove(path) // it only takes space
		}
	}
}

// touch notes in the file of a copy when a primary confirmed it. A file that is not there is written.
func touch(state string, c *zones.Copy) error {
	if state == "" {
		return nil
	}
	err := os.Chtimes(zones.CopyFile(state, c.Zone), c.Confirmed, c.Confirmed)
	if errors.Is(err, os.ErrNotExist) {
		return write(state, c)
	}
	return err
}
