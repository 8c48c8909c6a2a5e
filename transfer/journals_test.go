package transfer

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/transfer/journal"
	"meridian/zones"
)

const updatedZone = "@ 300 IN SOA ns host %d 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n"

// updated returns the view of a zone that takes updates, from the text of its file.
func updated(t testing.TB, file string) *View {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse("meridian.yaml", []byte("zones: {example.com: {file: "+path+"}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Zones[0].Update = []config.UpdateRule{{Key: "acme.", Names: []string{"*"}}}
	data, report := zones.Compile(cfg)
	if data == nil {
		_, err := report.Join()
		t.Fatal(err)
	}
	return NewView(cfg, data, nil, nil)
}

// newJournals returns journals in a state directory.
func newJournals(state string) *Journals {
	j := NewJournals(slog.New(slog.DiscardHandler))
	j.Use(state)
	return j
}

// load makes a view the one that is served.
func load(t testing.TB, j *Journals, before, next *View) *View {
	t.Helper()
	steps, err := j.Prepare(before, next, time.Unix(2_000_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	j.Commit(steps)
	return next
}

// update makes an update as the server does, and returns the view with it; false: nothing changes.
func update(t testing.TB, j *Journals, v *View, edit func(*dns.Msg)) (*View, bool) {
	t.Helper()
	msg := new(dns.Msg).SetUpdate("example.com.")
	edit(msg)
	packet, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	of, err := j.OfUpdates(v, 0)
	if of == nil || err != nil {
		t.Fatalf("no journal: %v", err)
	}
	state, _ := of.State()
	u := NewEvaluator(v.Config, v.Data, 0, state).Evaluate(&UpdateRequest{Packet: packet, Key: "acme.", At: time.Unix(1_000_000_000, 0)})
	if u.Rcode != dns.RcodeSuccess {
		t.Fatalf("%+v", u)
	}
	if u.Change == nil {
		return v, false
	}
	data, err := v.Data.Update(0, u.Sets)
	if err != nil {
		t.Fatal(err)
	}
	if err := of.Append(u.Change); err != nil {
		t.Fatal(err)
	}
	return NewView(v.Config, data, nil, nil), true
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// values returns the data of the TXT records of www.
func values(t testing.TB, v *View) (all []string) {
	t.Helper()
	for _, r := range currentRecords(v.Data, 0, dnsname.Name("www.example.com.").Wire()) {
		all = append(all, r.Data()[1:])
	}
	slices.Sort(all)
	return all
}

// expected is the slow reference of a name: updates decide about a record from when an update changes it while the file has
// it, or the file is loaded with it while an update has added it. The file decides about all others.
type expected struct {
	file, served, decided map[string]bool
}

func (e *expected) load(file map[string]bool) {
	next := map[string]bool{}
	for _, v := range []string{"1", "2", "3"} {
		added := e.served[v] && !e.file[v]
		if file[v] && added {
			e.decided[v] = true
		}
		switch {
		case e.decided[v]:
			next[v] = e.served[v]
		default:
			next[v] = file[v] || added
		}
	}
	e.file, e.served = maps.Clone(file), next
}

func (e *expected) update(v string, present bool) {
	if e.served[v] != present && e.file[v] {
		e.decided[v] = true
	}
	e.served[v] = present
}

func (e *expected) values() (all []string) {
	for v, served := range e.served {
		if served {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// TestUpdatesAndFilesTogether makes random updates, edits of the file, reloads and restarts, and compares the records with those
// that a user expects.
func TestUpdatesAndFilesTogether(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	state := t.TempDir()
	journals := newJournals(state)
	file := map[string]bool{"1": true}
	want := &expected{file: map[string]bool{}, served: map[string]bool{}, decided: map[string]bool{}}
	text := func() string {
		text := fmt.Sprintf(updatedZone, 7)
		for _, v := range slices.Sorted(maps.Keys(file)) {
			text += "www 60 IN TXT " + v + "\n"
		}
		return text
	}
	served := load(t, journals, nil, updated(t, text()))
	want.load(file)
	var history []string
	for range 80 {
		v := fmt.Sprint(1 + random.IntN(3))
		record := rr(t, "www.example.com. 60 IN TXT "+v)
		switch what := random.IntN(8); what {
		case 0, 1, 2:
			history = append(history, "add "+v)
			served, _ = update(t, journals, served, func(m *dns.Msg) { m.Insert([]dns.RR{record}) })
			want.update(v, true)
		case 3, 4, 5:
			history = append(history, "delete "+v)
			served, _ = update(t, journals, served, func(m *dns.Msg) { m.Remove([]dns.RR{record}) })
			want.update(v, false)
		default:
			if random.IntN(2) == 0 {
				history = append(history, "edit "+v)
				if file[v] = !file[v]; !file[v] {
					delete(file, v)
				}
			}
			before := served
			if what == 7 {
				history = append(history, "restart")
				if random.IntN(2) == 0 { // else a crash
					journals.Close()
				}
				journals, before = newJournals(state), nil
			}
			history = append(history, "load")
			served = load(t, journals, before, updated(t, text()))
			want.load(file)
		}
		if got := values(t, served); !slices.Equal(got, want.values()) {
			t.Fatalf("seed %d: %s: the name has %q, want %q", seed, strings.Join(history, ", "), got, want.values())
		}
	}
}

// TestDeletedRecordOfTheFileStaysDeleted changes the address of a name back and forth, and has the file have an added record.
func TestDeletedRecordOfTheFileStaysDeleted(t *testing.T) {
	one, two := rr(t, "www.example.com. 60 IN TXT 1"), rr(t, "www.example.com. 60 IN TXT 2")
	replace := func(old, next dns.RR) func(m *dns.Msg) {
		return func(m *dns.Msg) { m.Remove([]dns.RR{old}); m.Insert([]dns.RR{next}) }
	}
	state := t.TempDir()
	journals := newJournals(state)
	file := fmt.Sprintf(updatedZone, 7) + "www 60 IN TXT 1\n"
	served := load(t, journals, nil, updated(t, file))
	for _, edit := range []func(m *dns.Msg){replace(one, two), replace(two, one), replace(one, two)} {
		served, _ = update(t, journals, served, edit)
	}
	served = load(t, journals, served, updated(t, file))
	if got := values(t, served); !slices.Equal(got, []string{"2"}) {
		t.Errorf("after the record was deleted, added and deleted: %q", got)
	}
	both := file + "www 300 IN TXT 2\n"
	served = load(t, journals, served, updated(t, both))
	_, _ = update(t, journals, served, replace(two, rr(t, "www.example.com. 60 IN TXT 3")))
	journals.Close()
	served = load(t, newJournals(state), nil, updated(t, both))
	if got := values(t, served); !slices.Equal(got, []string{"3"}) {
		t.Errorf("after the file has the added record too, and an update deletes it: %q", got)
	}
}

// TestJournalsOfUpdatesAreUsedAgain has a process pass its journals to another one, and use them again because the other
// one fails.
func TestJournalsOfUpdatesAreUsedAgain(t *testing.T) {
	state := t.TempDir()
	journals := newJournals(state)
	served := load(t, journals, nil, updated(t, fmt.Sprintf(updatedZone, 7)))
	insert := func(v string) func(m *dns.Msg) {
		return func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "www.example.com. 60 IN TXT "+v)}) }
	}
	journals.Close()
	journals.Use(state) // as for another configuration
	if of, err := journals.OfUpdates(served, 0); of != nil || err != nil || !journals.Closed() {
		t.Errorf("a closed journal is open: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(state, folderName, "*")); len(files) != 1 {
		t.Errorf("the other process finds %q", files)
	}
	first := served.Data.Serial(0)
	journals.Reopen(served.Config)
	served, _ = update(t, journals, served, insert("1"))
	journals.Close()
	journals.Reopen(served.Config)
	of := journals.Of("example.com.")
	if of == nil || of.Since(first, served.Data.Serial(0)) == nil {
		t.Error("the journal has no difference after it was opened again")
	}
	if s, _ := of.State(); s.File == "" {
		t.Errorf("the journal is in memory: %+v", s)
	}
}

// TestUpdatesBeginAtTheServedSerial has the file of a journal at another serial than the zone, and not at all: another process
// wrote it, or the time for it was too short.
func TestUpdatesBeginAtTheServedSerial(t *testing.T) {
	for what, begin := range map[string]func(j *Journals, served uint32){
		"another serial": func(j *Journals, served uint32) { j.Of("example.com.").Begin(served+5, journal.Digest{1}) },
		"no serial":      func(j *Journals, _ uint32) { delete(j.zones, "example.com.") },
	} {
		t.Run(what, func(t *testing.T) {
			journals := newJournals("")
			served := load(t, journals, nil, updated(t, fmt.Sprintf(updatedZone, 7)))
			begin(journals, served.Data.Serial(0))
			served, _ = update(t, journals, served, func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "www.example.com. 60 IN TXT 1")}) })
			content, err := served.Defaults.Content(served.Config, 0)
			if err != nil {
				t.Fatal(err)
			}
			if s, _ := journals.Of("example.com.").State(); s.Serial != served.Data.Serial(0) || s.Digest != content.Digest() {
				t.Errorf("%+v, and the zone has serial %d", s, served.Data.Serial(0))
			}
		})
	}
}

// TestUnrecordedContentHasNoDifference reloads a zone with content that changed without a new serial, as with the targets of its
// pools: a difference would leave secondaries with the old content.
func TestUnrecordedContentHasNoDifference(t *testing.T) {
	for what, content := range map[string]string{"it stays changed": "www 60 IN TXT 2\n", "it changes back": "www 60 IN TXT 1\n"} {
		t.Run(what, func(t *testing.T) {
			journals := newJournals("")
			view := func(serial int, more string) *View {
				v := updated(t, fmt.Sprintf(updatedZone, serial)+more)
				v.Config.Zones[0].Serial = config.KeepSerial
				return v
			}
			load(t, journals, nil, view(7, "www 60 IN TXT 1\n"))
			drifted := view(7, "www 60 IN TXT 2\n")
			load(t, journals, drifted, view(8, content))
			if s, _ := journals.Of("example.com.").State(); s.Serial != 8 || s.Changes != 0 {
				t.Errorf("%+v, want serial 8 without a difference", s)
			}
		})
	}
}

// TestSecondSerialOfTwoContentsHasNoDifference changes a zone without a higher serial, in the three ways that a file can, and
// then raises the serial: secondaries with a serial of two contents may have the first one, and take the whole zone.
func TestSecondSerialOfTwoContentsHasNoDifference(t *testing.T) {
	type file struct {
		serial int
		more   string
	}
	x, y, z := "www 60 IN TXT x\n", "www 60 IN TXT y\n", "www 60 IN TXT z\n"
	cases := map[string]struct {
		files      []file
		without    []uint32 // serials from which there is no difference to the last one
		difference uint32   // the serial from which there is one
	}{
		"the serial stays":                     {[]file{{1, ""}, {1, x}, {2, x + y}, {3, x + y + z}}, []uint32{1}, 2},
		"the serial stays and x goes again":    {[]file{{1, ""}, {1, x}, {1, ""}, {2, y}, {3, y + z}}, []uint32{1}, 2},
		"the serial falls and rises again":     {[]file{{1, ""}, {3, x}, {2, y}, {3, z}, {4, x + z}, {5, y}}, []uint32{1, 2, 3}, 4},
		"the serial falls with the same names": {[]file{{1, ""}, {3, x}, {2, x}, {3, y}, {4, z}, {5, y}}, []uint32{1, 2, 3}, 4},
	}
	for what, c := range cases {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restarts %v", what, restarts), func(t *testing.T) {
				state := t.TempDir()
				journals := newJournals(state)
				var served *View
				for _, f := range c.files {
					next := updated(t, fmt.Sprintf(updatedZone, f.serial)+f.more)
					next.Config.Zones[0].Serial = config.KeepSerial
					served = load(t, journals, served, next)
					if restarts { // with the same files, so that the next difference is known
						journals = newJournals(state)
						served = load(t, journals, nil, next)
					}
				}
				of, last := journals.Of("example.com."), uint32(c.files[len(c.files)-1].serial)
				for _, from := range c.without {
					if got := of.Since(from, last); got != nil {
						t.Errorf("a difference from serial %d: %v", from, got)
					}
				}
				if of.Since(c.difference, last) == nil {
					t.Errorf("no difference from serial %d", c.difference)
				}
			})
		}
	}
}

