// Command packages builds what a release of Meridian consists of: packages for Debian, RPM and Alpine, a tarball, an OCI
// image, a bill of materials, and checksums. The same commit gives the same bytes: all times are that of the commit.
// It is a module of its own, so that the server's module does not depend on what builds packages.
//
//	go run -C deploy/packages . -out dist
package main

import (
	"cmp"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	r := release{root: "../.."}
	archs := flag.String("arch", "amd64,arm64", "the architectures, separated by commas")
	flag.StringVar(&r.out, "out", "../../dist", "the `DIR` to write to")
	flag.StringVar(&r.version, "version", "", "the version, such as 1.2.3 (default that of the build)")
	flag.StringVar(&r.roots, "roots", "/etc/ssl/certs/ca-certificates.crt", "the `FILE` of certificate authorities that the image has")
	flag.Parse()
	r.archs = strings.Split(*archs, ",")
	if err := r.build(); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

// release is the result of one build.
type release struct {
	root    string // of the repository
	out     string
	version string
	archs   []string
	roots   string
	time    time.Time // of everything in it
	work    string    // files that are made on the way
}

func (r *release) build() error {
	work, err := os.MkdirTemp("", "meridian-packages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	r.work = work
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, step := range []func() error{r.setTime, r.compile, r.setVersion, r.document, r.packages, r.tarballs, r.image, r.materials, r.checksums} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// binary returns the path of the program for an architecture.
func (r *release) binary(arch string) string { return filepath.Join(r.work, "meridian-"+arch) }

// file returns the path of a result.
func (r *release) file(name string) string { return filepath.Join(r.out, name) }

// versions are those of semantic versioning, without build metadata.
var versions = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// setVersion takes the version from the program unless a flag has set it.
func (r *release) setVersion() error {
	info, err := buildinfo.ReadFile(r.binary(r.archs[0]))
	if err != nil {
		return err
	}
	built, _, _ := strings.Cut(strings.TrimPrefix(info.Main.Version, "v"), "+")
	r.version = cmp.Or(r.version, built)
	if !versions.MatchString(r.version) {
		return fmt.Errorf("%q is not a version; want one such as 1.2.3 or 1.2.3-rc.1 (-version sets it)", r.version)
	}
	return nil
}
