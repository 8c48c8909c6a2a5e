package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/control/generations"
	"meridian/snapshot"
)

var errNoDocuments = errors.New("this server takes no configuration through the API")

// loadRequested loads the configuration of a request, or its files.
func (l *instance) loadRequested(request *control.ReloadRequest) (*snapshot.Snapshot, error) {
	if request.Documents == nil {
		return l.Load(l.builder())
	}
	if request.Canary != nil { // the one that serves signs
		return l.loadDocuments(request.Documents, l.checkBuilder())
	}
	return l.loadDocuments(request.Documents, l.builder())
}

func (l *instance) loadDocuments(documents []config.Document, builder snapshot.Builder) (*snapshot.Snapshot, error) {
	if l.LoadDocuments == nil {
		return nil, errNoDocuments
	}
	return l.LoadDocuments(documents, builder)
}

// openGenerations opens the store of configurations of a state directory; empty: in memory.
func (l *instance) openGenerations(state string) {
	dir := ""
	if state != "" {
		dir = filepath.Join(state, "generations")
	}
	store, errs := generations.Open(dir)
	for _, err := range errs {
		l.Logger.Error("generation of the configuration not readable", "error", err)
	}
	l.control.UseGenerations(store)
}

// maxStored is the largest configuration that is stored, in octets.
const maxStored = 64 << 20

// recordGeneration stores the configuration that has begun to serve, unless it is stored already.
func (l *instance) recordGeneration(source string) {
	if l.Documents == nil || l.served().Config.Root != "" {
		return
	}
	documents, err := l.documents()
	size := 0
	for _, d := range documents {
		size += len(d.Text)
	}
	if err == nil && size <= maxStored {
		_, err = l.control.Generations().Add(generations.Generation{Time: time.Now().UTC(), Source: source}, filesOf(documents))
	}
	if err != nil {
		l.Logger.Error("configuration serves and is not stored as a generation", "error", err)
	}
}

func filesOf(documents []config.Document) []generations.File {
	files := make([]generations.File, len(documents))
	for i, d := range documents {
		files[i] = generations.File{Path: d.File, Text: string(d.Text)}
	}
	return files
}

// publish stores a configuration that came through the API as a generation, and replaces its files, before it serves.
// undo takes both back.
func (l *instance) publish(request *control.ReloadRequest) (undo func() error, err error) {
	undo = func() error { return nil }
	if request.Documents == nil {
		return undo, nil
	}
	before, err := l.documents()
	if err != nil {
		return undo, err
	}
	g, shared := request.Origin, l.served().Config.SharedFile()
	g.Time = time.Now().UTC()
	latest := l.control.Generations().Latest()
	if g, err = l.control.Generations().Add(g, filesOf(request.Documents)); err != nil {
		return undo, &control.RequestError{What: err.Error(), Hint: "free space in the state directory; the old configuration keeps serving"}
	}
	undo = func() error {
		if latest == nil || latest.Number != g.Number {
			l.control.Generations().Remove(g.Number)
		}
		err := errors.Join(writeDocuments(before, shared), removeNew(before, request.Documents))
		if err != nil {
			l.Logger.Error("configuration files cannot be restored after a refused change", "error", err)
		}
		return err
	}
	if err := writeDocuments(request.Documents, shared); err != nil {
		_ = undo() // logs its error
		return undo, &control.RequestError{What: err.Error(), Hint: "let the server write the file and its directory; the old configuration keeps serving"}
	}
	return undo, nil
}

// removeNew removes the files that were not there before.
func removeNew(before, now []config.Document) (err error) {
	for _, d := range now {
		if !slices.ContainsFunc(before, func(b config.Document) bool { return b.File == d.File }) {
			err = errors.Join(err, os.Remove(d.File))
		}
	}
	return err
}

// writeDocuments replaces the files with another text. It makes no file but the shared configuration of a cluster.
func writeDocuments(documents []config.Document, shared string) error {
	for _, d := range documents {
		if d.File == shared {
			if err := writeShared(d.File, d.Text); err != nil {
				return fmt.Errorf("configuration file cannot be written: %w", err)
			}
			continue
		}
		path, err := filepath.EvalSymlinks(d.File)
		var info os.FileInfo
		if err == nil {
			info, err = os.Stat(path)
		}
		if err != nil {
			return fmt.Errorf("configuration file cannot be written: %w", err)
		}
		if text, err := os.ReadFile(path); err == nil && string(text) == string(d.Text) {
			continue
		}
		if err := generations.ReplaceFile(path, d.Text, cmp.Or(info.Mode().Perm(), 0o600)); err != nil {
			return fmt.Errorf("configuration file cannot be written: %w", err)
		}
	}
	return nil
}

// loadCandidate loads a configuration that does not serve.
func (l *instance) loadCandidate(documents []config.Document) (*snapshot.Snapshot, error) {
	return l.loadDocuments(documents, snapshot.Build)
}
