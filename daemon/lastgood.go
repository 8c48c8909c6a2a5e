package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
	"meridian/control"
	"meridian/snapshot"
)

// LastGood controls how the last valid configuration is saved in the state directory, and whether
// a start uses it if the current one is invalid.
type LastGood struct {
	Paths   []string        // the paths of the configuration: a copy of other paths is not used
	Folders func() []string // possible state directories if the configuration cannot be read
	Strict  bool            // save it, but do not fall back to it
	// AllowRemoval starts with a configuration even if that removes most of what the copy served.
	AllowRemoval bool
	// Load loads a copy, as Daemon.Load does.
	Load func(*config.Copy, snapshot.Builder) (*snapshot.Snapshot, error)
}

// maxErrors is the maximum number of configuration errors in the status.
const maxErrors = 100

// loadLastGood loads the last good configuration, if one of the state directories in folders has
// a copy, because the current one has an error. Without a copy it returns that error.
func (l *instance) loadLastGood(invalid error, folders []string) (*snapshot.Snapshot, error) {
	kept, folder := l.findLastGood(folders)
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
		if bind := (*BindError)(nil); errors.As(err, &bind) {
			return nil, err
		}
		l.Logger.Error("the last good configuration is invalid too", "file", kept.path, "error", err)
		return nil, invalid
	}
	status := kept.status(invalid)
	l.control.RecordLastGood(status)
	attributes := []any{"kept", status.Kept.Format(time.RFC3339), "file", kept.path}
	if len(status.Environment) > 0 {
		attributes = append(attributes, "saved_environment", status.Environment)
	}
	if status.Hint != "" {
		l.Logger.Error("the configuration removes most of what was served; serving the last good one", append(reasons(invalid), attributes...)...)
		return snapshot, nil
	}
	l.Logger.Error("the configuration is invalid; serving the last good one, fix the errors and reload",
		append([]any{"error", invalid, "errors", status.Errors}, attributes...)...)
	return snapshot, nil
}

// status returns the status of a copy that is served because of an error.
func (g *goodFile) status(why error) *control.LastGoodStatus {
	s := &control.LastGoodStatus{Kept: g.manifest.Written, Error: why.Error(), Errors: []string{}}
	if r := (*control.RequestError)(nil); errors.As(why, &r) {
		s.Error, s.Hint = r.What, r.Hint
	}
	for _, e := range errorsIn(why) {
		if len(s.Errors) < maxErrors && s.Hint == "" {
			s.Errors = append(s.Errors, e.Error())
		}
	}
	for name, saved := range g.manifest.Environment {
		if now, set := os.LookupEnv(name); !set || now != saved {
			s.Environment = append(s.Environment, name)
		}
	}
	slices.Sort(s.Environment)
	return s
}

// findLastGood searches the possible state directories for a copy of this configuration.
func (l *instance) findLastGood(folders []string) (*goodFile, string) {
	if len(folders) == 0 {
		l.Logger.Error("no last good configuration: the state directory is unknown",
			"hint", "serve --state DIR starts with the last good configuration, if DIR has one")
	}
	for _, folder := range folders {
		kept, err := openGood(filepath.Join(folder, goodName))
		switch {
		case errors.Is(err, os.ErrNotExist):
		case errors.Is(err, os.ErrPermission):
			l.Logger.Error("no permission to read the last good configuration", "file", filepath.Join(folder, goodName), "error", err,
				"hint", "make the file and its folder readable for the user of this process")
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
func (l *instance) buildLastGood(cfg *config.Config) (*snapshot.Snapshot, []config.Error, error) {
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
func (l *instance) keepLastGood(snapshot *snapshot.Snapshot, begun time.Time) {
	k := l.control.Writer()
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

func (l *instance) writeLastGood(folder string, snapshot *snapshot.Snapshot, begun time.Time) error {
	copied, files, err := snapshot.Config.CopyOf()
	if err != nil {
		return err
	}
	files = append(files, snapshot.Zones.MasterFiles()...)
	m := goodManifest{
		File: goodKind, Version: goodVersion, Written: time.Now().UTC(), Paths: absolute(l.LastGood.Paths),
		Documents: copied.Files, Environment: copied.Environment,
	}
	n := countLoaded(snapshot)
	m.Zones, m.Names, m.Balanced, m.Members = n.Zones, n.Names, n.Bound, n.Members
	if err := writeGood(folder, &m, files, begun); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(folder, goodFolder)) // the files of a copy that serves no more
}

// awaitLastGood waits at shutdown until the copy is written.
func (l *instance) awaitLastGood() {
	if l.lastGoodSaved != nil {
		l.waitOrLog(l.lastGoodSaved, "writing the last good configuration")
	}
}

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

// loadFirst loads the configuration, or the last good one if a copy is saved and the current one
// has an error:
//
//	configuration      strict  copy      outcome
//	invalid            no      loads     the copy serves
//	invalid            any     other     the error
//	removes too much   no      loads     the copy serves
//	removes too much   no      does not  the configuration serves
//	removes too much   yes     any       the error
//	cannot be bound    any     any       the error
//	valid              any     any       the configuration serves
func (l *instance) loadFirst() (*snapshot.Snapshot, error) {
	l.healFirst()
	snapshot, err := l.Load(l.bindAndBuild)
	bind := (*BindError)(nil)
	switch {
	case l.LastGood == nil || errors.As(err, &bind):
		return snapshot, err
	case err != nil && l.LastGood.Strict:
		return nil, err
	case err != nil:
		return l.loadLastGood(err, l.LastGood.Folders())
	}
	refused := l.refuseAtStart(snapshot)
	if refused == nil {
		return snapshot, nil
	}
	folder := snapshot.Config.State
	if err := snapshot.Close(); err != nil || l.LastGood.Strict {
		return nil, errors.Join(refused, err)
	}
	if kept, err := l.loadLastGood(refused, []string{folder}); err == nil {
		return kept, nil
	}
	return l.Load(l.bindAndBuild)
}

// refuseAtStart returns an error if a configuration would remove most of what the last good one
// served. A reload that was refused must not happen at the next start.
func (l *instance) refuseAtStart(snapshot *snapshot.Snapshot) error {
	if l.LastGood.AllowRemoval || snapshot.Config.State == "" {
		return nil
	}
	kept, err := openGood(filepath.Join(snapshot.Config.State, goodName))
	if err != nil {
		return nil //nolint:nilerr // without a readable copy there is nothing to compare with
	}
	defer kept.close()
	m := &kept.manifest
	if !slices.Equal(m.Paths, absolute(l.LastGood.Paths)) {
		return nil
	}
	refused := refuseRemoval(&control.Loaded{Zones: m.Zones, Names: m.Names, Bound: m.Balanced, Members: m.Members}, countLoaded(snapshot))
	if refused != nil && l.Predecessor != nil {
		return fmt.Errorf("%w; meridian reload --allow-removal loads it all the same: do that first, then upgrade", refused)
	}
	return refused
}
