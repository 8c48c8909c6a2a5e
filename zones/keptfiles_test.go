package zones

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
)

// TestCopiesAreCompiledWithTheFilesAsTheyWere removes and edits master files between two compilations.
func TestCopiesAreCompiledWithTheFilesAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main", "$TTL 300\n@ SOA ns.outside. host.outside. 1 60 30 3600 60\n@ NS ns.outside.\n$INCLUDE "+dir+"/part\n$INCLUDE "+dir+"/part again\n")
	write("part", "www A 192.0.2.1\n")
	w := secondaryWorld()
	w.zone("example.net", "").File = dir + "/main"
	before, report := CompileWith(w.cfg, Copies{})
	if before == nil {
		t.Fatal(report.Join())
	}
	write("main", "half of an edit")
	if err := os.Remove(filepath.Join(dir, "part")); err != nil {
		t.Fatal(err)
	}
	c := copyOf(t, now.AddDate(100, 0, 0), "www A 192.0.2.9\n")
	for data := before; ; { // the second time with the result of the first one
		after, report := data.WithCopies(w.cfg, Copies{c.Zone: c})
		if after == nil {
			t.Fatal(report.Join())
		}
		for _, name := range []string{"www.example.net", "www.again.example.net", "www.example.com"} {
			id, ok := after.NodeIn(zoneOf(w.cfg, name), mustName(name).Wire())
			if _, has := after.RRset(id, dns.TypeA); !ok || !has {
				t.Errorf("%s is lost", name)
			}
		}
		if !slices.Equal(after.MasterFiles(), before.MasterFiles()) {
			t.Errorf("files %q, before %q", after.MasterFiles(), before.MasterFiles())
		}
		if data != before {
			break
		}
		data = after
	}
	if data, _ := CompileWith(w.cfg, Copies{}); data != nil {
		t.Error("a reload compiles the edit that is half done")
	}
}

// zoneOf returns the zone of a name that is not an apex.
func zoneOf(cfg *config.Config, name string) ZoneID {
	for i := range cfg.Zones {
		if isBelow(mustName(name).Wire(), cfg.Zones[i].Name.Wire()) {
			return ZoneID(i)
		}
	}
	return 0
}
