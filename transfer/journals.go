package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
	"meridian/transfer/journal"
	"meridian/zones"
)

// maxFileName is the longest name of a zone that is the name of its file.
const maxFileName = 200

// folderName is the folder of the journals in the state directory.
const folderName = "journals"

// Journals holds the journals of all zones. Its methods are safe for concurrent use, except that one goroutine at a time may
// prepare and commit.
type Journals struct {
	log  *slog.Logger
	sync func(*os.File) error // makes a file or folder durable

	signed *SignedZones

	mu     sync.Mutex // guards the fields below
	state  string     // the state directory; empty: in memory only
	zones  map[dnsname.Name]*journal.Journal
	closed bool
}

// NewJournals returns journals in memory.
func NewJournals(log *slog.Logger) *Journals {
	return &Journals{log: log, sync: (*os.File).Sync, signed: NewSignedZones(), zones: map[dnsname.Name]*journal.Journal{}}
}

// SignedZones returns the zones that are transferred with signatures; nil of nil journals.
func (j *Journals) SignedZones() *SignedZones {
	if j == nil {
		return nil
	}
	return j.signed
}

// UseSync sets what makes a file or folder durable, before the first journal is opened: tests have slow disks and broken ones.
func (j *Journals) UseSync(sync func(*os.File) error) { j.sync = sync }

// Use sets the state directory. Journals of another one are closed. It does not end Close: Reopen does.
func (j *Journals) Use(state string) {
	if abs, err := filepath.Abs(state); err == nil && state != "" {
		state = abs // a relative path and that of the last good configuration name one directory
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if state == j.state {
		return
	}
	j.closeLocked()
	j.state = state
}

// Close closes the journals: another process may use their files. Those in memory stay. nil is a no-op.
func (j *Journals) Close() {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != "" {
		j.closeLocked()
	}
	j.closed = true
}

// Closed reports whether the files may belong to another process: no zone may change.
func (j *Journals) Closed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

// Reopen ends Close: the other process did not take over. It reads the files of all zones again.
func (j *Journals) Reopen(cfg *config.Config) {
	j.mu.Lock()
	j.closed = false
	j.mu.Unlock()
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; z.Journaled() {
			j.open(z)
		}
	}
}

// Ahead returns a zone with a later serial in its journal than is served: another process has made updates of it, which it acknowledged.
func (j *Journals) Ahead(served *View) (zone dnsname.Name, ahead bool) {
	for i := range served.Config.Zones {
		z := &served.Config.Zones[i]
		if of := j.Of(z.Name); of != nil && len(z.Update) > 0 {
			if state, known := of.State(); known && journal.Newer(state.Serial, served.Data.Serial(zones.ZoneID(i))) {
				return z.Name, true
			}
		}
	}
	return "", false
}

// maxSaving bounds the time in which journals that close are written: there may be many. The others are found again from the
// zones.
const maxSaving = 2 * time.Second

func (j *Journals) closeLocked() {
	until := time.Now().Add(maxSaving)
	for name, of := range j.zones {
		if time.Now().Before(until) {
			if err := of.Save(); err != nil {
				j.log.Warn("cannot write the journal of a zone; secondaries may take the whole zone", "zone", name, "error", err)
			}
		}
		of.Close()
		delete(j.zones, name)
	}
}

// Of returns the journal of a zone; nil: it has none.
func (j *Journals) Of(zone dnsname.Name) *journal.Journal {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.zones[zone]
}

// OfUpdates returns the journal of a zone that takes updates, at the serial of the zone that is served; nil: the journals are
// closed. A journal at another serial begins at that one: the process that was to take over may have written it, or an update
// was written and not served.
func (j *Journals) OfUpdates(served *View, zone zones.ZoneID) (*journal.Journal, error) {
	if j.Closed() {
		return nil, nil
	}
	of, serial := j.open(&served.Config.Zones[zone]), served.Data.Serial(zone)
	if state, known := of.State(); known && state.Serial == serial {
		return of, nil
	}
	content, err := served.Defaults.Content(served.Config, zone)
	if err != nil {
		return nil, err
	}
	of.Begin(serial, content.Digest())
	return of, nil
}

// open returns the journal of a zone, and reads its file at the first call.
func (j *Journals) open(z *config.Zone) *journal.Journal {
	bounds := journal.Bounds{Size: int64(z.Journal.Size), Depth: z.Journal.Depth}
	j.mu.Lock()
	defer j.mu.Unlock()
	if of := j.zones[z.Name]; of != nil {
		of.SetBounds(bounds)
		return of
	}
	of, err := journal.OpenSyncing(j.pathOf(z.Name), z.Name, bounds, j.sync)
	if corrupt := (*journal.CorruptError)(nil); errors.As(err, &corrupt) {
		j.noteCorrupt(z, of, corrupt)
	} else if err != nil {
		j.log.Error("cannot read the journal of a zone; its changes are kept in memory only", "zone", z.Name, "error", err)
	}
	if of == nil {
		of, _ = journal.Open("", z.Name, bounds) // never fails
	}
	j.zones[z.Name] = of
	return of
}

