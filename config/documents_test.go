package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDocumentsLoadAsTheirFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": minimalConfig, "b.yaml": "server: {nsid: b}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "a.yaml")} {
		documents, err := ReadDocuments(path)
		if err != nil {
			t.Fatal(err)
		}
		cfg, _, err := LoadDocuments(documents)
		want, _, wanted := Load(path)
		if err != nil || wanted != nil || cfg.Server.NSID != want.Server.NSID || len(cfg.Zones) != len(want.Zones) {
			t.Errorf("%s: %v %v", path, err, wanted)
		}
	}
	documents, err := ReadDocuments(dir)
	if err != nil {
		t.Fatal(err)
	}
	documents[1].Text = []byte("server: {nsid: b, nsd: c}\n")
	if _, _, err := LoadDocuments(documents); err == nil || !strings.Contains(err.Error(), "b.yaml:1:19: server.nsd: unknown key") {
		t.Errorf("error %v", err)
	}
	if _, err := ReadDocuments(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file has no error")
	}
}
