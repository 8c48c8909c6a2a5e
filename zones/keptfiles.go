package zones

import (
	"bytes"
	"io"
	"io/fs"
	"time"

	"meridian/config"
)

// keptFiles is a file system that keeps the files that a compilation reads. With them a later one is of the same
// configuration, even if an operator edits the files. It is immutable once it is closed.
type keptFiles struct {
	from  fs.FS // nil: closed, only kept files are there
	infos map[string]fs.FileInfo
	bytes map[string][]byte
}

func newKeptFiles(from fs.FS) *keptFiles {
	return &keptFiles{from: from, infos: map[string]fs.FileInfo{}, bytes: map[string][]byte{}}
}

// close makes k read no more files.
func (k *keptFiles) close() { k.from = nil }

// Stat implements fs.StatFS.
func (k *keptFiles) Stat(path string) (fs.FileInfo, error) {
	if info := k.infos[path]; info != nil {
		return info, nil
	}
	if k.from == nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
	}
	info, err := fs.Stat(k.from, path)
	if err == nil {
		k.infos[path] = info
	}
	return info, err
}

// Open implements fs.FS. It reads the whole file, as far as it is not too large.
func (k *keptFiles) Open(path string) (fs.File, error) {
	info, err := k.Stat(path)
	if err != nil {
		return nil, err
	}
	text, known := k.bytes[path]
	if !known {
		if text, err = k.read(path); err != nil {
			return nil, err
		}
		k.bytes[path] = text
	}
	return &keptFile{bytes.NewReader(text), info}, nil
}

func (k *keptFiles) read(path string) ([]byte, error) {
	if k.from == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	file, err := k.from.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text := bytes.NewBuffer(make([]byte, 0, k.infos[path].Size()+bytes.MinRead))
	_, err = text.ReadFrom(io.LimitReader(file, maxMaster+1))
	return text.Bytes(), err
}

// keptFile is an open file.
type keptFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *keptFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *keptFile) Close() error               { return nil }

// hasPrimaries reports whether any zone has primaries.
func hasPrimaries(cfg *config.Config) bool {
	for i := range cfg.Zones {
		if len(cfg.Zones[i].Primaries) > 0 {
			return true
		}
	}
	return false
}

// WithCopies compiles the zones again, with these copies of zones that have primaries, and with those zones of catalogs that cfg, which is
// otherwise the configuration of s, has now. It reads no master file: they are as they were when s was compiled.
func (s *Data) WithCopies(cfg *config.Config, have Copies) (*Data, *Report) {
	if s.kept == nil { // no zone has primaries
		return s, &Report{cfg: s.config}
	}
	return compileCopies(cfg, have, s.kept)
}

// compileCopies compiles the zones with copies, those in memory and those that are read.
func compileCopies(cfg *config.Config, have Copies, fsys fs.FS) (*Data, *Report) {
	copies, unreadable := ReadCopies(cfg, have)
	data, report := compileWith(cfg, copies, fsys, time.Now())
	report.AddWarnings(unreadable...)
	if kept, ok := fsys.(*keptFiles); ok && data != nil {
		data.kept = kept
	}
	return data, report
}