// lostUpdates describes the updates that may be in the corrupt part of a journal.
func lostUpdates(z *config.Zone, corrupt *journal.CorruptError) string {
	switch {
	case len(z.Update) == 0:
		return "none: the zone takes none"
	case corrupt.Valid == nil:
		return "all"
	}
	return fmt.Sprintf("those after serial %d", *corrupt.Valid)
}

// noteCorrupt logs that the journal of a zone was set aside. With serial: unixtime the time is above all serials that are lost,
// unless the zone had greater ones before, such as those of dates.
func (j *Journals) noteCorrupt(z *config.Zone, of *journal.Journal, corrupt *journal.CorruptError) {
	j.log.Error("journal corrupt, quarantined; secondaries take the whole zone", "zone", z.Name, "file", corrupt.Path, "error", corrupt.Err, "quarantined", corrupt.Aside, "updates_kept", corrupt.Kept, "updates_lost", lostUpdates(z, corrupt))
	state, known := of.State()
	now := uint32(time.Now().Unix())
	if z.Serial == config.UnixtimeSerial && (!known || journal.Newer(now, state.Serial)) {
		of.Begin(now, journal.Digest{})
	}
	if !known {
		j.log.Error("the serial of a zone may be lower than before: secondaries may keep their copy", "zone", z.Name,
			"hint", fmt.Sprintf("compare dig SOA %[1]s of this server and of a secondary; if it is lower, raise the serial in the file of the zone, or take the zone whole there: rndc retransfer %[1]s, meridian zone retransfer %[1]s", z.Name))
	}
}

// pathOf returns the file of a zone's journal; empty: it is in memory.
func (j *Journals) pathOf(zone dnsname.Name) string {
	if j.state == "" || j.closed {
		return ""
	}
	return JournalFile(j.state, zone)
}

// JournalFile returns the file of a zone's journal in a state directory: its name, or the hash of one with other octets than
// those of host names.
func JournalFile(state string, zone dnsname.Name) string {
	name := strings.TrimSuffix(string(zone), ".")
	odd := func(r rune) bool { return !strings.ContainsRune("-_.0123456789abcdefghijklmnopqrstuvwxyz", r) }
	if name == "" || len(name) > maxFileName || strings.ContainsFunc(name, odd) {
		hash := sha256.Sum256([]byte(zone))
		name = "zone-" + hex.EncodeToString(hash[:16])
	}
	return filepath.Join(state, folderName, name+".journal")
}

// View has the parts of a snapshot that transfers need.
type View struct {
	Config   *config.Config
	Data     *zones.Data
	Pools    *pools.Tree
	Live     *Live
	Defaults *Defaults
}

// NewView returns the view of a snapshot.
func NewView(cfg *config.Config, data *zones.Data, tree *pools.Tree, live *Live) *View {
	return &View{cfg, data, tree, live, NewDefaults(data, tree, live)}
}

// Step is the change of one zone that a new snapshot brings.
type Step struct {
	Zone    dnsname.Name
	Serial  uint32
	journal *journal.Journal
	change  *journal.Change // nil: the change is not known, or too large
	digest  journal.Digest
	save    bool
}

// Prepare puts what updates changed into the zones of a snapshot that is not served yet, which may replace its data, sets their
// serials, and returns what changes with it. before is the snapshot that is served; nil: none.
func (j *Journals) Prepare(before, next *View, now time.Time) (steps []Step, err error) {
	for i := range next.Config.Zones {
		if z := &next.Config.Zones[i]; len(z.Update) > 0 {
			j.overlay(next, zones.ZoneID(i))
		}
	}
	j.signed.retain(next.Config)
	for i := range next.Config.Zones {
		if z := &next.Config.Zones[i]; z.Journaled() {
			step, failed := j.prepare(before, next, zones.ZoneID(i), now)
			err = errors.Join(err, failed)
			if step != nil {
				steps = append(steps, *step)
			}
		}
	}
	return steps, err
}

// overlay puts what updates changed into a zone.
func (j *Journals) overlay(next *View, zone zones.ZoneID) {
	z := &next.Config.Zones[zone]
	of := j.open(z)
	overlay := of.Overlay()
	if overlay.Empty() {
		return
	}
	if err := of.Hide(inBoth(next.Data, zone, &overlay)); err != nil {
		j.log.Error("cannot write the journal of a zone; the next update of the zone writes it", "zone", z.Name, "error", err)
	}
	data, left, err := withOverlay(next.Data, zone, &overlay)
	if err != nil {
		j.log.Error("cannot put the updates of a zone into its file; the file is served without them", "zone", z.Name, "error", err)
		return
	}
	if len(left) > 0 {
		j.log.Warn("updates of names that the configuration or the file now has otherwise are not served", "zone", z.Name, "names", left[:min(len(left), 10)], "count", len(left))
	}
	next.Data, next.Defaults = data, NewDefaults(data, next.Pools, next.Live)
}

