package plan

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// mostRows is the maximum number of rows of a table in the text.
const mostRows = 10

// Text writes the forecast as text.
func (f *Forecast) Text(w io.Writer) error {
	var b strings.Builder
	for _, trouble := range f.Troubles() {
		b.WriteString(trouble + "\n")
	}
	for _, gap := range f.Gaps() {
		b.WriteString(gap + "\n")
	}
	fmt.Fprintf(&b, "%s: %s, %s\n", f.Effect(), counted(f.Names, "name"), counted(f.Clients, "client network"))
	if f.Added+f.Removed > 0 {
		fmt.Fprintf(&b, "%s new, %s gone: not included\n", counted(f.Added, "name"), counted(f.Removed, "name"))
	}
	if f.Km.Known() {
		fmt.Fprintf(&b, "mean distance to the region: %s, then %s\n", f.Km.Before.Unit(), f.Km.After.Unit())
	}
	f.breaches(&b)
	targets(&b, "REGION", f.Regions)
	flows(&b, f.Flows)
	targets(&b, "MEMBER", f.Members)
	places(&b, "POOL", moving(f.Pools))
	places(&b, "CONTINENT", moving(f.Continents))
	places(&b, "COUNTRY", moving(f.Countries))
	places(&b, "ASN", moving(f.Systems))
	places(&b, "FARTHER", f.Worst)
	_, err := io.WriteString(w, b.String())
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(int64(n)) + " " + what + "s"
}

func (f *Forecast) breaches(b *strings.Builder) {
	if f.bounded && len(f.Breaches) == 0 {
		fmt.Fprintf(b, "no member or region gets more than its capacity of a traffic of %s\n", format(f.traffic))
	}
	t := table{left: 1, rows: [][]string{{"OVERLOADED", "CAPACITY", "BEFORE", "AFTER"}}}
	for _, o := range f.Breaches {
		t.add(o.Name, format(o.Capacity), format(o.Load.Before), format(o.Load.After))
	}
	t.write(b)
}

func targets(b *strings.Builder, head string, all []Target) {
	t := table{left: 1, rows: [][]string{{head, "BEFORE", "AFTER", "CHANGE"}}}
	for _, r := range all {
		t.add(r.Name, percent(r.Share.Before), percent(r.Share.After), signed(r.Share))
	}
	t.write(b)
}

func flows(b *strings.Builder, all []Flow) {
	t := table{left: 2, rows: [][]string{{"FROM", "TO", "MOVES"}}}
	for _, f := range all {
		t.add(f.From, f.To, percent(f.Share))
	}
	t.write(b)
}

func places(b *strings.Builder, head string, all []Part) {
	columns := []string{head, "FROM", "TO", "TRAFFIC", "MOVES", "KM", "KM AFTER"}
	if !placed(all) {
		columns = columns[:5]
	}
	t := table{left: 3, rows: [][]string{columns}}
	for _, p := range all {
		row := []string{p.Name, p.From, p.To, percent(p.Share), percent(p.Moved), p.Km.Before.String(), p.Km.After.String()}
		t.add(row[:len(columns)]...)
	}
	t.write(b)
}

// table is text in columns: the first ones left-aligned, the others right-aligned.
type table struct {
	left int
	rows [][]string // the first is the head
	cut  int        // rows left out
}

func (t *table) add(row ...string) {
	if len(t.rows) > mostRows {
		t.cut++
		return
	}
	t.rows = append(t.rows, row)
}

// write writes an empty line and the table, or nothing if it has no rows.
func (t *table) write(b *strings.Builder) {
	if len(t.rows) == 1 {
		return
	}
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	b.WriteByte('\n')
	for _, row := range t.rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < t.left {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		b.WriteByte('\n')
	}
	if t.cut > 0 {
		fmt.Fprintf(b, "and %d more\n", t.cut)
	}
}

// moving returns the parts with moved traffic.
func moving(all []Part) []Part {
	for i, p := range all { // the most moved come first
		if p.Moved < epsilon {
			return all[:i]
		}
	}
	return all
}

// percent formats a share. A small share is not printed as 0.
func percent(share float64) string {
	switch {
	case share <= epsilon:
		return "0 %"
	case share < 0.0001:
		return "<0.01 %"
	case share < 0.1:
		return fmt.Sprintf("%.2f %%", share*100)
	}
	return fmt.Sprintf("%.1f %%", share*100)
}

// signed formats the change of a share.
func signed(c Change) string {
	switch d := c.After - c.Before; {
	case d > epsilon:
		return "+" + percent(d)
	case d < -epsilon:
		return "-" + percent(-d)
	}
	return "="
}