// TestUpdateAfterAReusedSerialHasNoDifference changes the file without a higher serial, and then makes an update.
func TestUpdateAfterAReusedSerialHasNoDifference(t *testing.T) {
	view := func(more string) *View {
		v := updated(t, fmt.Sprintf(updatedZone, 7)+more)
		v.Config.Zones[0].Serial = config.KeepSerial
		return v
	}
	journals := newJournals(t.TempDir())
	served := load(t, journals, load(t, journals, nil, view("")), view("www 60 IN TXT 1\n"))
	var serials []uint32
	for _, v := range []string{"2", "3"} {
		served, _ = update(t, journals, served, func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "www.example.com. 60 IN TXT "+v)}) })
		serials = append(serials, served.Data.Serial(0))
	}
	of := journals.Of("example.com.")
	if got := of.Since(7, serials[1]); got != nil {
		t.Errorf("a difference from the serial of two contents: %v", got)
	}
	if of.Since(serials[0], serials[1]) == nil {
		t.Error("no difference between the updates")
	}
}

// TestSerialRisesAfterACorruptJournal corrupts the journal of a zone at different places, and starts again: secondaries would
// keep their copy of a zone with a lower serial.
func TestSerialRisesAfterACorruptJournal(t *testing.T) {
	now := uint32(time.Now().Unix())
	for what, c := range map[string]struct {
		policy  config.SerialPolicy
		corrupt func(file []byte) []byte
		least   uint32 // the serial afterwards
		logged  bool
	}{
		"increment and a wrong octet": {config.IncrementSerial, func(file []byte) []byte { file[len(file)/2] ^= 1; return file }, 11, false},
		"increment and no entry":      {config.IncrementSerial, func([]byte) []byte { return []byte("nothing") }, 4, true},
		"date and a wrong octet":      {config.DateSerial, func(file []byte) []byte { file[len(file)/2] ^= 1; return file }, 11, false},
		"unixtime and a wrong octet":  {config.UnixtimeSerial, func(file []byte) []byte { file[len(file)/2] ^= 1; return file }, now, false},
		"unixtime and no entry":       {config.UnixtimeSerial, func([]byte) []byte { return []byte("nothing") }, now, true},
	} {
		t.Run(what, func(t *testing.T) {
			state := t.TempDir()
			view := func() *View {
				v := updated(t, fmt.Sprintf(updatedZone, 4))
				v.Config.Zones[0].Serial = c.policy
				return v
			}
			journals := newJournals(state)
			served := load(t, journals, nil, view())
			for i := range 6 {
				served, _ = update(t, journals, served, func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, fmt.Sprintf("www.example.com. 60 IN TXT %d", i))}) })
			}
			least := max(c.least, served.Data.Serial(0)+1)
			if c.logged {
				least = c.least
			}
			journals.Close()
			path := filepath.Join(state, folderName, "example.com.journal")
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.corrupt(file), 0o600); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			journals = NewJournals(slog.New(slog.NewTextHandler(&text, nil)))
			journals.Use(state)
			if got := load(t, journals, nil, view()).Data.Serial(0); got < least {
				t.Errorf("serial %d, want at least %d", got, least)
			}
			if logged := strings.Contains(text.String(), "may be lower than before"); logged != c.logged || !strings.Contains(text.String(), "quarantined") {
				t.Errorf("the log has %s", text.String())
			}
			lost := `updates_lost="those after serial `
			if strings.HasSuffix(what, "no entry") {
				lost = "updates_lost=all"
			}
			if !strings.Contains(text.String(), lost) {
				t.Errorf("no %s in %s", lost, text.String())
			}
		})
	}
}