// prepare is Prepare for a zone. It returns nil if the zone is as before.
func (j *Journals) prepare(before, next *View, zone zones.ZoneID, now time.Time) (*Step, error) {
	z := &next.Config.Zones[zone]
	content, err := next.Defaults.Content(next.Config, zone)
	if err != nil {
		return nil, err
	}
	of := j.open(z)
	state, known := of.State()
	step := &Step{Zone: z.Name, journal: of}
	if !known {
		j.begin(step, next, content, zone, now)
		return step, nil
	}
	octets, unrecorded := step.compare(before.content(z.Name, state.Serial), content, state.Digest)
	changed := step.digest != state.Digest || z.Transfer.Sign && !j.signed.has(z.Name) // secondaries may have signatures of another process
	compiled := next.Data.Serial(zone)
	step.Serial = nextSerial(next.Data, zone, z.Serial, state.Serial, changed, now)
	next.Data.SetSerial(zone, step.Serial)
	if !changed && step.Serial == state.Serial {
		return nil, nil
	}
	if step.change == nil && !changed && !unrecorded {
		step.change = &journal.Change{OldSOA: content.SOA().WithSerial(state.Serial), Digest: step.digest}
	}
	step.save = step.Serial != compiled
	step.finish(content, state.Serial, octets)
	if !journal.Newer(step.Serial, state.Serial) {
		step.save = true // both contents have had the serial: after a restart, too, no difference begins at it
		j.warnOfSerial(step, &state)
	}
	return step, nil
}

// begin completes the step of a zone of which no serial is known. A process without a state directory may have published serials until now.
func (j *Journals) begin(step *Step, next *View, content *Content, zone zones.ZoneID, now time.Time) {
	z := &next.Config.Zones[zone]
	step.Serial, step.digest = firstSerial(next.Data, zone, z.Serial), content.Digest()
	j.signed.forget(z.Name)
	step.save = z.Serial == config.IncrementSerial || z.Serial == config.DateSerial
	if z.OwnSerials() && z.Serial == config.UnixtimeSerial {
		step.Serial, step.save = higher(step.Serial, uint32(now.Unix())), true
	}
	next.Data.SetSerial(zone, step.Serial)
}

// warnOfSerial warns of a serial that is not higher than before. A journal that was corrupt knows a serial that is at least
// the last one, and not the content.
func (j *Journals) warnOfSerial(s *Step, before *journal.State) {
	if before.Digest == (journal.Digest{}) {
		j.log.Warn("the serial of a zone may not be higher than before its journal was corrupt: secondaries may keep their copy", "zone", s.Zone, "serial", s.Serial,
			"hint", "if the zone has changed since, raise the serial in its file")
		return
	}
	j.log.Warn("a zone has changed, and its serial is not higher: secondaries keep their copy", "zone", s.Zone, "serial", s.Serial, "before", before.Serial,
		"hint", "raise the serial in the file of the zone, or write serial: unixtime")
}

// compare finds the change from the content that is served, old, to the next one; nil: it is not known. unrecorded: old is not
// what the journal has for its serial, because the targets of a pool have changed since. Secondaries with this serial have
// either content, and take the whole zone. octets is the size of the next content.
func (s *Step) compare(old, content *Content, recorded journal.Digest) (octets int, unrecorded bool) {
	if old == nil {
		s.digest = content.Digest()
		return 0, false
	}
	change, was, octets := compare(old, content)
	s.digest = change.Digest
	if was != recorded {
		return octets, true
	}
	s.change = change
	return octets, false
}

// finish completes the change of a step, or drops one that secondaries cannot use: its serial is not higher, or the whole zone is
// smaller.
func (s *Step) finish(content *Content, before uint32, octets int) {
	if s.change == nil {
		return
	}
	s.change.NewSOA = content.SOA()
	size := sizeOf(s.change)
	if !journal.Newer(s.Serial, before) || size > octets && size > messageSize {
		s.change = nil
	}
}

// sizeOf returns the octets of the records of a change.
func sizeOf(c *journal.Change) (size int) {
	for _, records := range [2][]journal.Record{c.Deleted, c.Added} {
		for _, r := range records {
			size += len(r)
		}
	}
	return size
}

// content returns a zone of a snapshot; nil: it does not have the zone with this serial.
func (v *View) content(zone dnsname.Name, serial uint32) *Content {
	if v == nil {
		return nil
	}
	id, ok := v.Data.ApexOf(zone.Wire())
	if !ok || v.Data.Serial(id) != serial {
		return nil
	}
	content, err := v.Defaults.Content(v.Config, id)
	if err != nil {
		return nil // the change is then not known
	}
	return content
}

// Commit records changes that are served now.
func (j *Journals) Commit(steps []Step) {
	for _, s := range steps {
		err := s.commit()
		if err != nil {
			j.log.Error("cannot write the journal of a zone; secondaries take the whole zone", "zone", s.Zone, "serial", s.Serial, "error", err,
				"hint", "check the space and the permissions of the state directory")
		}
	}
}

func (s *Step) commit() error {
	if s.change != nil {
		if err := s.journal.Append(s.change); err == nil {
			return nil
		}
	}
	s.journal.Begin(s.Serial, s.digest)
	if s.save || s.change != nil {
		return s.journal.Save()
	}
	return nil
}
