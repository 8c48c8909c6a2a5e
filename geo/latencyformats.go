package geo

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"meridian/config"
)

// latencyColumns lists the columns of the file, in order.
func latencyColumns() []string { return []string{"client", "region", "rtt_ms", "samples"} }

// readCSV reads lines of client, region, milliseconds and, optionally, samples (RFC 4180). Lines that begin with #
// are comments.
func (r *latencyReader) readCSV(data []byte) {
	lines := csv.NewReader(bytes.NewReader(data))
	lines.Comment, lines.FieldsPerRecord, lines.ReuseRecord = '#', -1, true
	lines.TrimLeadingSpace = true
	for first := true; ; first = false {
		values, err := lines.Read()
		if bad, ok := errors.AsType[*csv.ParseError](err); ok {
			r.addError(config.Pos{Line: uint32(bad.Line), Column: uint32(bad.Column)}, bad.Err.Error(), "quote a value as CSV does, or not at all")
			return
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if first && isHeader(values) {
			continue
		}
		if !r.addLine(lines, values) {
			return
		}
	}
}

// isHeader reports whether the first line names the columns.
func isHeader(values []string) bool {
	columns := latencyColumns()
	if len(values) < 3 || len(values) > len(columns) {
		return false
	}
	for i, v := range values {
		if strings.TrimSpace(strings.TrimPrefix(v, "\ufeff")) != columns[i] {
			return false
		}
	}
	return true
}

func (r *latencyReader) addLine(lines *csv.Reader, values []string) bool {
	var row [4]field
	if len(values) < 3 || len(values) > len(row) {
		line, column := lines.FieldPos(0)
		r.addError(config.Pos{Line: uint32(line), Column: uint32(column)}, fmt.Sprintf("%d columns", len(values)), "write client,region,rtt_ms or client,region,rtt_ms,samples")
		return true
	}
	for i, v := range values {
		line, column := lines.FieldPos(i)
		row[i] = field{strings.TrimSpace(v), config.Pos{Line: uint32(line), Column: uint32(column)}}
	}
	return r.add(row[0], row[1], row[2], row[3])
}

// latencyObject is a row in JSON.
type latencyObject struct {
	Client  string   `json:"client"`
	Region  string   `json:"region"`
	RTT     *float64 `json:"rtt_ms"`
	Samples *uint32  `json:"samples"`
}

// readJSON reads a list of objects with the columns as keys.
func (r *latencyReader) readJSON(data []byte) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	at := lineCounter{data: data, line: 1}
	_, _ = d.Token() // the opening bracket, which the caller has seen
	for d.More() {
		pos := at.pos(d.InputOffset())
		var row latencyObject
		if err := d.Decode(&row); err != nil {
			r.addError(pos, jsonError(err), `write {"client": "198.51.100.0/24", "region": "REGION", "rtt_ms": 12.5, "samples": 40}`)
			if !goesOn(err) {
				return
			}
			continue
		}
		if !r.addObject(&row, pos) {
			return
		}
	}
	pos := at.pos(d.InputOffset())
	if _, err := d.Token(); err != nil {
		r.addError(pos, jsonError(err), "end the list with ]")
		return
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		r.addError(at.pos(d.InputOffset()), "data after the end of the list", "put all rows into one list")
	}
}

func (r *latencyReader) addObject(row *latencyObject, at config.Pos) bool {
	ms, samples := field{"", at}, field{"", at}
	if row.RTT != nil {
		ms.text = strconv.FormatFloat(*row.RTT, 'g', -1, 64)
	}
	if row.Samples != nil {
		samples.text = strconv.FormatUint(uint64(*row.Samples), 10)
	}
	return r.add(field{row.Client, at}, field{row.Region, at}, ms, samples)
}

// goesOn reports whether reading can continue after the object: it is valid JSON but not a valid row.
func goesOn(err error) bool {
	_, wrong := errors.AsType[*json.UnmarshalTypeError](err)
	return wrong || strings.HasPrefix(err.Error(), "json: unknown field")
}

// jsonError describes a JSON error in terms of the file.
func jsonError(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s is of JSON type %s", cmp.Or(wrong.Field, "a row"), wrong.Value)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON ends too soon"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// lineCounter finds the lines of offsets, given in ascending order.
type lineCounter struct {
	data []byte
	at   int
	line uint32
	from int // offset of the beginning of the line
}

// pos returns the position of the first value at or after offset.
func (c *lineCounter) pos(offset int64) config.Pos {
	end := int(offset)
	for end < len(c.data) && strings.IndexByte(" \t\r\n,", c.data[end]) >= 0 {
		end++
	}
	for ; c.at < end; c.at++ {
		if c.data[c.at] == '\n' {
			c.line++
			c.from = c.at + 1
		}
	}
	return config.Pos{Line: c.line, Column: uint32(end-c.from) + 1}
}
