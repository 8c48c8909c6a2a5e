package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const testVersion = "0.0.0-test"

// built builds a release for this test, once for each call, and returns its folder.
func built(t *testing.T) string {
	t.Helper()
	r := release{root: "../..", out: t.TempDir(), version: testVersion, archs: []string{"amd64"}, roots: "/etc/ssl/certs/ca-certificates.crt"}
	if err := r.build(); err != nil {
		t.Fatal(err)
	}
	return r.out
}

// output runs a program of this machine. Without it the test ends.
func output(t *testing.T, argv ...string) string {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: ", err)
	}
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// installed are files that every package has.
var installed = []string{
	"/usr/bin/meridian", "/etc/meridian/meridian.yaml", "/usr/lib/systemd/system/meridian.service", "/usr/lib/systemd/system/meridian-agent.service", "/usr/lib/systemd/system/meridian-etcd.service", "/usr/lib/sysusers.d/meridian.conf",
	"/usr/share/man/man1/meridian.1.gz", "/usr/share/man/man1/meridian-serve.1.gz", "/usr/share/doc/meridian/copyright",
	"/usr/share/bash-completion/completions/meridian", "/usr/share/zsh/vendor-completions/_meridian", "/usr/share/fish/vendor_completions.d/meridian.fish",
}

func TestRelease(t *testing.T) {
	folder := built(t)
	t.Run("two builds are equal", func(t *testing.T) { equalFolders(t, folder, built(t)) })
	t.Run("checksums", func(t *testing.T) {
		if got := output(t, "sh", "-c", "cd "+folder+" && sha256sum -c SHA256SUMS"); strings.Count(got, ": OK") != 6 {
			t.Errorf("sha256sum prints\n%s", got)
		}
	})
	t.Run("deb", func(t *testing.T) { hasFiles(t, output(t, "dpkg-deb", "-c", one(t, folder, "*.deb")), "./") })
	t.Run("rpm", func(t *testing.T) {
		hasFiles(t, output(t, "rpm", "-qpl", one(t, folder, "*.rpm")), "/")
		if got := output(t, "rpm", "-qpc", one(t, folder, "*.rpm")); got != "/etc/meridian/meridian.yaml\n" {
			t.Errorf("configuration files %q", got)
		}
		if got := output(t, "rpm", "--checksig", "--nosignature", one(t, folder, "*.rpm")); !strings.HasSuffix(got, ": digests OK\n") {
			t.Errorf("rpm --checksig prints %q", got)
		}
		output(t, "cpio", "--version")
		root := t.TempDir()
		output(t, "sh", "-c", "rpm2cpio "+one(t, folder, "*.rpm")+" | (cd "+root+" && cpio -idm --quiet --no-absolute-filenames)")
		runUnpacked(t, root)
	})
	t.Run("apk", func(t *testing.T) {
		list := output(t, "tar", "-tzf", one(t, folder, "*.apk"))
		hasFiles(t, list, "")
		if !strings.Contains(list, "etc/init.d/meridian\n") || !strings.Contains(list, ".PKGINFO\n") {
			t.Errorf("the package has\n%s", list)
		}
		root := t.TempDir()
		output(t, "tar", "-xzf", one(t, folder, "*.apk"), "-C", root, "--no-same-owner")
		runUnpacked(t, root)
		info, err := os.ReadFile(filepath.Join(root, ".PKGINFO"))
		if err != nil || !strings.Contains(string(info), "pkgname = meridian\n") || !strings.Contains(string(info), "arch = x86_64\n") {
			t.Errorf("package information %s, %v", info, err)
		}
	})
	t.Run("tarball", func(t *testing.T) {
		list := output(t, "tar", "-tzf", one(t, folder, "*.tar.gz"))
		for _, file := range []string{"meridian", "meridian.service", "meridian-agent.service", "meridian-etcd.service", "meridian.yaml", "LICENSE", "man1/meridian.1", "completion/zsh"} {
			if !strings.Contains(list, "meridian-0.0.0-test-linux-amd64/"+file+"\n") {
				t.Errorf("no %s in\n%s", file, list)
			}
		}
	})
	t.Run("image", func(t *testing.T) { runImage(t, folder) })
	t.Run("bill of materials", func(t *testing.T) { hasModules(t, folder) })
	t.Run("install", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: installing a package needs root")
		}
		if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
			t.Skip("SKIPPED: installing a package needs a mount namespace: ", err)
		}
		t.Log(output(t, "./install-test", one(t, folder, "*.deb")))
	})
}

