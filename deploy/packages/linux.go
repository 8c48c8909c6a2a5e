package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// formats are the kinds of packages.
var formats = []string{"deb", "rpm", "apk"}

// packages builds a package of each format for each architecture.
func (r *release) packages() error {
	contents, err := r.contents()
	if err != nil {
		return err
	}
	for _, arch := range r.archs {
		for _, format := range formats {
			if err := r.pack(format, arch, contents); err != nil {
				return fmt.Errorf("%s for %s: %w", format, arch, err)
			}
		}
	}
	return nil
}

func (r *release) pack(format, arch string, contents files.Contents) error {
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	info := r.info(arch, contents)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return err
	}
	return os.WriteFile(r.file(packager.ConventionalFileName(info)), b.Bytes(), 0o644)
}

// info describes a package. Its contents are copied, because a packager changes them.
func (r *release) info(arch string, contents files.Contents) *nfpm.Info {
	all := files.Contents{r.content(r.binary(arch), "/usr/bin/meridian", "", 0o755)}
	for _, c := range contents {
		one, info := *c, *c.FileInfo
		one.FileInfo = &info
		all = append(all, &one)
	}
	script := func(name string) string { return filepath.Join("files", name+".sh") }
	return nfpm.WithDefaults(&nfpm.Info{
		Name: "meridian", Arch: arch, Platform: "linux", Version: r.version, VersionSchema: "semver", Release: "1",
		Section: "net", Priority: "optional", License: "Apache-2.0", Vendor: "Meridian", MTime: r.time,
		Maintainer: "Meridian maintainers <maintainers@users.noreply.invalid>",
		Description: "authoritative DNS server that sends each client to the nearest healthy region\n" +
			"Meridian answers for a delegated zone with the endpoint that is right for the\n" +
			"client now: by distance, measured latency, weight or failover, and by health checks.",
		Overridables: nfpm.Overridables{
			Contents:   all,
			Umask:      0o022,
			Recommends: []string{"ca-certificates"},
			Scripts: nfpm.Scripts{
				PreInstall: script("preinstall"), PostInstall: script("postinstall"),
				PreRemove: script("preremove"), PostRemove: script("postremove"),
			},
			RPM: nfpm.RPM{BuildHost: "localhost", Summary: "Authoritative DNS server for global load balancing"},
		},
	})
}

// content is a file of all formats, or of one.
func (r *release) content(source, place, kind string, mode os.FileMode) *files.Content {
	return &files.Content{Source: source, Destination: place, Type: kind, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time}}
}

// contents returns the files that do not depend on the architecture.
func (r *release) contents() (files.Contents, error) {
	deploy := filepath.Join(r.root, "deploy")
	openrc := r.content("files/meridian.initd", "/etc/init.d/meridian", "", 0o755)
	openrc.Packager = "apk"
	all := files.Contents{
		r.content("files/meridian.yaml", "/etc/meridian/meridian.yaml", files.TypeConfigNoReplace, 0o644),
		r.content("files/sysusers.conf", "/usr/lib/sysusers.d/meridian.conf", "", 0o644),
		r.content(filepath.Join(deploy, "systemd", "meridian.service"), "/usr/lib/systemd/system/meridian.service", "", 0o644),
		r.content(filepath.Join(deploy, "systemd", "meridian-agent.service"), "/usr/lib/systemd/system/meridian-agent.service", "", 0o644),
		r.content(filepath.Join(deploy, "systemd", "meridian-etcd.service"), "/usr/lib/systemd/system/meridian-etcd.service", "", 0o644),
		r.content(filepath.Join(deploy, "example", "etcd.yaml"), "/usr/share/doc/meridian/examples/etcd.yaml", "", 0o644),
		r.content(filepath.Join(r.root, "LICENSE"), "/usr/share/doc/meridian/copyright", "", 0o644),
		r.content(filepath.Join(deploy, "example", "meridian.yaml"), "/usr/share/doc/meridian/examples/meridian.yaml", "", 0o644),
		r.content(filepath.Join(deploy, "example", "gslb.example.com.zone"), "/usr/share/doc/meridian/examples/gslb.example.com.zone", "", 0o644),
		r.content(filepath.Join(deploy, "systemd", "xdp.conf"), "/usr/share/doc/meridian/examples/xdp.conf", "", 0o644),
		r.content(filepath.Join(deploy, "sysctl", "90-meridian.conf"), "/usr/share/doc/meridian/examples/90-meridian.conf", "", 0o644),
		r.content(filepath.Join(deploy, "prometheus", "alerts.yaml"), "/usr/share/doc/meridian/examples/alerts.yaml", "", 0o644),
		openrc,
	}
	for shell, place := range completions {
		all = append(all, r.content(filepath.Join(r.work, shell), place, "", 0o644))
	}
	pages, err := r.manPages()
	for _, page := range pages {
		all = append(all, r.content(page, "/usr/share/man/man1/"+filepath.Base(page), "", 0o644))
	}
	slices.SortFunc(all, func(a, b *files.Content) int { return bytes.Compare([]byte(a.Destination), []byte(b.Destination)) })
	return all, err
}

// manPages compresses the manual pages, as distributions want them, and returns their files.
func (r *release) manPages() (pages []string, err error) {
	plain, err := filepath.Glob(filepath.Join(r.work, "man", "*.1"))
	if err != nil || len(plain) == 0 {
		return nil, errors.Join(err, errors.New("no manual pages"))
	}
	for _, page := range plain {
		text, err := os.ReadFile(page)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		_, err = z.Write(text)
		if err := errors.Join(err, z.Close(), os.WriteFile(page+".gz", b.Bytes(), 0o644)); err != nil {
			return nil, err
		}
		pages = append(pages, page+".gz")
	}
	return pages, nil
}
