package loads

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"meridian/config"
	"meridian/errtext"
)

// parseHAProxy reads the sessions of a backend or frontend from the CSV of HAProxy's statistics (its management guide,
// 9.1): scur, the current sessions, and slim, their limit. An empty slim means no limit is reported.
func parseHAProxy(of *config.LoadSource, body []byte) (Report, error) {
	proxy, side := of.Backend, "BACKEND"
	if proxy == "" {
		proxy, side = of.Frontend, "FRONTEND"
	}
	rows := csv.NewReader(bytes.NewReader(body))
	rows.FieldsPerRecord, rows.LazyQuotes, rows.ReuseRecord = -1, true, true
	head, err := rows.Read()
	if err != nil || len(head) == 0 || head[0] != "# pxname" {
		return Report{}, errors.New("not the CSV of HAProxy's statistics")
	}
	head = slices.Clone(head)
	column := func(row []string, name string) string {
		if i := slices.Index(head, name); i >= 0 && i < len(row) {
			return row[i]
		}
		return ""
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return Report{}, fmt.Errorf("no %s %q in the statistics", side, proxy)
		}
		if err != nil {
			return Report{}, fmt.Errorf("not the CSV of HAProxy's statistics: %w", err)
		}
		if row[0] != proxy || column(row, "svname") != side {
			continue
		}
		return sessions(column(row, "scur"), column(row, "slim"))
	}
}

func sessions(current, limit string) (r Report, err error) {
	if r.Load, err = strconv.ParseFloat(current, 64); err != nil {
		return Report{}, fmt.Errorf("scur is %q, want a number", errtext.Clip(current))
	}
	if limit == "" {
		return r, nil
	}
	if r.Capacity, err = strconv.ParseFloat(limit, 64); err != nil {
		return Report{}, fmt.Errorf("slim is %q, want a number", errtext.Clip(limit))
	}
	return r, nil
}
