package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"meridian/config"
)

// stateWarnings tries whether the folder of the state can be written to, or made. It
// is a warning, since who checks may be another user than who serves.
func stateWarnings(cfg *config.Config) []config.Error {
	if cfg.State == "" {
		return nil
	}
	if err := tryFolder(cfg.State); err != nil {
		return []config.Error{cfg.ErrorAt(cfg.StatePos, "state", "this user cannot keep a state in "+cfg.State+": "+err.Error(),
			"name a folder that the server can make or write to")}
	}
	return nil
}

// tryFolder makes and removes a file in a folder; where there is no such folder, a
// folder in what there is of its path. A folder that cannot be read is no obstacle.
func tryFolder(path string) error {
	file, err := os.CreateTemp(path, "check-")
	if err == nil {
		return errors.Join(file.Close(), os.Remove(file.Name()))
	}
	above := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || above == path {
		return plainly(err)
	}
	if _, err := os.Stat(path); err == nil { // it is there, and nothing can be made in it
		return errors.New("nothing can be created there")
	}
	return tryParent(above)
}

// tryParent is tryFolder for a folder that others are to be made in.
func tryParent(path string) error {
	made, err := os.MkdirTemp(path, "check-")
	if err == nil {
		return os.Remove(made)
	}
	above := filepath.Dir(path)
	if _, missing := os.Stat(path); errors.Is(missing, fs.ErrNotExist) && above != path {
		return tryParent(above)
	}
	return errors.New("it is not there, and nothing can be created in " + path + ": " + plainly(err).Error())
}

// plainly is an error of a file without the file, whose name we made up.
func plainly(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
