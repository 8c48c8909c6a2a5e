package geo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/errtext"
)

// Limits of a latency table and of its error reports.
const (
	maxLatencyFile  = 64 << 20 // bytes
	maxLatencyRows  = 5_000_000
	maxLatencyTold  = 100 // errors
	maxRoundTrip    = 60_000
	maxLatencyCount = 1_000_000_000 // samples of a row
)

// ReadLatency reads the configured table of round trips again. It returns nil if none is configured. The error is a
// *multierror.Error of config.Errors, each with the line of the table.
func (l *Locator) ReadLatency() (*Latency, error) {
	table, _, faults := l.readLatency()
	return table, config.Join(faults)
}

// Latency returns the table of round trips as it was when the Locator was opened, or nil if none is configured.
func (l *Locator) Latency() *Latency { return l.latency }

// rejectedFile holds the errors of a file that could not replace an older one.
type rejectedFile struct {
	file fs.FileInfo // at the time of the check; nil if stat failed
	errs []config.Error
}

// RefusedLatency returns the errors of the latency file if the server keeps the earlier table instead
// (OpenInBackground), or nil. The file information is from the time of the check, and nil if stat failed.
func (l *Locator) RefusedLatency() (fs.FileInfo, error) {
	return l.refused.file, config.Join(l.refused.errs)
}

// firstLatency selects the Locator's round trips: those of its file, or those that the server already uses:
//
//	the file   before          result
//	none       -               none
//	valid      of this file    its own, merged with those before (After)
//	valid      of none         its own
//	invalid    of this file    those before; RefusedLatency returns the errors
//	invalid    of none         none: a configuration error
func (l *Locator) firstLatency(before *Latency) []config.Error {
	if before != nil && before.file != l.cfg.Latency.File {
		before = nil
	}
	table, info, faults := l.readLatency()
	switch {
	case faults == nil && table != nil:
		l.latency = table.After(before, l.cfg.Latency.Alpha)
	case faults != nil && before != nil:
		l.latency, l.refused = before.clone(), rejectedFile{info, faults}
		return nil
	}
	return faults
}

// readLatency reads the file. It returns the file information for an invalid file too.
func (l *Locator) readLatency() (*Latency, fs.FileInfo, []config.Error) {
	name := l.cfg.Latency.File
	if name == "" {
		return nil, nil, nil
	}
	data, info, err := readLatencyFile(name)
	if err != nil {
		return nil, nil, []config.Error{l.cfg.ErrorAt(l.cfg.Latency.FilePos, "latency.file", fmt.Sprintf("%q %s", name, err),
			"name a table of round trips: lines of client,region,rtt_ms,samples, or a JSON list")}
	}
	r := l.latencyReader(name)
	r.read(data)
	table, faults := r.finish()
	if faults == nil {
		table.file, table.info = name, info
	}
	return table, info, faults
}

