package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"meridian/errtext"
)

// Write writes the files of a key: in place, or for a new key in the folder of its zone. All are on disk before the
// first gets its name, so a full disk leaves the old files as they were.
func (f *Folder) Write(k *Key) error {
	if k.File == "" {
		folder := filepath.Join(f.path, folderName(k.Zone))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("%s cannot be made: %w", folder, errtext.TrimPath(err))
		}
		k.File = filepath.Join(folder, baseName(k.Zone, k.Algorithm, k.Tag))
	}
	t, err := k.format()
	if err != nil {
		return err
	}
	return replaceAll([]replacement{
		{k.File + stateFile, t.state, 0o600},
		{k.File + privateFile, t.private, 0o600},
		{k.File + publicFile, t.public, 0o644},
	})
}

// remove removes the files of a key that is not in use. What cannot be removed stays.
func (k *Key) remove() {
	for _, ending := range []string{publicFile, privateFile, stateFile} {
		_ = os.Remove(k.File + ending)
	}
}

// replacement is a file that is to be replaced.
type replacement struct {
	path, text string
	mode       os.FileMode
}

// next is the ending of a file that is being written.
const next = ".new"

// replaceAll replaces files of one folder: each one atomically, and none before all are on disk.
func replaceAll(files []replacement) error {
	for i, r := range files {
		if err := writeSynced(r.path+next, r.text, r.mode); err != nil {
			removeNext(files[:i+1])
			return fmt.Errorf("%s cannot be written: %w", r.path, errtext.TrimPath(err))
		}
	}
	for i, r := range files {
		if err := os.Rename(r.path+next, r.path); err != nil {
			removeNext(files[i:])
			return fmt.Errorf("%s cannot be replaced: %w", r.path, err)
		}
	}
	return syncFolder(filepath.Dir(files[0].path))
}

// removeNext removes files that will not get their name.
func removeNext(files []replacement) {
	for _, r := range files {
		_ = os.Remove(r.path + next)
	}
}

// writeSynced writes a file and returns when it is on disk.
func writeSynced(path, text string, mode os.FileMode) error {
	_ = os.Remove(path) // one that a crash has left may have another mode
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncFolder returns when the names in a folder are on disk.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
