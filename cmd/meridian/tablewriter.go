package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// pageWidth is how many columns lines have, where their words let them.
const pageWidth = 100

// textWriter is text on its way out. The first error stays.
type textWriter struct {
	w   io.Writer
	err error
}

func (p *textWriter) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); err != nil && p.err == nil {
		p.err = err
	}
}

// wrapped prints text behind a head; what goes on stands below the text.
func (p *textWriter) wrapped(head, text string) {
	for _, line := range wrap(text, pageWidth-utf8.RuneCountInString(head)) {
		p.line("%s%s", head, line)
		head = strings.Repeat(" ", utf8.RuneCountInString(head))
	}
}

// leastText is the columns that a text has however little there is left.
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

// table is a table whose last column is text, which is wrapped. Columns without a
// word in any row but the first are left out.
type table struct{ rows [][]string }

func (g *table) add(cells ...string) { g.rows = append(g.rows, cells) }

// print prints the rows behind indent.
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

// widths is that of each column but the last; 0 of those that are left out.
func (g *table) widths() []int {
	widths := make([]int, 0, 8)
	for i := range len(g.rows[0]) - 1 {
		width, said := utf8.RuneCountInString(g.rows[0][i]), i == 0
		for _, row := range g.rows[1:] {
			width = max(width, utf8.RuneCountInString(row[i]))
			said = said || row[i] != "-"
		}
		if !said {
			width = 0
		}
		widths = append(widths, width)
	}
	return widths
}
