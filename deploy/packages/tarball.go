package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// entry is a file, or a directory if its name ends in a slash, of an archive.
type entry struct {
	name   string
	source string // the file with its content
	text   []byte // its content, if it has no source
	mode   int64
	owner  int
	xattr  map[string]string
}

// archive returns a tar file with the entries in order; each has the time of the release.
func archive(at time.Time, entries []entry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.source != "" {
			text, err := os.ReadFile(e.source)
			if err != nil {
				return nil, err
			}
			e.text = text
		}
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.text)), ModTime: at, Typeflag: tar.TypeReg, PAXRecords: e.xattr}
		if e.name[len(e.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.text); err != nil {
			return nil, err
		}
	}
	err := w.Close() // writes the end of the archive
	return b.Bytes(), err
}

// tarballs builds an archive for each architecture, for machines without a package manager.
func (r *release) tarballs() error {
	for _, arch := range r.archs {
		folder := fmt.Sprintf("meridian-%s-linux-%s", r.version, arch)
		text, err := archive(r.time, r.tarballEntries(folder+"/", arch))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		_, err = z.Write(text)
		if err := errors.Join(err, z.Close(), os.WriteFile(r.file(folder+".tar.gz"), b.Bytes(), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) tarballEntries(folder, arch string) []entry {
	all := []entry{
		{name: folder, mode: 0o755},
		{name: folder + "LICENSE", source: filepath.Join(r.root, "LICENSE"), mode: 0o644},
		{name: folder + "meridian", source: r.binary(arch), mode: 0o755},
		{name: folder + "meridian.service", source: filepath.Join(r.root, "deploy/systemd/meridian.service"), mode: 0o644},
		{name: folder + "meridian-agent.service", source: filepath.Join(r.root, "deploy/systemd/meridian-agent.service"), mode: 0o644},
		{name: folder + "meridian-etcd.service", source: filepath.Join(r.root, "deploy/systemd/meridian-etcd.service"), mode: 0o644},
		{name: folder + "meridian.yaml", source: "files/meridian.yaml", mode: 0o644},
		{name: folder + "completion/", mode: 0o755},
		{name: folder + "man1/", mode: 0o755},
	}
	for _, shell := range []string{"bash", "fish", "zsh"} {
		all = append(all, entry{name: folder + "completion/" + shell, source: filepath.Join(r.work, shell), mode: 0o644})
	}
	pages, _ := filepath.Glob(filepath.Join(r.work, "man", "*.1"))
	slices.Sort(pages)
	for _, page := range pages {
		all = append(all, entry{name: folder + "man1/" + filepath.Base(page), source: page, mode: 0o644})
	}
	return all
}