// TestKeptSerialAfterACorruptJournal has a zone with serial: keep, of which it is not known whether it changed since its
// journal was corrupt. The next change is known again.
func TestKeptSerialAfterACorruptJournal(t *testing.T) {
	state := t.TempDir()
	view := func(serial int, more string) *View {
		v := updated(t, fmt.Sprintf(updatedZone, serial)+more)
		z := &v.Config.Zones[0]
		z.Update, z.Serial, z.Transfer.Out = nil, config.KeepSerial, []config.TransferRule{{Key: "xfr."}}
		return v
	}
	journals := newJournals(state)
	served := load(t, journals, nil, view(3, ""))
	for i, text := range []string{"old", "x"} {
		served = load(t, journals, served, view(4+i, "www 60 IN TXT "+text+"\n"))
	}
	journals.Close()
	path := filepath.Join(state, folderName, "example.com.journal")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)/2] ^= 1
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	journals = NewJournals(slog.New(slog.NewTextHandler(&text, nil)))
	journals.Use(state)
	const unknown, changed = "than before its journal was corrupt", "a zone has changed"
	served = load(t, journals, nil, view(5, "www 60 IN TXT x\n"))
	if log := text.String(); !strings.Contains(log, unknown) || strings.Contains(log, changed) || served.Data.Serial(0) != 5 {
		t.Errorf("serial %d, log\n%s", served.Data.Serial(0), log)
	}
	text.Reset()
	served = load(t, journals, served, view(5, "www 60 IN TXT x\n"))
	if log := text.String(); log != "" {
		t.Errorf("nothing has changed, log\n%s", log)
	}
	load(t, journals, served, view(5, "www 60 IN TXT y\n"))
	if log := text.String(); strings.Contains(log, unknown) || !strings.Contains(log, changed) {
		t.Errorf("after a change, log\n%s", log)
	}
}

