package main

import (
	"io"
	"path/filepath"
	"testing"

	"meridian/config"
)

func TestMeridianAcceptsItsConfiguration(t *testing.T) {
	dir := t.TempDir()
	m := newModel(dir, "/city.mmdb", 5300, 3)
	if err := writePeers("../peers", []string{"meridian"}, m, io.Discard); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := config.Load(filepath.Join(dir, "meridian", "meridian.yaml"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %v, error %v", warnings, err)
	}
	if len(cfg.Pools) != 3 || len(cfg.Regions) != len(regions) || len(cfg.Pools[2].Members) != 2*len(regions) {
		t.Errorf("%d pools and %d regions, want 3 and %d, 16 members each", len(cfg.Pools), len(cfg.Regions), len(regions))
	}
}
