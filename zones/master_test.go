package zones

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"meridian/errtext"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
)

// Each testdata/faults/*.txtar is one broken zone example.com: files, the first of which is its master file, with the
// expected errors above them.
func TestErrorsOfMasterFiles(t *testing.T) {
	runMasterFixtures(t, "testdata/faults/*.txtar", (*world).faults)
}

// Each testdata/warnings/*.txtar is a zone that is loaded with warnings.
func TestWarningsOfMasterFiles(t *testing.T) {
	runMasterFixtures(t, "testdata/warnings/*.txtar", (*world).warnings)
}

// runMasterFixtures compares what found reports about each fixture with its comment.
func runMasterFixtures(t *testing.T, pattern string, found func(*world, *testing.T) string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld()
			w.zone("example.com", "x")
			for _, file := range archive.Files {
				w.files[file.Name] = &fstest.MapFile{Data: file.Data}
			}
			if got := found(w, t); got != string(archive.Comment) {
				t.Errorf("got\n%swant\n%s", got, archive.Comment)
			}
		})
	}
}

// faults returns the errors of a world, one a line.
func (w *world) faults(t *testing.T) string {
	t.Helper()
	s, found := w.compile()
	_, err := found.Join()
	if err == nil {
		return ""
	}
	if s != nil {
		t.Error("a snapshot in spite of faults")
	}
	return err.Error() + "\n"
}

// warnings returns the warnings of a world without errors, one a line.
func (w *world) warnings(t *testing.T) string {
	t.Helper()
	_, found := w.compile()
	if _, err := found.Join(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range found.warnings {
		b.WriteString(f.Error() + "\n")
	}
	return b.String()
}

func TestMasterFileSyntax(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+`
plain       A     192.0.2.1          ; a comment
            TXT   "same owner; no comment" two
MiXeD 60 IN MX    10 Mail.Example.NET.
IN 61       A     192.0.2.2
$TTL 1h
later       AAAA  2001:db8::1
$ORIGIN sub
relative    CNAME @
$INCLUDE inc/more elsewhere.example.com.
after       TXT   ( "over"
                    "lines" )
unknown.example.com. TYPE65280 \# 3 abcdef
known.example.com.   A         \# 4 c0000203
esc\.aped\065.example.com. TXT a\"b
$GENERATE 1-2 host$ 5 A 192.0.2.1$
last.example.com. TXT "no newline"`)
	w.files["z/inc/more"] = &fstest.MapFile{Data: []byte("@ TXT included\n$INCLUDE less\n")}
	w.files["z/inc/less"] = &fstest.MapFile{Data: []byte("deeper TXT \"twice\"\n")}
	s := w.mustCompile(t)
	for _, test := range []struct{ name, want string }{
		{"plain.example.com", `[300 IN A 192.0.2.1 300 IN TXT "same owner; no comment" "two"]`},
		{"mixed.example.com", `[60 IN MX 10 Mail.Example.NET.]`},
		{"in.example.com", `[61 IN A 192.0.2.2]`},
		{"later.example.com", `[3600 IN AAAA 2001:db8::1]`},
		{"relative.sub.example.com", `[3600 IN CNAME sub.example.com.]`},
		{"elsewhere.example.com", `[3600 IN TXT "included"]`},
		{"deeper.elsewhere.example.com", `[3600 IN TXT "twice"]`},
		{"after.sub.example.com", `[3600 IN TXT "over" "lines"]`},
		{"unknown.example.com", `[3600 CLASS1 TYPE65280 \# 3 abcdef]`},
		{"known.example.com", `[3600 IN A 192.0.2.3]`},
		{`esc\.apeda.example.com`, `[3600 IN TXT "a\"b"]`},
		{"host2.sub.example.com", `[5 IN A 192.0.2.12]`},
		{"last.example.com", `[3600 IN TXT "no newline"]`},
	} {
		m := s.Lookup(wire(test.name), dns.TypeA)
		if got := fmt.Sprint(s.records(m)); m.Kind != Exact || got != test.want {
			t.Errorf("%s has %s, want %s", test.name, got, test.want)
		}
	}
}

