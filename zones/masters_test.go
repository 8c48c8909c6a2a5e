package zones

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

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
	before, report := CompileWith(w.cfg, Copies{}, nil)
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
	if data, _ := CompileWith(w.cfg, Copies{}, nil); data != nil {
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

// TestReusedRecordsAreReportedAsWritten compiles a file with a policy, under which a record is ignored that has no encoding,
// and then without.
func TestReusedRecordsAreReportedAsWritten(t *testing.T) {
	w := newWorld()
	w.cfg.DNSSEC.Policies = []config.SigningPolicy{{Name: "default"}}
	z := w.zone("example.com", apexRecords+"big 4000000000 TXT a\nBIG 4000000000 TXT b\nkey DNSKEY 256 3 13 A\nout.test. A 192.0.2.1\n")
	z.DNSSEC = "default"
	before := w.mustCompile(t)
	if n := before.Masters().Parsed(); n != 1 {
		t.Errorf("%d parsed, want 1", n)
	}
	for _, policy := range []string{"default", config.Unsigned} {
		z.DNSSEC = policy
		want, wantReport := w.compile()
		got, gotReport := compileFrom(w.cfg, source{fsys: w.files, before: before.Masters()}, now)
		wantWarnings, wantErr := wantReport.Join()
		gotWarnings, gotErr := gotReport.Join()
		if a, b := fmt.Sprint(gotWarnings, gotErr), fmt.Sprint(wantWarnings, wantErr); a != b || len(wantWarnings) < 3 {
			t.Errorf("policy %s: reported\n%s\nwant\n%s", policy, a, b)
		}
		if (wantErr != nil) != (policy == config.Unsigned) || (got == nil) != (want == nil) {
			t.Errorf("policy %s: %v", policy, wantErr)
		}
		if got != nil && got.Masters().Parsed() != 0 {
			t.Error("the file is parsed again")
		}
	}
}

// TestReusedFileHasTheSameLimitOfErrors compiles a file again with more errors than are shown.
func TestReusedFileHasTheSameLimitOfErrors(t *testing.T) {
	w := newWorld()
	w.cfg.DNSSEC.Policies = []config.SigningPolicy{{Name: "default"}}
	z := w.zone("example.com", apexRecords+strings.Repeat("key DNSKEY 256 3 13 A\n", maxErrors+5))
	z.DNSSEC = "default"
	before := w.mustCompile(t)
	z.DNSSEC = config.Unsigned
	_, want := w.compile()
	_, got := compileFrom(w.cfg, source{fsys: w.files, before: before.Masters()}, now)
	if fmt.Sprint(got.errs) != fmt.Sprint(want.errs) || len(got.errs) != maxErrors+1 {
		t.Errorf("%d errors, want %d:\n%v", len(got.errs), len(want.errs), got.errs)
	}
}

// TestMastersKeepOnlyWhatIsServed removes a zone.
func TestMastersKeepOnlyWhatIsServed(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords)
	w.zone("example.net", apexRecords)
	before := w.mustCompile(t)
	w.cfg.Zones = w.cfg.Zones[:1]
	after, report := compileFrom(w.cfg, source{fsys: w.files, before: before.Masters()}, now)
	if after == nil {
		t.Fatal(report.Join())
	}
	if got := after.Masters(); len(got.zones) != 1 || got.reusedOf(before.Masters()) != 1 {
		t.Errorf("%d files are kept, %d of them shared; want 1 of each", len(got.zones), got.reusedOf(before.Masters()))
	}
	released := make(chan struct{})
	m := before.parsed.zones[masterKey{"example.net.", "z/1.zone"}].master
	runtime.AddCleanup(m, func(c chan struct{}) { close(c) }, released)
	m, before = nil, nil
	for deadline := time.Now().Add(time.Minute); ; {
		runtime.GC()
		select {
		case <-released:
			runtime.KeepAlive(after)
			return
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the records of a zone that is gone are kept")
		}
	}
}
