package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// awaitTableFiles waits until the state directory has one file of a geo table that meets the condition, and returns its name.
func awaitTableFiles(t *testing.T, state, what string, condition func(name string) bool) string {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	var files []string
	for range 6000 {
		var err error
		if files, err = filepath.Glob(filepath.Join(state, "geo", "*.table")); err != nil {
			t.Fatal(err)
		}
		if len(files) == 1 && condition(files[0]) {
			return files[0]
		}
		<-poll.C
	}
	t.Fatalf("%s: the folder has %q", what, files)
	return ""
}

// TestTablesOfWhatServesAreSaved covers the start, reloads, and the end of the process.
func TestTablesOfWhatServesAreSaved(t *testing.T) {
	state := t.TempDir()
	text := strings.Replace(steered, "policy: failover", "policy: proximity", 1)
	text = strings.Replace(text, "{name: off,", "{name: off, region: west,", 1) + "state: " + state + "\n"
	r := start(t, text)
	whole := func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.Size() > 1<<20
	}
	first := awaitTableFiles(t, state, "after the start", whole)
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	r.reload(text)
	if again := awaitTableFiles(t, state, "after a reload without a file", whole); again != first {
		t.Errorf("the table of the same regions is in %s, want %s", again, first)
	}
	r.reload(strings.Replace(text, "west: {location: [0, 90]}", "west: {location: [0, 91]}", 1))
	moved := awaitTableFiles(t, state, "after a reload with another region", func(name string) bool { return name != first })
	logged := r.log.with("geo tables ready")
	compiled := slices.ContainsFunc(logged[2:], func(line string) bool { return strings.Contains(line, "no file has the table") })
	if !strings.Contains(logged[1], "reused=1") || !compiled {
		t.Errorf("logged %q", logged)
	}
	measured, ok := r.Measure()
	total := 0
	for _, n := range measured.GeoTables.From {
		total += n
	}
	if !ok || total != 1 {
		t.Errorf("measured %+v", measured.GeoTables)
	}
	if err := os.Remove(moved); err != nil {
		t.Fatal(err)
	}
	r.reload(text)
	if err := r.stop(); err != nil { // waits for the save
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(state, "geo", "*")); len(files) != 1 || files[0] != first {
		t.Errorf("the process left %q, want %s", files, first)
	}
}

// A save that is under way when another generation serves is done again.
func TestTableSaverSavesAgain(t *testing.T) {
	var s tableSaver
	if s.underWay() != nil || !s.begin() {
		t.Fatal("the first save does not begin")
	}
	saved := s.underWay()
	for range 3 {
		if s.begin() {
			t.Error("two saves at once")
		}
	}
	if !s.end() {
		t.Error("the save does not begin again")
	}
	if s.end() {
		t.Error("the save begins a third time")
	}
	select {
	case <-saved:
	default:
		t.Error("the channel of a save that has ended is open")
	}
	if s.underWay() != nil || !s.begin() {
		t.Error("no save begins after one that has ended")
	}
}
