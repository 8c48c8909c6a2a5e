package geo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"meridian/config"
)

// forgetShared makes the process forget the tables in use, as a start of another one does.
func forgetShared() {
	shared.Lock()
	defer shared.Unlock()
	shared.tables, shared.schemas = nil, nil
}

// keeping returns a configuration with a state directory and a City database.
func keeping(t *testing.T) *config.Config {
	t.Helper()
	file := writer{kind: "Test-City"}.file(t,
		row{"198.51.100.0/24", cityRecord("US", "CA", "Oakland", 37.8, -122.27)},
		row{"203.0.113.0/25", cityRecord("JP", "13", "Tokyo", 35.7, 139.7)},
		row{"2001:db8::/33", cityRecord("DE", "HE", "Frankfurt", 50.1, 8.7)},
	)
	regions := cities(5)
	return &config.Config{File: "m.yaml", State: t.TempDir(), Regions: regions, Geo: config.Geo{
		Database: file, Default: regions[0].Name, Groups: []config.CountryGroup{{Name: "dach", Countries: []string{"AT", "CH", "DE"}}},
		Networks: []config.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Region: regions[2].Name}},
	}}
}

// openKept opens a Locator as another process does. It is closed with the test.
func openKept(t *testing.T, cfg *config.Config) *Locator {
	t.Helper()
	forgetShared()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	l.builtin, l.sources = &builtin{}, nil // a small one compiles soon
	return l
}

// tablesOf compiles or loads tables of several sets of regions, and one of matches.
func tablesOf(t *testing.T, l *Locator, cfg *config.Config) []*Table {
	t.Helper()
	var all []*Table
	for _, n := range []int{0, 1, 3, 5} {
		table, err := l.Table(cfg.Regions[:n])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, table)
	}
	matches := []config.Match{{Countries: []string{"US"}}, {Groups: []string{"dach"}}, {Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/26")}}, {Default: true}}
	table, err := l.Matches(matches)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, table)
}

// save saves the tables of a Locator.
func save(t *testing.T, l *Locator) {
	t.Helper()
	if err := l.SaveTables(); err != nil {
		t.Fatal(err)
	}
}

