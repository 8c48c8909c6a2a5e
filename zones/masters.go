package zones

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// Masters holds the records of the master files that a compilation has read, for a later one: to read a file and compare
// its hash takes a fraction of the time of parsing it. It is immutable, and one that is made from another shares the
// records of the files that have not changed.
type Masters struct {
	zones   map[masterKey]readMaster
	changed time.Time // when the configuration last changed
	parsed  int       // zones with a file that is not from the compilation before
}

// Parsed returns the number of zones with a master file that was parsed, because it was new or had changed.
func (m *Masters) Parsed() int { return m.parsed }

// masterKey is what the records of a master file depend on, besides the content of its files.
type masterKey struct {
	zone dnsname.Name // the first origin
	path string
}

// readMaster is a master file as a compilation has read it.
type readMaster struct {
	*master
	changed time.Time // the latest modification of its files
}

// master holds the records of a master file and of all that it includes. It is immutable.
type master struct {
	files   []masterFile // in the order in which they are opened
	records []byte       // see encodeRecord
}

// masterFile is a file that is read once.
type masterFile struct {
	path string // in the file system
	sum  [sha256.Size]byte
}

// written is a record as a master file, a primary or the configuration has it.
type written struct {
	header dns.RR_Header
	rr     dns.RR // nil: it is encoded
	rdata  []byte
	err    error // the reason that it cannot be encoded
}

func newWritten(rr dns.RR) written { return written{header: *rr.Header(), rr: rr} }

// encode encodes the data of a record, once. It is valid until the next record is encoded.
func (w *written) encode(c *compiler) {
	if w.rr != nil {
		w.rdata, w.err = c.pack(w.rr)
		w.rr = nil
	}
}

// recorder collects the records of a master file while they are parsed.
type recorder struct {
	zone        string // the end of most names
	firstOrigin uint32 // of the files
	name        string // of the last record
	records     []byte
}

// The flags of a record in master.records.
const (
	sameName   = 1 << iota // the name is that of the record before
	inZone                 // the name ends with that of the zone
	unencoded              // it has an error text instead of data
	recordHead = 1 + 2 + 4
)

// add appends a record:
//
//	flags, type (2 octets), TTL (4 octets),
//	number of the file, line, unless sameName: length of the name, name, length of the data, data
func (r *recorder) add(w *written, at place) {
	h, flags, name, data := &w.header, byte(0), w.header.Name, w.rdata
	if cut, ok := strings.CutSuffix(name, r.zone); ok {
		flags, name = inZone, cut
	}
	if len(r.records) > 0 && h.Name == r.name {
		flags = sameName
	}
	r.name = h.Name
	if w.err != nil {
		flags, data = flags|unencoded, []byte(w.err.Error())
	}
	b := append(r.records, flags)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, h.Rrtype), h.Ttl)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(at.origin-r.firstOrigin)), uint64(at.line))
	if flags&sameName == 0 {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	r.records = append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// replayer returns the records of a master in the order in which they were parsed.
type replayer struct {
	zone        string
	firstOrigin uint32
	name        string // of the last record
	rest        []byte
}

// next returns the next record.
func (r *replayer) next() (w written, at place) {
	head := r.rest[:recordHead]
	flags := head[0]
	r.rest = r.rest[recordHead:]
	at.origin = r.firstOrigin + uint32(r.number())
	at.line = uint32(r.number())
	if flags&sameName == 0 {
		r.name = string(r.octets())
		if flags&inZone != 0 {
			r.name += r.zone
		}
	}
	w = written{header: dns.RR_Header{
		Name: r.name, Rrtype: binary.BigEndian.Uint16(head[1:]), Class: dns.ClassINET, Ttl: binary.BigEndian.Uint32(head[3:]),
	}}
	w.rdata = r.octets()
	if flags&unencoded != 0 {
		w.rdata, w.err = nil, errors.New(string(w.rdata))
	}
	return w, at
}

func (r *replayer) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.rest = r.rest[size:]
	return n
}

func (r *replayer) octets() []byte {
	n := r.number()
	octets := r.rest[:n:n]
	r.rest = r.rest[n:]
	return octets
}

// keep keeps a master without errors for the next compilation.
func (c *compiler) keep(z ZoneID, m *master, changed time.Time) {
	c.s.parsed.zones[masterKey{c.cfg.Zones[z].Name, m.files[0].path}] = readMaster{m, changed}
}

// unchanged returns a loader of a zone whose master file is the same as in the compilation before, and its records; nil
// if it is not.
func (c *compiler) unchanged(z ZoneID) (*loader, *master) {
	zone := &c.cfg.Zones[z]
	path, err := rooted(zone.File)
	if err != nil || c.before == nil {
		return nil, nil
	}
	m, ok := c.before.zones[masterKey{zone.Name, path}]
	l := c.newLoader(z, nil)
	switch {
	case !ok:
		return nil, nil
	case c.frozen:
		l.changed = m.changed
		return l, m.master
	}
	for i := range m.files {
		if !l.same(&m.files[i]) {
			return nil, nil
		}
	}
	return l, m.master
}

// same reports whether the content of a file is the one that was parsed.
func (l *loader) same(known *masterFile) bool {
	file, err := l.open(known.path)
	if err != nil {
		return false
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{io.LimitReader(file, maxMaster+1)}, l.c.buf)
	return err == nil && [sha256.Size]byte(sum.Sum(nil)) == known.sum
}

// replay adds the records of a master that was parsed before. The returned error ended it early.
func (l *loader) replay(m *master) *config.Error {
	for i := range m.files {
		display := l.c.cfg.Zones[l.zone].File
		if i > 0 {
			display = l.display(m.files[i].path)
		}
		l.addFile(m.files[i].path, display)
	}
	from := replayer{zone: l.recorder.zone, firstOrigin: l.recorder.firstOrigin, rest: m.records}
	for len(from.rest) > 0 {
		w, at := from.next()
		if !l.add(&w, at) {
			return l.stopped
		}
	}
	return nil
}

// master returns what was parsed, unless a file was not read to its end.
func (l *loader) master() *master {
	m := &master{files: make([]masterFile, len(l.opened)), records: bytes.Clone(l.recorder.records)}
	for i, s := range l.opened {
		if s.padding == 0 {
			return nil
		}
		m.files[i] = masterFile{s.path, [sha256.Size]byte(s.hash.Sum(nil))}
	}
	return m
}
