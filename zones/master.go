package zones

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/errtext"
)

const (
	// DefaultTTL, in seconds, applies to records without a TTL or $TTL, and to the SOA, NS and glue made from the
	// configuration.
	DefaultTTL = 3600

	maxMaster   = 512 << 20 // bytes of a master file and all that it includes
	maxRecords  = 1 << 24   // of a zone's file
	maxIncludes = 1000
	maxErrors   = 100     // of a zone's file: more are not useful
	maxPasses   = 20      // over a file with entries that do not parse
	maxReread   = 8 << 20 // bytes of a larger file are read once, so only its first such entry is reported
)

// loader reads the master file of one zone, once. As an fs.FS it opens the files that $INCLUDE names.
//
// The parser stops at the first entry that it cannot parse. readMaster then reads all of it again without that entry,
// so that one run reports every error.
type loader struct {
	c       *compiler
	zone    ZoneID
	skip    map[entry]bool
	changed time.Time // the latest modification of the files read

	opened   []*masterReader          // in this order
	reading  []*masterReader          // the innermost include last
	read     map[string]*masterReader // by path, its latest reader
	bytes    int64
	includes int
	ttl      string        // of the last $TTL, as written
	stopped  *config.Error // the reason to stop reading
	faults   int           // errors before
	records  int
	recorder recorder
}

// readMaster reads the records of a zone's master file, if it has one, and returns the time of its last change.
func (c *compiler) readMaster(z ZoneID) (changed time.Time) {
	if c.cfg.Zones[z].File == "" {
		return time.Time{}
	}
	faults := len(c.errs)
	l, m := c.unchanged(z)
	if m == nil {
		l = c.parseMaster(z)
	} else if fault := l.replay(m); fault != nil {
		c.errs = append(c.errs, *fault)
	}
	c.hasErrors[z] = len(c.errs) > faults
	if m == nil && !c.hasErrors[z] {
		m = l.master()
		c.s.parsed.parsed++
	}
	if m != nil {
		c.keep(z, m, l.changed)
	}
	return l.changed
}

// parseMaster parses a zone's master file. It returns the loader of the last pass.
func (c *compiler) parseMaster(z ZoneID) (l *loader) {
	var unparsed []config.Error
	skip := make(map[entry]bool)
	state := c.state()
	for range maxPasses {
		c.restore(state)
		l = c.newLoader(z, skip)
		at, fault := l.load()
		if fault != nil {
			unparsed = append(unparsed, *fault)
		}
		if at == (entry{}) || skip[at] || l.bytes > maxReread {
			break
		}
		skip[at] = true
	}
	c.errs = append(c.errs, unparsed...)
	return l
}

func (c *compiler) newLoader(z ZoneID, skip map[entry]bool) *loader {
	return &loader{
		c: c, zone: z, skip: skip, read: make(map[string]*masterReader), faults: len(c.errs),
		recorder: recorder{zone: string(c.cfg.Zones[z].Name), firstOrigin: uint32(len(c.origins))},
	}
}

// load reads the file from the beginning. The returned error ended it early, at an entry that the next pass may skip,
// if any.
func (l *loader) load() (entry, *config.Error) {
	zone := &l.c.cfg.Zones[l.zone]
	path, err := rooted(zone.File)
	if err != nil {
		return entry{}, l.unreadable(err)
	}
	file, err := l.open(path)
	if err != nil {
		return entry{}, l.unreadable(err)
	}
	top := l.newSource(file, path, zone.File)
	defer l.close()

	zp := dns.NewZoneParser(top, string(zone.Name), path)
	zp.SetDefaultTTL(DefaultTTL)
	zp.SetIncludeAllowed(true)
	zp.SetIncludeFS(l)
	err = l.take(zp)
	switch {
	case l.stopped != nil:
		return entry{}, l.stopped
	case err != nil:
		return l.unparsed(err)
	case l.records == 0 && len(l.skip) == 0:
		f := l.c.at(place{origin: top.origin}, "the file has no record", "add some, or remove the key file of the zone")
		return entry{}, &f
	}
	return entry{}, nil
}

