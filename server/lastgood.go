package server

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
	"meridian/zones"
)

// LastGood controls how the last valid configuration is saved in the state directory, and whether
// a start falls back to it if the current one is invalid.
type LastGood struct {
	Paths   []string        // the paths of the configuration: a copy of other paths is not used
	Folders func() []string // possible state directories if the configuration cannot be read
	Strict  bool            // save it, but do not fall back to it
	// Load loads a copy, as Daemon.Load does.
	Load func(*config.Copy, zones.Builder) (*zones.Snapshot, error)
}

// LastGoodStatus says that a copy is served because the configuration was invalid at start.
type LastGoodStatus struct {
	Kept   time.Time `json:"kept"`   // when the copy was made
	Error  string    `json:"error"`  // why the configuration is not served
	Errors []string  `json:"errors"` // the errors of the configuration, maxErrors at most
}

// maxErrors is the maximum number of configuration errors in the status.
const maxErrors = 100

// loadLastGood loads the last good configuration, if there is a copy, because the current one has
// an error. Without a copy it returns that error.
func (l *instance) loadLastGood(invalid error) (*zones.Snapshot, error) {
	var bind *BindError
	if l.LastGood == nil || l.LastGood.Strict || errors.As(invalid, &bind) {
		return nil, invalid
	}
	kept, folder := l.findLastGood()
	if kept == nil {
		return nil, invalid
	}
	copied, err := kept.extract(folder)
	if err != nil {
		kept.quarantine(folder, err, l.Logger)
		return nil, invalid
	}
	snapshot, err := l.LastGood.Load(copied, l.buildLastGood)
	if err != nil {
		if errors.As(err, &bind) {
			return nil, err
		}
		l.Logger.Error("the last good configuration is invalid too", "file", kept.path, "error", err)
		return nil, invalid
	}
	status := &LastGoodStatus{Kept: kept.manifest.Written, Error: invalid.Error(), Errors: []string{}}
	for _, e := range errorsIn(invalid) {
		if len(status.Errors) < maxErrors {
			status.Errors = append(status.Errors, e.Error())
		}
	}
	l.control.lastGood.Store(status)
	l.Logger.Error("the configuration is invalid; serving the last good one, fix the errors and reload",
		"error", invalid, "errors", status.Errors, "kept", status.Kept.Format(time.RFC3339), "file", kept.path)
	return snapshot, nil
}

// findLastGood searches the possible state directories for a copy of this configuration.
func (l *instance) findLastGood() (*goodFile, string) {
	for _, folder := range l.LastGood.Folders() {
		kept, err := openGood(filepath.Join(folder, goodName))
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			(&goodFile{path: filepath.Join(folder, goodName)}).quarantine(folder, err, l.Logger)
		case !slices.Equal(kept.manifest.Paths, absolute(l.LastGood.Paths)):
			l.Logger.Warn("last good configuration ignored: it belongs to another -c", "file", kept.path, "config", kept.manifest.Paths)
			kept.close()
		default:
			return kept, folder
		}
	}
	return nil, ""
}

// buildLastGood builds a copy. Files outside the copy, such as a geo database, are left out if
// they cannot be read: clients are then located less precisely.
func (l *instance) buildLastGood(cfg *config.Config) (*zones.Snapshot, []config.Error, error) {
	snapshot, warnings, err := l.bindAndBuild(cfg)
	left := false
	for _, e := range errorsIn(err) {
		var f config.Error
		if !errors.As(e, &f) {
			continue
		}
		switch f.Path {
		case "geo.database":
			cfg.Geo.Database = ""
		case "geo.asn":
			cfg.Geo.ASN = ""
		case "latency.file":
			cfg.Latency.File = ""
		default:
			continue
		}
		left = true
		l.Logger.Error("the last good configuration serves without a file that cannot be read", "key", f.Path, "error", f.What)
	}
	if !left {
		return snapshot, warnings, err
	}
	return l.bindAndBuild(cfg)
}

// errorsIn splits an error that wraps several; nil gives none.
func errorsIn(err error) []error {
	var several *multierror.Error
	if errors.As(err, &several) {
		return several.Errors
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, one := range joined.Unwrap() {
				all = append(all, errorsIn(one)...)
			}
			return all
		}
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// keepLastGood saves the configuration of a served snapshot, in the background because a disk may
// hang. Its load began at begun; a file that changed since then is not the one being served.
func (l *instance) keepLastGood(snapshot *zones.Snapshot, begun time.Time) {
	k := l.writer.Load()
	if l.LastGood == nil || k == nil || snapshot.Config.Root != "" {
		return
	}
	folder, before, done := k.Dir().Path(), l.lastGoodSaved, make(chan struct{})
	l.lastGoodSaved = done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		_, err := recovered(func() (struct{}, error) { return struct{}{}, l.writeLastGood(folder, snapshot, begun) })
		if err != nil {
			l.Logger.Error("cannot save the last good configuration; a start with an invalid one would fail", "folder", folder, "error", err)
		}
	}()
}

func (l *instance) writeLastGood(folder string, snapshot *zones.Snapshot, begun time.Time) error {
	copied, files, err := snapshot.Config.CopyOf()
	if err != nil {
		return err
	}
	files = append(files, snapshot.MasterFiles()...)
	m := goodManifest{
		File: goodKind, Version: goodVersion, Written: time.Now().UTC(), Paths: absolute(l.LastGood.Paths),
		Documents: copied.Files, Environment: copied.Environment,
	}
	return writeGood(folder, &m, files, begun)
}

// awaitLastGood waits at shutdown until the copy is written.
func (l *instance) awaitLastGood() {
	if l.lastGoodSaved != nil {
		l.waitOrLog(l.lastGoodSaved, "writing the last good configuration")
	}
}

// LastGood returns the status of the last good configuration if it is served in place of an
// invalid one, otherwise nil.
func (c *Control) LastGood() *LastGoodStatus { return c.lastGood.Load() }

// absolute makes paths absolute.
func absolute(paths []string) []string {
	all := make([]string, len(paths))
	for i, path := range paths {
		all[i] = path
		if abs, err := filepath.Abs(path); err == nil {
			all[i] = abs
		}
	}
	return all
}

// loadFirst loads the configuration, or the last good one if that is invalid.
func (l *instance) loadFirst() (*zones.Snapshot, error) {
	snapshot, err := l.Load(l.bindAndBuild)
	if err != nil {
		return l.loadLastGood(err)
	}
	return snapshot, nil
}
