package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is the user of the image, which is no user of the host.
const user = 65532

// bindPort53 is the extended attribute that allows a program of a user other than root to bind port 53: version 2 of
// capabilities in a file, effective, with CAP_NET_BIND_SERVICE (10) permitted.
const bindPort53 = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// image writes one OCI layout with an image for each architecture, as an archive.
func (r *release) image() error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range r.archs {
		img, err := r.imageFor(arch)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	folder := filepath.Join(r.work, "image")
	top := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{"org.opencontainers.image.ref.name": r.version}},
	})
	if _, err := layout.Write(folder, top); err != nil {
		return err
	}
	return r.archiveFolder(folder, r.file("meridian-"+r.version+".oci.tar"))
}

// imageFor returns the image for an architecture: the program and the certificate authorities, and nothing else.
func (r *release) imageFor(arch string) (v1.Image, error) {
	text, err := archive(r.time, []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/meridian/", mode: 0o755},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", source: r.roots, mode: 0o644},
		{name: "meridian", source: r.binary(arch), mode: 0o755, xattr: map[string]string{"SCHILY.xattr.security.capability": bindPort53}},
		{name: "tmp/", mode: 0o1777},
		{name: "var/", mode: 0o755},
		{name: "var/lib/", mode: 0o755},
		{name: "var/lib/meridian/", mode: 0o700, owner: user},
	})
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make packages"}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: r.time}
	config.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{"/meridian"}, Cmd: []string{"serve", "-c", "/etc/meridian/meridian.yaml"},
		StopSignal: "SIGTERM", ExposedPorts: map[string]struct{}{"53/udp": {}, "53/tcp": {}},
		Labels: map[string]string{"org.opencontainers.image.version": r.version, "org.opencontainers.image.licenses": "Apache-2.0"},
	}
	return mutate.ConfigFile(img, config)
}

// archiveFolder writes a folder as a tar file, in the order of names.
func (r *release) archiveFolder(folder, to string) error {
	var entries []entry
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(path, folder), "/")
		switch {
		case err != nil || name == "":
			return err
		case d.IsDir():
			entries = append(entries, entry{name: name + "/", mode: 0o755})
		default:
			entries = append(entries, entry{name: name, source: path, mode: 0o644})
		}
		return nil
	})
	if err != nil {
		return err
	}
	text, err := archive(r.time, entries)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
