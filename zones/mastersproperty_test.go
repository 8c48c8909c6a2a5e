package zones

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

// editedWorld is a configuration on the disk that a test edits at random.
type editedWorld struct {
	*testing.T
	r     *rand.Rand
	dir   string
	zones map[string]string // the settings by name
}

var (
	editedFiles    = []string{"a.zone", "b.zone", "c.zone"}
	editedIncludes = []string{"one.inc", "two.inc"}
	editedZones    = []string{"example.edu", "sub.example.edu", "example.net", "example.org"}
	editedSettings = []string{
		"serial: unixtime", "serial: keep", "serial: date", "dnssec: none", "dnssec: default", "names: {pool: {pool: web}}",
		"names: {www: {pool: web}}", "nameservers: {ns.outside.test: []}, contact: h@example.com", "ttl: 77",
	}
	// Each is a record or a directive of a master file; few have errors or warnings.
	editedEntries = []string{
		"www A 192.0.2.%d", "WwW 60 A 192.0.2.%d", "\\119ww A 192.0.2.%d", "@ 120 TXT \"text %d\"", "deep.er AAAA 2001:db8::%d",
		"  TXT again%d", "alias CNAME Target%d.Example.ORG.", "$TTL %d", "$ORIGIN part%d", "$GENERATE 1-3 host$ A 192.0.2.%d",
		"$INCLUDE one.inc", "$INCLUDE two.inc in%d", "sub DS 1 13 2 %064d", "sub NS ns%d.outside.", "elsewhere.test. TXT \"%d\"",
		"huge 4000000000 TXT \"%d\"", "generic TYPE65280 \\# 1 %02d", "sink SINK 1 2 %d AAAA", "key DNSKEY 256 3 13 AA%02d",
		"bad.nsec3 NSEC3 1 0 %d - 0123456789abcdefghijklmnopqrstuv A", "mx MX %d Mail", "; comment %d", "d%d DNAME elsewhere.",
		"* TXT \"wild %d\"", "www RRSIG A 13 3 60 20400101000000 202%d0101000000 1 example.edu. AAAA", "(\n x TXT a\n b%d )",
	}
	brokenEntries = []string{
		"www A 192.0.2", "www CH TXT a", "$INCLUDE missing.inc", "www ANY \\# 0", "\"open", "alias TXT beside", "$INCLUDE a.zone", "\x01",
		"www A 192.0.2.1 (",
	}
)

func (w *editedWorld) chance(oneIn int) bool { return w.r.IntN(oneIn) == 0 }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// text returns random entries, rarely with an error.
func (w *editedWorld) text(entries int) string {
	var b strings.Builder
	for range w.r.IntN(entries + 1) {
		entry := pick(w.r, editedEntries)
		if strings.Contains(entry, "%") {
			entry = fmt.Sprintf(entry, 1+w.r.IntN(9))
		}
		if strings.Contains(entry, "RRSIG") && !w.chance(20) || strings.HasPrefix(entry, "d") && !w.chance(10) {
			continue
		}
		b.WriteString(entry + "\n")
	}
	if w.chance(25) {
		b.WriteString(pick(w.r, brokenEntries) + "\n")
	}
	return b.String()
}

// file returns the random content of a file.
func (w *editedWorld) file(name string) string {
	if strings.HasSuffix(name, ".inc") {
		return w.text(4)
	}
	if w.chance(8) { // the configuration may have SOA and NS
		return "$TTL 300\nfirst A 192.0.2.1\n" + w.text(8)
	}
	return fmt.Sprintf("$TTL 300\n@ SOA ns.outside. host.outside. %d 60 30 3600 60\n@ NS ns.outside.\n", w.r.IntN(10)) + w.text(8)
}

func (w *editedWorld) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// edit makes one random edit. It returns what was done.
func (w *editedWorld) edit() string {
	name := pick(w.r, append(editedFiles, editedIncludes...))
	path := filepath.Join(w.dir, name)
	info, err := os.Stat(path)
	if err != nil {
		w.write(name, w.file(name))
		return name + " written again"
	}
	switch w.r.IntN(8) {
	case 0:
		at := info.ModTime().Add(time.Duration(w.r.IntN(5)-2) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			w.Fatal(err)
		}
		return name + " has another time"
	case 1, 2:
		w.write(name, w.file(name))
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			w.Fatal(err)
		}
		return name + " changed, without its time"
	case 3:
		if w.chance(3) {
			if err := os.Remove(path); err != nil {
				w.Fatal(err)
			}
			return name + " removed"
		}
		fallthrough
	case 4:
		w.write(name, w.file(name))
		return name + " changed"
	case 5:
		zone := pick(w.r, editedZones)
		if _, ok := w.zones[zone]; ok && len(w.zones) > 1 {
			delete(w.zones, zone)
			return zone + " removed"
		}
		fallthrough
	default:
		zone := pick(w.r, editedZones)
		w.zones[zone] = "file: " + filepath.Join(w.dir, pick(w.r, editedFiles))
		if w.chance(2) {
			w.zones[zone] += ", " + pick(w.r, editedSettings)
		}
		return zone + " has " + w.zones[zone]
	}
}

