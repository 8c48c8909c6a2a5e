package main

import (
	"io"
	"path/filepath"
	"testing"

	"meridian/config"
)

func TestMeridianAcceptsItsConfiguration(t *testing.T) {
	for peer, signed := range map[string]bool{"meridian": false, "meridian-signed": true} {
		dir := t.TempDir()
		m := newModel(dir, "/city.mmdb", 5300, 3)
		if err := writePeers("../peers", []string{peer}, m, io.Discard); err != nil {
			t.Fatal(err)
		}
		cfg, warnings, err := config.Load(filepath.Join(dir, peer, "meridian.yaml"))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: warnings %v, error %v", peer, warnings, err)
		}
		if len(cfg.Pools) != 3 || len(cfg.Regions) != len(regions) || len(cfg.Pools[2].Members) != 2*len(regions) {
			t.Errorf("%s: %d pools and %d regions, want 3 and %d, 16 members each", peer, len(cfg.Pools), len(cfg.Regions), len(regions))
		}
		if policy := cfg.DNSSECPolicy(&cfg.Zones[0]); signed != (policy != nil) {
			t.Errorf("%s: DNSSEC policy %v, want one: %v", peer, policy, signed)
		}
	}
}
