package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// pageWidth is the maximum width of a line in columns, unless a word is longer.
const pageWidth = 100

// textWriter writes lines and keeps the first error.
type textWriter struct {
	w   io.Writer
	err error
}

func (p *textWriter) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); err != nil && p.err == nil {
		p.err = err
	}
}

// wrapped prints text after a head, with continuation lines aligned below the text.
func (p *textWriter) wrapped(head, text string) {
	for _, line := range wrap(text, pageWidth-utf8.RuneCountInString(head)) {
		p.line("%s%s", head, line)
		head = strings.Repeat(" ", utf8.RuneCountInString(head))
	}
}

// leastText is the minimum width of a text in columns.
const leastText = 40

// wrap breaks text between words into lines of at most width columns.
func wrap(text string, width int) []string {
	width = max(width, leastText)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// table is a table with a wrapped text in its last column. It omits columns that are empty
// in all rows but the first.
type table struct{ rows [][]string }

func (g *table) add(cells ...string) { g.rows = append(g.rows, cells) }

// print prints the rows, indented.
func (g *table) print(out *textWriter, indent string) {
	widths := g.widths()
	for _, row := range g.rows {
		head := indent
		last := len(row) - 1
		for i, cell := range row[:last] {
			if widths[i] > 0 {
				head += cell + strings.Repeat(" ", widths[i]+2-utf8.RuneCountInString(cell))
			}
		}
		out.wrapped(head, row[last])
	}
}

// widths returns the width of each column but the last; 0 for omitted columns.
func (g *table) widths() []int {
	widths := make([]int, 0, 8)
	for i := range len(g.rows[0]) - 1 {
		width, shown := utf8.RuneCountInString(g.rows[0][i]), i == 0
		for _, row := range g.rows[1:] {
			width = max(width, utf8.RuneCountInString(row[i]))
			shown = shown || row[i] != "-"
		}
		if !shown {
			width = 0
		}
		widths = append(widths, width)
	}
	return widths
}