// config returns the present configuration.
func (w *editedWorld) config() *config.Config {
	w.Helper()
	text := "checks: {up: {type: tcp, port: 80}}\ndnssec: {keys: keys, policies: {default: {}}}\n" +
		"pools: {web: {policy: weighted, check: up, members: [{name: a, addresses: [192.0.2.1]}]}}\nzones:\n"
	for _, name := range editedZones {
		if settings, ok := w.zones[name]; ok {
			text += fmt.Sprintf("  %s: {%s}\n", name, settings)
		}
	}
	text += "  example.com: {primaries: [{address: 192.0.2.9}]}\n"
	path := filepath.Join(w.dir, "meridian.yaml")
	if old, err := os.ReadFile(path); err != nil || string(old) != text {
		w.write("meridian.yaml", text)
	}
	cfg, _, err := config.Parse(path, []byte(text))
	if err != nil {
		w.Fatalf("%s\n%s", err, text)
	}
	return cfg
}

// TestReusedMasterFilesCompileAsParsedOnes edits files and configurations at random. It compiles each state with what the
// compilation before has parsed, and without, and compares everything: the data, errors and warnings.
func TestReusedMasterFilesCompileAsParsedOnes(t *testing.T) {
	const rounds = 150
	valid, reused, parsed, refused := 0, 0, 0, 0
	for seed := range uint64(2) {
		w := &editedWorld{t, rand.New(rand.NewPCG(seed, 7)), t.TempDir(), map[string]string{}}
		var (
			before  *Data
			masters *Masters
			edits   []string
		)
		for range rounds {
			for range 1 + w.r.IntN(3) {
				edits = append(edits, w.edit())
			}
			cfg := w.config()
			want, wantReport := CompileWith(cfg, nil, nil)
			got, gotReport := CompileWith(cfg, nil, masters)
			w.compare(got, want, gotReport, wantReport)
			if t.Failed() {
				t.Fatalf("seed %d, after %s", seed, strings.Join(edits[max(0, len(edits)-6):], "; "))
			}
			if got == nil {
				refused++
				continue
			}
			valid++
			same, all := got.parsed.reusedOf(masters), len(got.parsed.zones)
			if got.Masters().Parsed() != all-same {
				t.Fatalf("%d of %d files are parsed, and %d reused", got.Masters().Parsed(), all, same)
			}
			reused, parsed = reused+same, parsed+all
			w.compareFrozen(cfg, got)
			before, masters = got, got.Masters()
		}
		if before == nil {
			t.Errorf("seed %d: no configuration is valid", seed)
		}
	}
	t.Logf("%d valid, %d refused, %d of %d files reused", valid, refused, reused, parsed)
	if valid < rounds/2 || refused < rounds/10 || reused < parsed/10 || reused > parsed*9/10 {
		t.Error("the test does not cover enough")
	}
}

// reusedOf returns the number of master files that m has from another.
func (m *Masters) reusedOf(other *Masters) (n int) {
	for key, read := range m.zones {
		if other != nil && other.zones[key].master == read.master {
			n++
		}
	}
	return n
}

// compareFrozen edits files and compiles a copy with the files as they were.
func (w *editedWorld) compareFrozen(cfg *config.Config, data *Data) {
	w.Helper()
	c := copyOf(w, time.Now(), "www A 192.0.2.1\n")
	copies := Copies{c.Zone: c}
	want, wantReport := CompileWith(cfg, copies, nil)
	name := pick(w.r, editedFiles)
	path := filepath.Join(w.dir, name)
	text, err := os.ReadFile(path)
	info, _ := os.Stat(path)
	w.write(name, "half of an edit")
	got, gotReport := data.WithCopies(cfg, copies)
	w.compare(got, want, gotReport, wantReport)
	if err != nil {
		err = os.Remove(path)
	} else {
		w.write(name, string(text))
		err = os.Chtimes(path, info.ModTime(), info.ModTime())
	}
	if err != nil {
		w.Fatal(err)
	}
}

// compare compares two results of a compilation of the same configuration.
func (w *editedWorld) compare(got, want *Data, gotReport, wantReport *Report) {
	w.Helper()
	gotWarnings, gotErr := gotReport.Join()
	wantWarnings, wantErr := wantReport.Join()
	if a, b := fmt.Sprint(gotErr, "\n", gotWarnings), fmt.Sprint(wantErr, "\n", wantWarnings); a != b {
		w.Errorf("reported\n%s\nwant\n%s", a, b)
	}
	if (got == nil) != (want == nil) {
		w.Fatalf("compiled: %t, want %t", got != nil, want != nil)
	}
	if got == nil {
		return
	}
	a, b := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		switch name {
		case "config", "seed", "index", "origin", "numbers", "parsed": // the seed is random
			continue
		}
		if a, b := fmt.Sprintf("%+v", a.Field(i)), fmt.Sprintf("%+v", b.Field(i)); name != "presigned" && name != "copies" && a != b {
			w.Errorf("%s is %s\nwant %s", name, a, b)
		}
	}
	if !reflect.DeepEqual(got.presigned, want.presigned) || !reflect.DeepEqual(got.parsed.zones, want.parsed.zones) || !got.parsed.changed.Equal(want.parsed.changed) {
		w.Errorf("presigned %+v and %+v, or the parsed files differ", got.presigned, want.presigned)
	}
}
