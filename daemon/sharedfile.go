package daemon

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/control/generations"
)

// The shared configuration in the state directory is the copy of what the cluster serves, not an input. The hashes of what
// this program has written are in a file beside it: a text with another hash was written by hand, and is not loaded.

// writeShared replaces the shared configuration. The hash of its text is written first, beside that of the present one: a crash
// in between leaves a file that is accepted.
func writeShared(file string, text []byte) error {
	present, missing := os.ReadFile(file)
	if missing == nil && string(present) == string(text) && config.VerifyShared(file) == nil {
		return nil
	}
	before, err := os.ReadFile(config.SharedSums(file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	sums := append([]string{config.SharedSum(text)}, strings.Fields(string(before))...)
	if missing == nil && len(before) == 0 { // of an earlier version
		sums = append(sums, config.SharedSum(present))
	}
	if err := writeSums(file, sums[:min(len(sums), 2)]); err != nil {
		return err
	}
	return generations.ReplaceFile(file, text, 0o600)
}

func writeSums(file string, sums []string) error {
	return generations.ReplaceFile(config.SharedSums(file), []byte(strings.Join(sums, "\n")+"\n"), 0o600)
}

// sealShared makes the shared configuration that serves the only accepted one.
func (l *instance) sealShared() {
	cfg := l.served().Config
	if cfg.Root != "" {
		return
	}
	d, ok, err := control.SharedDocument(cfg)
	if ok {
		err = writeSums(d.File, []string{config.SharedSum(d.Text)})
	}
	if err != nil {
		l.Logger.Error("the shared configuration cannot be protected from changes by hand", "file", d.File, "error", err)
	}
}

// healShared replaces a shared configuration that was changed or deleted by hand in a state directory by its copy in the last
// good configuration, if that has one. Loading reports what it cannot replace.
func (l *instance) healShared(file string) {
	if file == "" {
		return
	}
	sums, err := os.ReadFile(config.SharedSums(file))
	if _, missing := os.Stat(file); err != nil || missing == nil && config.VerifyShared(file) == nil {
		return
	}
	text, modified, err := goodText(filepath.Dir(file), file)
	if err != nil || !slices.Contains(strings.Fields(string(sums)), config.SharedSum(text)) {
		return
	}
	if err := errors.Join(generations.ReplaceFile(file, text, 0o600), os.Chtimes(file, modified, modified)); err != nil {
		l.Logger.Error("the shared configuration was changed by hand and cannot be restored", "file", file, "error", err)
		return
	}
	l.Logger.Warn("the shared configuration was changed by hand and is restored", "file", file, "hint", "meridian config push brings a change to all nodes")
}

// healFirst is healShared before the first configuration is loaded.
func (l *instance) healFirst() {
	if l.LastGood == nil {
		return
	}
	for _, folder := range l.LastGood.Folders() {
		l.healShared((&config.Config{State: folder, Cluster: config.Cluster{Shared: true}}).SharedFile())
	}
}

// goodText returns the text of a file in the last good configuration of a state directory, and when it was modified.
func goodText(folder, file string) (text []byte, modified time.Time, err error) {
	kept, err := openGood(filepath.Join(folder, goodName))
	if err != nil {
		return nil, modified, err
	}
	defer kept.close()
	r, err := kept.zip.Open(entryName(absolute([]string{file})[0]))
	if err != nil {
		return nil, modified, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, modified, err
	}
	text, err = io.ReadAll(io.LimitReader(r, maxStored))
	return text, info.ModTime(), err
}