// Every type that the parser supports can be packed, and unpacks to the original.
func TestTypesSurviveTheSnapshot(t *testing.T) {
	records := strings.Split(strings.TrimSpace(string(must(os.ReadFile("testdata/types.zone")))), "\n")
	w := newWorld()
	w.zone("example.com", apexRecords+strings.Join(records, "\n")+"\n")
	s := w.mustCompile(t)
	for _, record := range records {
		if record == "" {
			continue
		}
		want := must(dns.NewRR("$ORIGIN example.com.\n$TTL 300\n" + record))
		m := s.Lookup(wire(want.Header().Name), want.Header().Rrtype)
		set, ok := s.RRset(m.Node, want.Header().Rrtype)
		if !ok {
			t.Errorf("no record of %s", want)
			continue
		}
		if got := set.RRs(want.Header().Name)[0]; got.String() != want.String() {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestDefaultTTLIsOneHour(t *testing.T) {
	w := newWorld()
	nameservers(w.zone("example.com", "www TXT a\n"), "ns1.example.net")
	s := w.mustCompile(t)
	if got := fmt.Sprint(s.records(s.Lookup(wire("www.example.com"), dns.TypeTXT))); got != `[3600 IN TXT "a"]` {
		t.Error(got)
	}
}

func TestFilesThatAreNotMasterFiles(t *testing.T) {
	long := apexRecords + "www TXT " + strings.Repeat(`"a" `, maxEntry)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"binary", []byte("\x7fELF\x02\x01\x01\x00"), "/z/0.zone:1:1: byte 0x7f is not text, so this is not a master file\n"},
		{"zeros", make([]byte, 1<<20), "/z/0.zone:1:1: byte 0x00 is not text, so this is not a master file\n"},
		{"an endless entry", []byte(long), "/z/0.zone:4:327681: the entry that begins on line 4 is longer than 327680 bytes\n"},
		{"too many faults", bytes.Repeat([]byte("a.example.com. 1 CH TXT a\n"), 1000), "/z/0.zone:100:1: 100 errors so far; the rest is not shown\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.zone("example.com", "x")
			w.files["z/0.zone"] = &fstest.MapFile{Data: test.data}
			if got := w.faults(t); !strings.HasSuffix(got, test.want) || len(got) > 20_000 {
				t.Errorf("faults are\n%s\nwant\n%s", errtext.Clip(got), test.want)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	huge := must(os.Create(filepath.Join(dir, "huge")))
	defer huge.Close()
	if err := huge.Truncate(maxMaster + 1); err != nil {
		t.Skip(err)
	}
	for file, want := range map[string]string{
		"missing": "no such file or directory",
		"pipe":    "it is not a regular file",
		".":       "it is not a regular file",
		"huge":    "it has 536870913 bytes, more than 536870912",
	} {
		w := newWorld()
		z := w.zone("example.com", "x")
		z.File = filepath.Join(dir, file)
		_, found := compile(w.cfg, os.DirFS("/"), now)
		_, err := found.Join()
		want = fmt.Sprintf("/etc/meridian.yaml:11:11: zones.example.com.file: cannot read %q: %s", z.File, want)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", file, err, want)
		}
	}
}

func TestReadErrorIsReported(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords)
	_, found := compile(w.cfg, brokenFS{w.files}, now)
	want := "/z/0.zone:2:1: read error: input/output error"
	if _, err := found.Join(); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// brokenFS has files with a read error after 9 bytes.
type brokenFS struct{ fs.FS }

func (b brokenFS) Open(name string) (fs.File, error) {
	file, err := b.FS.Open(name)
	return &brokenFile{file, 9}, err
}

type brokenFile struct {
	fs.File
	left int
}

func (f *brokenFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}
	}
	n, err := f.File.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func TestIncludesAreBounded(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+strings.Repeat("$INCLUDE one\n", 200))
	w.files["z/one"] = &fstest.MapFile{Data: bytes.Repeat([]byte("$INCLUDE two\n"), 200)}
	w.files["z/two"] = &fstest.MapFile{Data: []byte("; nothing\n")}
	if got, want := w.faults(t), "/z/one:196:1: more than 1000 files are included\n"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestRelativePathsStayRelativeInMessages(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{"a.zone": apexRecords + "$INCLUDE b.inc\n", "b.inc": "www A 1\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld()
	w.zone("example.com", "x").File = "a.zone"
	_, found := compile(w.cfg, os.DirFS("/"), now)
	if _, err := found.Join(); err == nil || err.Error() != `b.inc:1:7: bad A "1"` {
		t.Error(err)
	}
}

func FuzzMasterFile(f *testing.F) {
	f.Add([]byte(apexRecords))
	f.Add(must(os.ReadFile("testdata/types.zone")))
	for _, path := range must(filepath.Glob("testdata/faults/*.txtar")) {
		f.Add(must(txtar.ParseFile(path)).Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(bytes.ToUpper(data), []byte("$GENERATE")) {
			return // a million records take long and add nothing
		}
		w := newWorld()
		w.zone("example.com", "x", "app.example.com")
		w.files["z/0.zone"] = &fstest.MapFile{Data: data}
		w.files["z/inc"] = &fstest.MapFile{Data: []byte("inc TXT included\n")}
		s, found := w.compile()
		if _, err := found.Join(); (err == nil) != (s != nil) {
			t.Fatalf("snapshot %v, error %v", s != nil, err)
		}
		if s != nil {
			exercise(t, s)
		}
	})
}

// exercise reads all of a snapshot: all accepted data can be answered.
func exercise(t *testing.T, s *Data) {
	for i := 1; i < len(s.nodes); i++ {
		name := s.NodeName(NodeID(i))
		if m := s.Lookup(name, dns.TypeA); m.Kind == Refused || m.Kind == NXDomain {
			t.Fatalf("%q is %s", name, s.show(m))
		}
		for _, set := range s.RRsets(NodeID(i)) {
			if rrs := set.RRs(name.String()); len(rrs) != set.Count {
				t.Fatalf("%d records, want %d", len(rrs), set.Count)
			}
		}
		for _, ns := range s.Glue(NodeID(i)) {
			count, records := s.GlueRecords(ns)
			for off := 0; off < len(records); count-- {
				var err error
				if _, off, err = dns.UnpackRR(records, off); err != nil {
					t.Fatal(err)
				}
			}
			if count != 0 {
				t.Fatalf("%d records of glue too many", count)
			}
		}
	}
	for i := range s.zones {
		s.Negative(ZoneID(i)).RRs(s.Apex(ZoneID(i)).String())
	}
	s.Summary()
}