// TestLiveSerialDoesNotFallWithoutJournal starts without a journal: an earlier process may have published serials until now.
func TestLiveSerialDoesNotFallWithoutJournal(t *testing.T) {
	v := updated(t, fmt.Sprintf(updatedZone, 7))
	z := &v.Config.Zones[0]
	z.Update, z.Serial, z.Transfer.Pools = nil, config.UnixtimeSerial, config.LivePools
	z.Transfer.Notify = []config.Notified{{Address: netip.MustParseAddrPort("192.0.2.54:53")}}
	load(t, newJournals(""), nil, v)
	if serial := v.Data.Serial(0); serial != 2_000_000_000 {
		t.Errorf("serial %d, want the time of the start", serial)
	}
}

// TestUpdatesOfAFailedSuccessorAreFound has another process make an update, and fail before it takes over: the journal is ahead of the
// zone, and the next load serves the update.
func TestUpdatesOfAFailedSuccessorAreFound(t *testing.T) {
	state, file := t.TempDir(), fmt.Sprintf(updatedZone, 7)
	journals := newJournals(state)
	served := load(t, journals, nil, updated(t, file))
	journals.Close()
	other := newJournals(state)
	_, _ = update(t, other, load(t, other, nil, updated(t, file)), func(m *dns.Msg) { m.Insert([]dns.RR{rr(t, "www.example.com. 60 IN TXT 1")}) })
	other.Close()
	journals.Reopen(served.Config)
	if zone, ahead := journals.Ahead(served); !ahead || zone != "example.com." {
		t.Errorf("ahead is %q, %v", zone, ahead)
	}
	served = load(t, journals, served, updated(t, file))
	if got := values(t, served); !slices.Equal(got, []string{"1"}) {
		t.Errorf("after the load: %q", got)
	}
	if _, ahead := journals.Ahead(served); ahead {
		t.Error("ahead of a zone that has the update")
	}
}
