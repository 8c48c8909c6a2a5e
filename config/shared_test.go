package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ownSections = `node: a
log: {level: warn}
state: state
cluster:
  {name: prod, region: east, etcd: {endpoints: ["http://127.0.0.1:1"]}, identity: a.ed25519, config: shared, trust: {a: "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}}
`

const sharedSections = "zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com}}\n"

// TestSharedConfigurationIsLoadedWithTheNode loads the files of a node before and after it has a shared configuration.
func TestSharedConfigurationIsLoadedWithTheNode(t *testing.T) {
	dir := t.TempDir()
	file, shared := filepath.Join(dir, "meridian.yaml"), filepath.Join(dir, "state", "shared.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, ownSections)
	cfg, _, err := Load(file)
	if err != nil || len(cfg.Zones) != 0 || cfg.SharedFile() != shared {
		t.Fatalf("without a shared configuration: %v", err)
	}
	write(shared, sharedSections)
	if cfg, _, err = Load(file); err != nil || len(cfg.Zones) != 1 || strings.Join(cfg.Files(), " ") != file+" "+shared {
		t.Fatalf("with one: %v", err)
	}
	write(SharedSums(shared), SharedSum([]byte("before"))+"\n"+SharedSum([]byte(sharedSections))+"\n")
	if cfg, _, err = Load(file); err != nil || len(cfg.Zones) != 1 {
		t.Fatalf("with its hash: %v", err)
	}
	write(shared, sharedSections+"# edited\n")
	if _, _, err = Load(file); err == nil || !strings.Contains(err.Error(), shared+": it was changed by hand; it is the copy of what the cluster serves, not an input; meridian config push") {
		t.Errorf("an edited one: %v", err)
	}
	write(SharedSums(shared), SharedSum([]byte("zones: {x: 1}\n")))
	write(shared, "zones: {x: 1}\n")
	if _, _, err = Load(file); err == nil || !strings.Contains(err.Error(), shared+":1:") {
		t.Errorf("an invalid one: %v", err)
	}
	write(file, ownSections+sharedSections)
	if _, _, err = Load(file); err == nil || !strings.Contains(err.Error(), file+":6:1: zones: this section is in the wrong file; it belongs to the shared configuration") {
		t.Errorf("a node with zones of its own: %v", err)
	}
	write(file, strings.Replace(ownSections, "state: state\n", "", 1))
	if _, _, err = Load(file); err == nil || !strings.Contains(err.Error(), "cluster: config: shared without state; write state: /var/lib/meridian") {
		t.Errorf("a node without state: %v", err)
	}
}

func TestSharedConfigurationHasNoSectionOfANode(t *testing.T) {
	if err := CheckShared(Document{"new.yaml", []byte(sharedSections)}); err != nil {
		t.Error(err)
	}
	err := CheckShared(Document{"new.yaml", []byte(sharedSections + "\"server\": {workers: 1}\n")})
	if err == nil || !strings.Contains(err.Error(), "new.yaml:2:1: server: this section is in the wrong file; it belongs to the files of each node") {
		t.Error(err)
	}
}

func TestSharedDigestIsOfWhatNodesHaveInCommon(t *testing.T) {
	digest := func(texts ...string) string {
		var all []Document
		for _, text := range texts {
			all = append(all, Document{"x", []byte(text)})
		}
		return SharedDigest(all)
	}
	one := digest("node: a\nserver:\n  workers: 1\nregions:\n  east: {}\nzones:\n  x: 1\n")
	for _, same := range [][]string{
		{"zones:\n  x: 1\nregions:\n  east: {}\n"},
		{"node: b\n", "# a comment\nregions:\n  east: {}\n\nserver:\n  workers: 2\n", "zones:\n  x: 1"},
	} {
		if got := digest(same...); got != one {
			t.Errorf("%q: another digest", same)
		}
	}
	for _, other := range []string{"zones:\n  x: 2\nregions:\n  east: {}\n", "zones:\n  x: 1\n", ""} {
		if digest(other) == one {
			t.Errorf("%q: the same digest", other)
		}
	}
}