// tableFiles returns the names of the files in the folder of a configuration.
func tableFiles(t *testing.T, cfg *config.Config) (names []string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(cfg.State, tablesName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// sameAnswers compares all that decisions read of two tables.
func sameAnswers(t *testing.T, what string, a, b *Table, clients []netip.Addr) {
	t.Helper()
	for _, addr := range clients {
		x, y := a.Lookup(addr), b.Lookup(addr)
		if !slices.Equal(a.Ranking(x), b.Ranking(y)) {
			t.Fatalf("%s: %s ranks %v, want %v", what, addr, b.Ranking(y), a.Ranking(x))
		}
		for k := range a.Ranking(x) {
			if a.Scope(x, k) != b.Scope(y, k) {
				t.Fatalf("%s: %s has scope %d at %d, want %d", what, addr, b.Scope(y, k), k, a.Scope(x, k))
			}
		}
		if a.rankings.regions == 0 {
			continue
		}
		r, s := a.Nearest(addr)
		if r2, s2 := b.Nearest(addr); r != r2 || s != s2 {
			t.Fatalf("%s: %s is nearest to %d with scope %d, want %d and %d", what, addr, r2, s2, r, s)
		}
	}
}

// randomClients returns addresses in the networks of the sources and elsewhere.
func randomClients(r *rand.Rand, n int) []netip.Addr {
	heads := []string{"198.51.100.0", "203.0.113.0", "192.0.2.0", "10.0.0.0", "2001:db8::", "2001:db8:8000::", "2a00::", "fc00::"}
	var all []netip.Addr
	for range n {
		b := addrOf(heads[r.IntN(len(heads))]).AsSlice()
		for i := r.IntN(len(b)); i < len(b); i++ {
			b[i] ^= byte(r.Uint32())
		}
		addr, _ := netip.AddrFromSlice(b)
		all = append(all, addr)
	}
	return all
}

func TestTablesOfFilesAnswerAsCompiledOnes(t *testing.T) {
	cfg := keeping(t)
	first := openKept(t, cfg)
	compiled := tablesOf(t, first, cfg)
	if n := first.TablesMade(); n.From != [origins]int{Compiled: len(compiled)} || n.Reason != errNoFile.Error() {
		t.Errorf("the first start made %+v", n)
	}
	save(t, first)
	second := openKept(t, cfg)
	loaded := tablesOf(t, second, cfg)
	if n := second.TablesMade(); n.From != [origins]int{Loaded: len(compiled)} || n.Reason != "" {
		t.Errorf("the second start made %+v", n)
	}
	if second.sources != nil {
		t.Error("the second start has read the database")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range compiled {
		sameAnswers(t, fmt.Sprint("table ", i), compiled[i], loaded[i], randomClients(r, 2000))
		if compiled[i].Bytes() != loaded[i].Bytes() {
			t.Errorf("table %d has %d bytes, want %d", i, loaded[i].Bytes(), compiled[i].Bytes())
		}
	}
	for _, addr := range randomClients(r, 200) { // explanations read the database later
		if a, b := first.Locate(addr), second.Locate(addr); a != b {
			t.Errorf("%s is at %+v, want %+v", addr, b, a)
		}
	}
}

// The next configuration shares tables with the one that serves, without a state directory, too.
func TestReloadReusesTables(t *testing.T) {
	cfg := keeping(t)
	cfg.State = ""
	first := openKept(t, cfg)
	compiled := tablesOf(t, first, cfg)
	changed := *cfg
	changed.Regions = slices.Clone(cfg.Regions)
	changed.Regions[4].Bias++
	second, err := OpenInBackground(&changed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	second.builtin, second.sources = &builtin{}, nil
	reused := tablesOf(t, second, &changed)
	for i := range compiled {
		if changes := i == 3; (compiled[i] == reused[i]) == changes {
			t.Errorf("table %d: reused is %t", i, !changes)
		}
	}
	if n := second.TablesMade(); n.From != [origins]int{Compiled: 1, Reused: len(compiled) - 1} || n.Reason != "" {
		t.Errorf("the reload made %+v", n)
	}
	if err := second.SaveTables(); err != nil {
		t.Errorf("without a state directory: %v", err)
	}
	runtime.KeepAlive(first)
}

// Each change of what a table is compiled from gives another table.
func TestEverySourceChangesTheKey(t *testing.T) {
	seen := map[tableKey]string{}
	matches := []config.Match{{Groups: []string{"dach"}}, {Default: true}}
	try := func(what string, change func(*config.Config)) {
		cfg := keeping(t)
		change(cfg)
		l := openKept(t, cfg)
		list, ok := l.matchesKey(matches)
		for _, key := range []tableKey{l.rankingKey(cfg.Regions), list} {
			if before, used := seen[key]; used || !ok {
				t.Errorf("%s has the key of %s", what, before)
			}
			seen[key] = what
		}
	}
	try("the original", func(*config.Config) {})
	try("another database", func(c *config.Config) {
		c.Geo.Database = writer{kind: "Test-City"}.file(t, row{"198.51.100.0/24", cityRecord("US", "CA", "Oakland", 37.9, -122.27)})
	})
	try("no database", func(c *config.Config) { c.Geo.Database = "" })
	try("an accuracy radius", func(c *config.Config) { c.Geo.MaxAccuracyRadius = 500 })
	try("another default", func(c *config.Config) { c.Geo.Default = c.Regions[1].Name })
	try("no default", func(c *config.Config) { c.Geo.Default = "" })
	try("another network", func(c *config.Config) { c.Geo.Networks[0].Prefix = netip.MustParsePrefix("192.0.2.0/25") })
	try("another region of a network", func(c *config.Config) { c.Geo.Networks[0].Region = c.Regions[3].Name })
	cfg := keeping(t)
	l := openKept(t, cfg)
	before := l.rankingKey(cfg.Regions)
	cfg.Regions[0].Name = "renamed"
	if l.rankingKey(cfg.Regions) != before {
		t.Error("the name of a region changes the key, and no table has it")
	}
	list, _ := l.matchesKey(matches)
	cfg.Geo.Groups[0].Countries = []string{"AT", "CH"}
	if changed, _ := l.matchesKey(matches); changed == list {
		t.Error("the countries of a group do not change the key")
	}
}

func TestASNFileChangesTheKeyOfMatchesByASN(t *testing.T) {
	keys := map[tableKey]bool{}
	for _, number := range []uint32{64500, 64501} {
		cfg := keeping(t)
		cfg.Geo.ASN = writer{kind: "Test-ASN"}.file(t, row{"198.51.100.0/24", asnRecord(number)})
		l := openKept(t, cfg)
		for _, m := range []config.Match{{ASNs: []uint32{64500}}, {Countries: []string{"US"}}} {
			key, ok := l.matchesKey([]config.Match{m, {Default: true}})
			if !ok {
				t.Fatal("no key")
			}
			keys[key] = true
		}
	}
	if len(keys) != 3 {
		t.Errorf("%d keys, want one for each ASN file and one for the country", len(keys))
	}
}

func TestDamagedAndForeignFilesAreCompiledAgain(t *testing.T) {
	cfg := keeping(t)
	first := openKept(t, cfg)
	want, err := first.Table(cfg.Regions)
	if err != nil {
		t.Fatal(err)
	}
	save(t, first)
	path := first.folder().path(first.rankingKey(cfg.Regions), tableSuffix)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := first.Table(cfg.Regions[:2])
	if err != nil {
		t.Fatal(err)
	}
	var foreign bytes.Buffer
	if err := other.writeTo(&foreign, first.rankingKey(cfg.Regions[:2])); err != nil {
		t.Fatal(err)
	}
	patched := func(at int, b ...byte) []byte {
		data := slices.Clone(whole)
		copy(data[at:], b)
		return data
	}
	r := rand.New(rand.NewPCG(3, 4))
	cases := map[string]struct {
		data []byte
		want error
	}{
		"empty":         {nil, errDamaged},
		"of text":       {[]byte("not a table"), errDamaged},
		"of a table":    {foreign.Bytes(), errDamaged},
		"too long":      {append(slices.Clone(whole), 0), errDamaged},
		"of version":    {patched(len(tableMagic), 0xff), errOtherVersion},
		"of byte order": {patched(len(tableMagic)+4, whole[len(tableMagic)+7]), errOtherVersion},
		"of huge size":  {patched(headerSize-counts*8-16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), errDamaged},
	}
	for i := range 5 {
		at := headerSize + r.IntN(len(whole)-headerSize)
		cases[fmt.Sprint("changed ", i)] = struct {
			data []byte
			want error
		}{patched(at, whole[at]^1<<r.IntN(8)), errDamaged}
		cases[fmt.Sprint("cut ", i)] = struct {
			data []byte
			want error
		}{whole[:r.IntN(len(whole))], errDamaged}
	}
	for what, c := range cases {
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if table, err := first.folder().load(first.rankingKey(cfg.Regions), tableLimit{number: len(cfg.Regions)}); table != nil || !errors.Is(err, c.want) {
			t.Errorf("a file %s: %v, want %v", what, err, c.want)
		}
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	l := openKept(t, cfg)
	table, err := l.Table(cfg.Regions)
	if n := l.TablesMade(); err != nil || n.From[Compiled] != 1 || !strings.Contains(n.Reason, "is damaged") {
		t.Fatalf("made %+v, error %v", n, err)
	}
	sameAnswers(t, "compiled again", want, table, randomClients(r, 500))
	save(t, l)
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
		t.Errorf("the damaged file was not replaced by the one before: %v", err)
	}
}

// What happens to the file of a loaded table later does not matter.
func TestLoadedTableDoesNotReadItsFileAgain(t *testing.T) {
	cfg := keeping(t)
	first := openKept(t, cfg)
	want := tablesOf(t, first, cfg)
	save(t, first)
	second := openKept(t, cfg)
	loaded := tablesOf(t, second, cfg)
	for _, name := range tableFiles(t, cfg) {
		if err := os.Truncate(filepath.Join(cfg.State, tablesName, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	for i := range want {
		sameAnswers(t, "truncated", want[i], loaded[i], randomClients(r, 500))
	}
}

func TestSaveRemovesTablesOfOtherSources(t *testing.T) {
	cfg := keeping(t)
	first := openKept(t, cfg)
	tablesOf(t, first, cfg)
	save(t, first)
	if n := len(tableFiles(t, cfg)); n != len(first.kept)+1 {
		t.Fatalf("%d files for %d tables and a database", n, len(first.kept))
	}
	folder := filepath.Join(cfg.State, tablesName)
	for _, name := range []string{"left-by-a-crash.table.new", "README"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Geo.Default = cfg.Regions[1].Name
	second := openKept(t, cfg)
	if _, err := second.Table(cfg.Regions); err != nil {
		t.Fatal(err)
	}
	save(t, second)
	want := []string{filepath.Base(second.folder().path(second.kept[0].key, tableSuffix)), filepath.Base(second.folder().path(second.databaseDigest, schemaSuffix)), "README"}
	got := tableFiles(t, cfg)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the folder has %q, want %q", got, want)
	}
	for _, name := range got {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, error %v", name, info.Mode(), err)
		}
	}
}

// Two processes, as during an upgrade, save the same tables.
func TestTwoLocatorsSaveAtOnce(t *testing.T) {
	cfg := keeping(t)
	one, other := openKept(t, cfg), openKept(t, cfg)
	want := tablesOf(t, one, cfg)
	tablesOf(t, other, cfg)
	done := make(chan error)
	for _, l := range []*Locator{one, other} {
		go func() { done <- l.SaveTables() }()
	}
	_, _ = <-done, <-done // one may find that the other has renamed its file
	save(t, one)
	third := openKept(t, cfg)
	loaded := tablesOf(t, third, cfg)
	if n := third.TablesMade(); n.From[Loaded] != len(want) {
		t.Errorf("made %+v", n)
	}
	sameAnswers(t, "saved twice", want[3], loaded[3], randomClients(rand.New(rand.NewPCG(7, 8)), 500))
}

func TestTablesThatCannotBeSavedAreErrors(t *testing.T) {
	cfg := keeping(t)
	l := openKept(t, cfg)
	tablesOf(t, l, cfg)
	if err := os.WriteFile(filepath.Join(cfg.State, tablesName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.SaveTables(); err == nil {
		t.Error("no error with a file in place of the folder")
	}
	next := openKept(t, cfg)
	tablesOf(t, next, cfg)
	if n := next.TablesMade(); n.From[Compiled] == 0 || n.Reason == "" {
		t.Errorf("made %+v", n)
	}
}

// A failed write leaves no file.
func TestFailedWriteLeavesNoFile(t *testing.T) {
	folder := t.TempDir()
	failed := errors.New("no space left on device")
	err := writeFile(filepath.Join(folder, "x.table"), func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		return failed
	})
	files, _ := os.ReadDir(folder)
	if !errors.Is(err, failed) || len(files) > 0 {
		t.Errorf("error %v, %d files left", err, len(files))
	}
}

// A table that may be of two versions of a database is not saved under the digest of one.
func TestOverwrittenDatabaseIsNotSaved(t *testing.T) {
	cfg := keeping(t)
	l := openKept(t, cfg)
	f, err := os.OpenFile(cfg.Geo.Database, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tablesOf(t, l, cfg)
	if _, err := f.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	if !l.db.mapped {
		t.Skip("SKIPPED: the system does not map files")
	}
	save(t, l)
	if got := tableFiles(t, cfg); len(got) > 0 {
		t.Errorf("saved %q", got)
	}
}

// The tables of fixed sources, without the data that is part of the program. If this fails, the same sources give another table
// than before: raise tableVersion and write the new hash here.
func TestTableVersionIsRaisedWithTheTables(t *testing.T) {
	const want = "1-974a5e3d33096383"
	if unsafe.Sizeof(popnode{}) != 24 || binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("SKIPPED: tables have another form on this machine")
	}
	l := openKept(t, keeping(t))
	sum := sha256.New()
	for _, table := range tablesOf(t, l, l.cfg) {
		if err := table.writeTo(sum, tableKey{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprintf("%d-%.8x", tableVersion, sum.Sum(nil)); got != want {
		t.Errorf("version and hash are %s, want %s", got, want)
	}
}

// FuzzTableFile checks that any file is refused, or is a table in which every lookup ends.
func FuzzTableFile(f *testing.F) {
	v4 := &trie{}
	root := v4.set(v4.set(0, key{hi: 198 << 56}, 0, 26, 1), key{hi: 198<<56 | 51<<48}, 0, 32, 2)
	v6 := &trie{}
	small := newTable(1, rankings{3, []uint16{0, 1, 2, 1, 0, 2, 2, 1, 0}}, v4, root, v6, 1)
	var file bytes.Buffer
	if err := small.writeTo(&file, tableKey{}); err != nil {
		f.Fatal(err)
	}
	// Most of the file are four roots of a MiB. The fuzzer gets the rest, and which entry of which root to change.
	header := file.Bytes()[:headerSize]
	f.Add(header, uint16(1), uint32(7), []byte{})
	f.Add(header, uint16(0), uint32(inner), []byte{1, 2, 3, 255, 255})
	f.Fuzz(func(t *testing.T, header []byte, slot uint16, value uint32, changes []byte) {
		data := slices.Clone(file.Bytes()[:file.Len()-sha256.Size])
		copy(data, header)
		binary.NativeEndian.PutUint32(data[headerSize+4*int(slot):], value)
		for i := 0; i+2 < len(changes); i += 3 { // outside of the roots
			at := int(changes[i])<<8 | int(changes[i+1])
			data[len(data)-1-at] ^= changes[i+2]
		}
		sum := sha256.Sum256(data)
		data = append(data, sum[:]...)
		limit := tableLimit{3, slot%2 == 1}
		table, err := readTable(bytes.NewReader(data), int64(len(data)), tableKey{}, limit)
		if err != nil {
			return
		}
		for _, addr := range []netip.Addr{addrOf("198.51.0.0"), addrOf("198.0.0.1"), addrOf("0.0.0.0"), addrOf("255.255.255.255"), addrOf("::2"), addrOf("ffff::")} {
			for _, region := range table.Ranking(table.Lookup(addr)) {
				if !limit.allows(region) {
					t.Errorf("region %d", region)
				}
			}
			table.Scope(table.Lookup(addr), 0)
			table.Nearest(addr)
		}
	})
}