// readLatencyFile returns the content of a file and its information at the time of opening.
func readLatencyFile(name string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(name) // opening a pipe would wait for a writer
	switch {
	case err != nil:
		return nil, nil, errtext.CannotRead(err)
	case info.IsDir():
		return nil, nil, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("is not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, errtext.CannotRead(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, errtext.CannotRead(err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxLatencyFile+1))
	switch {
	case err != nil:
		return nil, nil, errtext.CannotRead(err)
	case len(data) > maxLatencyFile:
		return nil, nil, fmt.Errorf("is longer than %d MiB", maxLatencyFile>>20)
	}
	return data, info, nil
}

// latencyReader builds a Latency from rows and collects their errors.
type latencyReader struct {
	file      string
	countries map[string]country
	known     map[string]bool // regions of the configuration
	systems   bool            // there is an ASN file

	table          Latency
	numbers        map[string]uint16 // of table.regions
	unknown        map[string]*skippedRows
	unknownRegions skippedRows // rows of ASNs, without an ASN file
	errs           []config.Error
	more           int // number of errors beyond those
}

// skippedRows counts rows that are ignored.
type skippedRows struct {
	first config.Pos
	rows  int
}

func (p *skippedRows) add(at config.Pos) {
	if p.rows == 0 {
		p.first = at
	}
	p.rows++
}

func (p *skippedRows) String() string {
	if p.rows == 1 {
		return "1 row ignored"
	}
	return fmt.Sprintf("%d rows ignored", p.rows)
}

func (l *Locator) latencyReader(file string) *latencyReader {
	r := &latencyReader{
		file: file, countries: l.centroids.countries, systems: l.asn != nil,
		known: map[string]bool{}, numbers: map[string]uint16{}, unknown: map[string]*skippedRows{},
	}
	for _, region := range l.cfg.Regions {
		r.known[region.Name] = true
	}
	return r
}

// read reads either format. JSON begins with a bracket.
func (r *latencyReader) read(data []byte) {
	r.table.content = sha256.Sum256(data)
	if strings.HasPrefix(string(bytes.TrimLeft(data[:min(len(data), 4096)], " \t\r\n")), "[") {
		r.readJSON(data)
		return
	}
	r.readCSV(data)
}

func (r *latencyReader) addError(at config.Pos, what, hint string) {
	if len(r.errs) == maxLatencyTold {
		r.more++
		return
	}
	r.errs = append(r.errs, config.Error{File: r.file, Pos: at, What: what, Hint: hint})
}

// field is a value of a row with its position.
type field struct {
	text string
	at   config.Pos
}

// add adds a row. samples is empty if the row has none. It reports whether there is room for more.
func (r *latencyReader) add(client, region, ms, samples field) bool {
	if len(r.table.rows) == maxLatencyRows {
		r.addError(client.at, fmt.Sprintf("more than %d rows", maxLatencyRows), "merge rows into larger networks")
		return false
	}
	row := roundTrip{line: client.at.Line}
	var ok [4]bool
	row.of, ok[0] = r.client(client)
	row.region, ok[1] = r.region(region)
	row.ms, ok[2] = r.milliseconds(ms)
	row.samples, ok[3] = r.samples(samples)
	if ok != [4]bool{true, true, true, true} {
		return true
	}
	if row.of.kind == measuredASN && !r.systems {
		r.unknownRegions.add(client.at)
	}
	if !r.known[region.text] {
		p := r.unknown[region.text]
		if p == nil {
			p = new(skippedRows)
			r.unknown[region.text] = p
		}
		p.add(region.at)
	}
	r.table.rows = append(r.table.rows, row)
	return true
}

func (r *latencyReader) client(f field) (measured, bool) {
	upper := strings.ToUpper(f.text)
	if digits, ok := strings.CutPrefix(upper, "AS"); ok && digits != "" {
		asn, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || asn == 0 {
			r.addError(f.at, fmt.Sprintf("%q is not an ASN", f.text), "AS1 to AS4294967295")
			return measured{}, false
		}
		return measuredSystem(uint32(asn)), true
	}
	if len(upper) == 2 && strings.IndexFunc(upper, func(c rune) bool { return c < 'A' || c > 'Z' }) < 0 {
		if _, ok := r.countries[upper]; !ok {
			r.addError(f.at, fmt.Sprintf("unknown country %q", f.text), "write an ISO 3166 code that is in use")
			return measured{}, false
		}
		return measuredIn(upper), true
	}
	return r.network(f)
}

// network reads a client that is a network.
func (r *latencyReader) network(f field) (measured, bool) {
	const hint = "write a network such as 198.51.100.0/24, an ASN such as AS64500, or a country such as DE"
	p, err := netip.ParsePrefix(f.text)
	switch {
	case err != nil:
		if a, err := netip.ParseAddr(f.text); err == nil && a.Zone() == "" {
			r.addError(f.at, fmt.Sprintf("%q has no length", f.text), fmt.Sprintf("write %s/%d", a, a.BitLen()))
		} else {
			r.addError(f.at, fmt.Sprintf("%q is not a client", f.text), hint)
		}
		return measured{}, false
	case p != p.Masked():
		r.addError(f.at, fmt.Sprintf("%q has host bits set", f.text), "write "+p.Masked().String())
		return measured{}, false
	}
	p = unmapPrefix(p)
	k, v4 := keyOf(p.Addr())
	m := measured{kind: measuredV6, bits: uint8(p.Bits()), key: k}
	if v4 {
		m.kind = measuredV4
	}
	return m, true
}

func (r *latencyReader) region(f field) (uint16, bool) {
	if f.text == "" {
		r.addError(f.at, "no region", "name the region to which this was measured")
		return 0, false
	}
	n, ok := r.numbers[f.text]
	if !ok {
		if len(r.table.regions) == maxRegions {
			r.addError(f.at, fmt.Sprintf("more than %d regions", maxRegions), "")
			return 0, false
		}
		n = uint16(len(r.table.regions))
		name := strings.Clone(f.text) // without the rest of the row
		r.numbers[name] = n
		r.table.regions = append(r.table.regions, name)
	}
	return n, true
}

func (r *latencyReader) milliseconds(f field) (float32, bool) {
	ms, err := strconv.ParseFloat(f.text, 64)
	switch {
	case err != nil && !math.IsInf(ms, 0) || math.IsNaN(ms):
		r.addError(f.at, fmt.Sprintf("%q is not a round trip", f.text), "write milliseconds, such as 12.5")
	case ms <= 0 || ms > maxRoundTrip || float32(ms) == 0:
		r.addError(f.at, fmt.Sprintf("a round trip of %s ms", f.text), fmt.Sprintf("above 0, and at most %d", maxRoundTrip))
	default:
		return float32(ms), true
	}
	return 0, false
}

func (r *latencyReader) samples(f field) (uint32, bool) {
	if f.text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(f.text, 10, 32)
	if err != nil || n == 0 || n > maxLatencyCount {
		r.addError(f.at, fmt.Sprintf("%q samples", f.text), fmt.Sprintf("write a whole number from 1 to %d, or leave it out if unknown", maxLatencyCount))
		return 0, false
	}
	return uint32(n), true
}

// finish sorts the rows and removes unused ones. Two rows for one client and region are an error.
func (r *latencyReader) finish() (*Latency, []config.Error) {
	t := &r.table
	slices.SortFunc(t.rows, func(a, b roundTrip) int {
		if order := compareRows(a, b); order != 0 {
			return order
		}
		return int(a.line) - int(b.line)
	})
	for i := range t.rows {
		if i > 0 && compareRows(t.rows[i-1], t.rows[i]) == 0 {
			row := t.rows[i]
			r.addError(config.Pos{Line: row.line, Column: 1}, fmt.Sprintf("duplicate row for %s and region %q", row.of, t.regions[row.region]),
				fmt.Sprintf("remove it; the first is on line %d", t.rows[i-1].line))
		}
	}
	if len(t.rows) == 0 && len(r.errs) == 0 { // an empty table is more likely truncated than intended
		r.addError(config.Pos{Line: 1, Column: 1}, "no round trip", "write at least one, such as 198.51.100.0/24,eu-west,12.5,40")
	}
	if len(r.errs) > 0 {
		slices.SortStableFunc(r.errs, func(a, b config.Error) int { return a.Pos.Compare(b.Pos) })
		if r.more > 0 {
			r.errs = append(r.errs, config.Error{File: r.file, What: fmt.Sprintf("%d more errors", r.more), Hint: "correct these first"})
		}
		return nil, r.errs
	}
	r.warn()
	t.rows = slices.DeleteFunc(t.rows, func(row roundTrip) bool {
		return !r.known[t.regions[row.region]] || row.of.kind == measuredASN && !r.systems
	})
	t.rows = slices.Clip(t.rows)
	t.Rows = len(t.rows)
	return t, nil
}

// warn adds warnings about ignored rows.
func (r *latencyReader) warn() {
	for _, name := range r.table.regions {
		if p := r.unknown[name]; p != nil {
			r.table.Warnings = append(r.table.Warnings, config.Error{
				File: r.file, Pos: p.first,
				What: fmt.Sprintf("region %q is not in the configuration: %s", name, p),
			})
		}
	}
	if r.unknownRegions.rows > 0 {
		r.table.Warnings = append(r.table.Warnings, config.Error{
			File: r.file, Pos: r.unknownRegions.first,
			What: fmt.Sprintf("an ASN without geo.asn: %s", &r.unknownRegions), Hint: "name an ASN file in MaxMind's format under geo.asn",
		})
	}
	const most = 20
	if n := len(r.table.Warnings); n > most {
		r.table.Warnings = append(r.table.Warnings[:most:most], config.Error{File: r.file, What: fmt.Sprintf("%d more warnings", n-most)})
	}
}
