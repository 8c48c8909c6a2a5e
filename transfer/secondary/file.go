package secondary

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"meridian/dnsname"
	"meridian/zones"
)

// write replaces the file of a copy: it is on disk before it has its name. Without a state directory it does nothing.
func write(state string, c *zones.Copy) error {
	if state == "" {
		return nil
	}
	return replace(zones.CopyFile(state, c.Zone), c.Encode(), func(next string) error { return os.Chtimes(next, c.Confirmed, c.Confirmed) })
}

// Replace writes a file: it is on disk before it has its name.
func Replace(path string, content []byte) error {
	return replace(path, content, func(string) error { return nil })
}

// replace is Replace that calls prepare with the name that the file has before.
func replace(path string, content []byte, prepare func(next string) error) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	next, err := writeSynced(path, content)
	if err == nil {
		err = prepare(next)
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(next))) // free the space of a full disk
	}
	return syncFolder(folder)
}

// remove removes the file of a copy. Without a state directory, or without a file, it does nothing.
func remove(state string, zone dnsname.Name) error {
	if state == "" {
		return nil
	}
	return ignoreMissing(os.Remove(zones.CopyFile(state, zone)))
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
	folder := filepath.Join(state, zones.CopyFolder)
	left, _ := os.ReadDir(folder) // nothing is left in a folder that there is not
	for _, entry := range left {
		if !strings.Contains(entry.Name(), ".new-") {
			continue
		}
		if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) > unfinishedAge {
			_ = os.Remove(filepath.Join(folder, entry.Name())) // it only takes space
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
