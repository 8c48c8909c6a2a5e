package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setTime takes the time of the release from SOURCE_DATE_EPOCH, else from the commit.
func (r *release) setTime() error {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.Command("git", "-C", r.root, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return fmt.Errorf("the time of the commit: %w; set SOURCE_DATE_EPOCH outside of a repository", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %q is not a time in seconds since 1970", text)
	}
	r.time = time.Unix(seconds, 0).UTC()
	return nil
}

// compile builds the program for each architecture, and for this machine, which runs it to make its pages.
func (r *release) compile() error {
	archs := slices.Clone(r.archs)
	if !slices.Contains(archs, runtime.GOARCH) {
		archs = append(archs, runtime.GOARCH)
	}
	for _, arch := range archs {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", r.binary(arch), "./cmd/meridian")
		cmd.Dir = r.root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build for %s: %w\n%s", arch, err, out)
		}
	}
	return nil
}

// completions are the files of the shells' scripts, by their places in a package.
var completions = map[string]string{
	"bash": "/usr/share/bash-completion/completions/meridian",
	"zsh":  "/usr/share/zsh/vendor-completions/_meridian",
	"fish": "/usr/share/fish/vendor_completions.d/meridian.fish",
}

// document makes the manual pages and the completion scripts.
func (r *release) document() error {
	program := r.binary(runtime.GOARCH)
	if out, err := exec.Command(program, "man", "-o", filepath.Join(r.work, "man")).CombinedOutput(); err != nil {
		return fmt.Errorf("manual pages: %w\n%s", err, out)
	}
	for shell := range completions {
		out, err := exec.Command(program, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("completion for %s: %w", shell, err)
		}
		if err := os.WriteFile(filepath.Join(r.work, shell), out, 0o644); err != nil {
			return err
		}
	}
	return nil
}