// close closes the files that the parser has left open.
func (l *loader) close() {
	for _, s := range l.reading {
		_ = s.file.Close() // it was opened for reading only
	}
}

// take adds every record up to the end or to the first parse error.
func (l *loader) take(zp *dns.ZoneParser) error {
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		s := l.reading[len(l.reading)-1]
		at, w := place{s.origin, s.start}, newWritten(rr)
		more := l.add(&w, at)
		w.encode(l.c)
		l.recorder.add(&w, at)
		if !more {
			return nil
		}
	}
	return zp.Err()
}

// add adds a record. It reports whether there may be more.
func (l *loader) add(w *written, at place) bool {
	l.c.addWritten(l.zone, w, at)
	l.records++
	var f config.Error
	switch {
	case l.records > maxRecords:
		f = l.c.at(at, fmt.Sprintf("more than %d records", maxRecords), "split the zone")
	case len(l.c.errs)-l.faults >= maxErrors:
		f = l.c.at(at, fmt.Sprintf("%d errors so far; the rest is not shown", maxErrors), "")
	default:
		return true
	}
	l.stopped = &f
	return false
}

// Open opens a file to include, by a name in the form of fs.FS.
func (l *loader) Open(path string) (fs.File, error) {
	l.includes++
	if l.includes > maxIncludes {
		s := l.reading[len(l.reading)-1]
		f := l.c.at(place{s.origin, s.start}, fmt.Sprintf("more than %d files are included", maxIncludes), "")
		l.stopped = &f
		return nil, f
	}
	for _, s := range l.reading {
		if s.path == path {
			return nil, &includeError{path, errors.New("it includes itself")}
		}
	}
	file, err := l.open(path)
	if err != nil {
		return nil, &includeError{path, err}
	}
	return l.newSource(file, path, l.display(path)), nil
}

// includeError reports a file that cannot be included.
type includeError struct {
	path string
	err  error
}

func (e *includeError) Error() string { return e.err.Error() }

// open opens a regular file. It checks the type first, because opening a pipe would wait for a writer.
func (l *loader) open(path string) (fs.File, error) {
	info, err := fs.Stat(l.c.fsys, path)
	if err != nil {
		return nil, errtext.TrimPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	if info.Size() > maxMaster {
		return nil, fmt.Errorf("it has %d bytes, more than %d", info.Size(), maxMaster)
	}
	if changed := info.ModTime(); changed.After(l.changed) {
		l.changed = changed
	}
	file, err := l.c.fsys.Open(path)
	return file, errtext.TrimPath(err)
}

// unreadable returns the error of a master file that cannot be opened, at the key that names the file.
func (l *loader) unreadable(err error) *config.Error {
	zone := &l.c.cfg.Zones[l.zone]
	f := l.c.cfg.ErrorAt(zone.FilePos, zone.Path()+".file", fmt.Sprintf("cannot read %q: %s", zone.File, err), "")
	return &f
}

// rooted returns a path in the form of an fs.FS rooted at /.
func rooted(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if path == "/" {
		return ".", nil
	}
	return strings.TrimPrefix(filepath.ToSlash(path), "/"), nil
}

// display returns the name of an included file for messages: relative if the master file's is.
func (l *loader) display(path string) string {
	path = "/" + path
	if filepath.IsAbs(l.c.cfg.Zones[l.zone].File) {
		return path
	}
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// state holds the position of a compiler, for restore.
type state struct{ records, rdata, faults, warnings, origins int }

func (c *compiler) state() state {
	return state{len(c.records), len(c.rdata), len(c.errs), len(c.warnings), len(c.origins)}
}

// restore removes the results after s. Nodes stay: a file that is read twice has an error, so no snapshot uses them.
func (c *compiler) restore(s state) {
	c.records, c.rdata = c.records[:s.records], c.rdata[:s.rdata]
	c.errs, c.warnings, c.origins = c.errs[:s.faults], c.warnings[:s.warnings], c.origins[:s.origins]
	for origin := range c.warned {
		if origin >= uint32(s.origins) {
			delete(c.warned, origin)
		}
	}
}
