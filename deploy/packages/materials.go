package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// component is a part of a bill of materials in CycloneDX.
type component struct {
	Ref     string `json:"bom-ref"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
}

// bill is a bill of materials, CycloneDX 1.5.
type bill struct {
	Format   string `json:"bomFormat"`
	Spec     string `json:"specVersion"`
	Version  int    `json:"version"`
	Metadata struct {
		Time      string    `json:"timestamp"`
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

// materials writes, for each architecture, the modules that the program contains. The program itself says which.
func (r *release) materials() error {
	for _, arch := range r.archs {
		info, err := buildinfo.ReadFile(r.binary(arch))
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(r.billOf(info), "", "  ")
		if err != nil {
			return err
		}
		name := fmt.Sprintf("meridian-%s-linux-%s.cdx.json", r.version, arch)
		if err := os.WriteFile(r.file(name), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) billOf(info *buildinfo.BuildInfo) bill {
	b := bill{Format: "CycloneDX", Spec: "1.5", Version: 1}
	b.Metadata.Time = r.time.Format(time.RFC3339)
	b.Metadata.Component = componentOf("application", "meridian", r.version)
	b.Components = []component{componentOf("library", "std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		b.Components = append(b.Components, moduleOf(m))
	}
	return b
}

// moduleOf returns the component of a module, or of its replacement.
func moduleOf(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	return componentOf("library", m.Path, m.Version)
}

func componentOf(kind, name, version string) component {
	purl := "pkg:golang/" + name + "@" + version
	return component{Ref: purl, Type: kind, Name: name, Version: version, PURL: purl}
}

// checksums writes SHA256SUMS with all files of the release.
func (r *release) checksums() error {
	names, err := filepath.Glob(r.file("meridian*"))
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, file := range names {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), filepath.Base(file))
	}
	return os.WriteFile(r.file("SHA256SUMS"), []byte(b.String()), 0o644)
}