// one returns the only file of a folder that matches.
func one(t *testing.T, folder, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v; want one", files, err)
	}
	return files[0]
}

func equalFolders(t *testing.T, a, b string) {
	t.Helper()
	files, err := os.ReadDir(a)
	if err != nil || len(files) != 7 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		first, err1 := os.ReadFile(filepath.Join(a, f.Name()))
		second, err2 := os.ReadFile(filepath.Join(b, f.Name()))
		if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%s differs (%v, %v)", f.Name(), err1, err2)
		}
	}
}

// hasFiles checks a list of files: their paths have a prefix in place of the first slash.
func hasFiles(t *testing.T, list, prefix string) {
	t.Helper()
	for _, file := range installed {
		if !strings.Contains(list, prefix+strings.TrimPrefix(file, "/")+"\n") {
			t.Errorf("no %s in\n%s", file, list)
		}
	}
}

// runUnpacked runs the program of a package that is unpacked in root, with the first configuration that it makes.
func runUnpacked(t *testing.T, root string) {
	t.Helper()
	program, file := filepath.Join(root, "usr/bin/meridian"), filepath.Join(root, "etc/meridian/meridian.yaml")
	if got := output(t, program, "version"); !strings.HasPrefix(got, "meridian ") {
		t.Errorf("version prints %q", got)
	}
	output(t, program, "init", "-o", file, "--zone", "gslb.example.com", "--nameserver", "127.0.0.1", "--endpoint", "DE=192.0.2.10")
	output(t, program, "check", "-c", file)
	for _, file := range installed {
		if info, err := os.Stat(filepath.Join(root, file)); err != nil || info.Size() == 0 || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s: %v, %v; want content, and no right to write for others", file, info, err)
		}
	}
}

// runImage validates the image, unpacks it and runs its program.
func runImage(t *testing.T, folder string) {
	unpacked, root := t.TempDir(), t.TempDir()
	output(t, "tar", "-xf", one(t, folder, "*.oci.tar"), "-C", unpacked)
	top, err := layout.ImageIndexFromPath(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	images, err := index.IndexManifest()
	if err != nil || len(images.Manifests) != 1 {
		t.Fatalf("%+v, %v", images, err)
	}
	img, err := index.Image(images.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || config.Architecture != "amd64" || config.Config.User != "65532:65532" {
		t.Errorf("configuration %+v, %v", config, err)
	}
	flat := filepath.Join(root, "image.tar")
	w, err := os.Create(flat)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.ReadFrom(mutate.Extract(img)); err != nil {
		t.Fatal(err)
	}
	output(t, "tar", "-xf", flat, "-C", root, "--no-same-owner")
	program := filepath.Join(root, "meridian")
	if got := output(t, program, "version"); !strings.HasPrefix(got, "meridian ") {
		t.Errorf("version prints %q", got)
	}
	output(t, program, "check", "-c", "../example/meridian.yaml")
}

// hasModules checks the bill of materials against the module's requirements.
func hasModules(t *testing.T, folder string) {
	text, err := os.ReadFile(one(t, folder, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, c := range b.Components {
		found[c.Name] = c.Version != "" && c.PURL == "pkg:golang/"+c.Name+"@"+c.Version
	}
	for _, name := range []string{"std", "github.com/miekg/dns", "github.com/spf13/cobra", "gopkg.in/yaml.v3"} {
		if !found[name] {
			t.Errorf("no %s in %s", name, text)
		}
	}
}
