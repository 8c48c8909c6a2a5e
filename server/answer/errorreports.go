package answer

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// ErrorReport is an error that a resolver had with an answer (RFC 9567).
type ErrorReport struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Zone     string    `json:"zone,omitempty"`  // of ours that holds the name; empty: none
	Code     uint16    `json:"code"`            // of the extended error (RFC 8914)
	Error    string    `json:"error,omitempty"` // the name of the code; empty: it has none
	Resolver string    `json:"resolver"`        // the source of the last report
	Reports  uint64    `json:"reports"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// ReportCount identifies a count of reports.
type ReportCount struct {
	Zone string // of the reported name; otherReports: none of ours, or there are too many counts
	Code string // a number; otherReports: it is not assigned; invalidReports: the report is malformed
}

const (
	otherReports   = "other"
	invalidReports = "invalid"
)

const (
	// maxErrorReports is the number of different reports that are kept; a new one replaces the one that was repeated
	// least recently.
	maxErrorReports = 32
	// maxForeignReports is the number of them with names in no zone of ours. Anyone can send reports with any names: these
	// must not replace those about our zones.
	maxForeignReports = 8
	// maxReportCounts is the number of counts by zone and code. Reports that would need more are counted without zone.
	maxReportCounts = 1024
	// reportRecords is the room of a ring: resolvers send a report once for each error and TTL, and it is read every
	// second. It is a power of two.
	reportRecords = 32
	// foreignRecords is the part of the room for reports with names in no zone of ours.
	foreignRecords = 8
)

// rawReport is the name of a report as a responder passes it to the reader.
type rawReport struct {
	agent  *agent
	source netip.Addr
	time   int64 // in Unix nanoseconds
	length int
	name   [dnsname.MaxSize]byte
}

// reportRing carries reports from one responder to one reader. Neither waits: reports that do not fit are lost.
type reportRing struct {
	records [reportRecords]rawReport

	written atomic.Uint64 // by the responder
	read    atomic.Uint64 // by the reader
	closed  atomic.Bool   // the responder is removed
}

func (g *reportRing) isClosed() bool { return g.closed.Load() }

// put adds a report. It returns false if there is no room: so many records already wait.
func (g *reportRing) put(to *agent, name []byte, source netip.Addr, now time.Time, room uint64) bool {
	n := g.written.Load()
	if n-g.read.Load() >= room {
		return false
	}
	r := &g.records[n%reportRecords]
	r.agent, r.source, r.time = to, source, now.UnixNano()
	r.length = copy(r.name[:], name)
	g.written.Store(n + 1)
	return true
}

// errorReports holds the latest reports, and the counts of all.
type errorReports struct {
	rings ringList[*reportRing]

	mu     sync.Mutex    // guards the rest; one reader of the rings at a time
	latest []ErrorReport // the latest last
	counts map[ReportCount]uint64
}

// ErrorReports returns the latest reports of resolvers, the latest last.
func (e *Engine) ErrorReports() []ErrorReport {
	l := &e.reports
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collectLocked(e.current.Load().zones)
	return slices.Clone(l.latest)
}

// LastErrorReport returns the latest report of a resolver; false: there is none.
func (e *Engine) LastErrorReport() (last ErrorReport, ok bool) {
	l := &e.reports
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collectLocked(e.current.Load().zones)
	if len(l.latest) == 0 {
		return last, false
	}
	return l.latest[len(l.latest)-1], true
}

// ErrorReportCounts returns the counts of all reports of resolvers.
func (e *Engine) ErrorReportCounts() map[ReportCount]uint64 {
	l := &e.reports
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collectLocked(e.current.Load().zones)
	return maps.Clone(l.counts)
}

// collectLocked takes the reports that the responders have collected.
func (e *errorReports) collectLocked(data *zones.Data) {
	for _, ring := range e.rings.current() {
		for n, end := ring.read.Load(), ring.written.Load(); n != end; n++ {
			r := &ring.records[n%reportRecords]
			e.addLocked(r, data)
			r.agent = nil
			ring.read.Store(n + 1)
		}
	}
}

// addLocked counts a report, and keeps it if it is well-formed.
func (e *errorReports) addLocked(r *rawReport, data *zones.Data) {
	report, name, ok := r.agent.parse(r.name[:r.length])
	if !ok {
		e.countLocked(ReportCount{otherReports, invalidReports})
		return
	}
	if match := data.Lookup(name, dns.TypeSOA); match.Kind != zones.Refused {
		report.Zone = data.Apex(match.Zone).String()
	}
	e.countLocked(report.count())
	report.Resolver, report.Last = r.source.String(), time.Unix(0, r.time)
	report.First, report.Reports = report.Last, 1
	same := func(o ErrorReport) bool {
		return o.Name == report.Name && o.Type == report.Type && o.Code == report.Code
	}
	if i := slices.IndexFunc(e.latest, same); i >= 0 {
		report.First, report.Reports = e.latest[i].First, e.latest[i].Reports+1
		e.latest = slices.Delete(e.latest, i, i+1)
	}
	e.makeRoomLocked(report.isForeign())
	e.latest = append(e.latest, report)
}

// isForeign reports whether the name is in no zone of ours.
func (r *ErrorReport) isForeign() bool { return r.Zone == "" }

// makeRoomLocked removes the report that a new one replaces, if there are too many.
func (e *errorReports) makeRoomLocked(foreign bool) {
	isForeign := func(r ErrorReport) bool { return r.isForeign() }
	count := 0
	for i := range e.latest {
		if e.latest[i].isForeign() {
			count++
		}
	}
	switch {
	case foreign && count >= maxForeignReports:
		i := slices.IndexFunc(e.latest, isForeign)
		e.latest = slices.Delete(e.latest, i, i+1)
	case len(e.latest) >= maxErrorReports:
		e.latest = slices.Delete(e.latest, 0, 1)
	}
}

// count returns the count that a report belongs to.
func (r *ErrorReport) count() ReportCount {
	c := ReportCount{Zone: otherReports, Code: otherReports}
	if r.Zone != "" {
		c.Zone = r.Zone
	}
	if r.Error != "" {
		c.Code = strconv.Itoa(int(r.Code))
	}
	return c
}

// countLocked counts a report.
func (e *errorReports) countLocked(c ReportCount) {
	if e.counts == nil {
		e.counts = map[ReportCount]uint64{}
	}
	if _, ok := e.counts[c]; !ok && len(e.counts) >= maxReportCounts {
		c.Zone = otherReports
	}
	e.counts[c]++
}
