package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// curve holds the measurements of a subject, by growing size.
type curve struct {
	subject
	points []point
}

// column is a figure of each point.
type column struct {
	name  string
	of    func(p point) float64
	floor float64 // below it, the figure is that of an empty server, and has no exponent
	class string  // style of its line
}

var columns = []column{
	{"start, CPU s", func(p point) float64 { return p.start }, 0.5, "start"},
	{"reload, CPU s", func(p point) float64 { return p.reload }, 0.5, "reload"},
	{"MiB", func(p point) float64 { return p.memory }, 100, "memory"},
	{"MiB, peak", func(p point) float64 { return p.highest }, 100, "peak"},
}

// print writes a table of a curve, with the exponents in the last row.
func (c *curve) print(w io.Writer) {
	fmt.Fprintf(w, "\n| %s |", c.name)
	for _, k := range columns {
		fmt.Fprintf(w, " %s |", k.name)
	}
	fmt.Fprintf(w, "\n|%s\n", strings.Repeat("---|", 1+len(columns)))
	for _, p := range c.points {
		fmt.Fprintf(w, "| %s |", thousands(p.size))
		for _, k := range columns {
			fmt.Fprintf(w, " %.*f |", decimals(k.of(p)), k.of(p))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "| exponent |")
	for _, k := range columns {
		if e, ok := c.exponent(k); ok {
			fmt.Fprintf(w, " %.2f |", e)
		} else {
			fmt.Fprint(w, " |")
		}
	}
	fmt.Fprintln(w)
}

// exponent returns the slope between the last two points, if both are above the floor.
func (c *curve) exponent(k column) (float64, bool) {
	n := len(c.points)
	if n < 2 {
		return 0, false
	}
	a, b := c.points[n-2], c.points[n-1]
	if k.of(a) < k.floor {
		return 0, false
	}
	return math.Log(k.of(b)/k.of(a)) / math.Log(float64(b.size)/float64(a.size)), true
}

// check returns an error for each column that grows faster than the bar.
func (c *curve) check(bar float64) error {
	var steep []error
	for _, k := range columns {
		if e, ok := c.exponent(k); ok && e > bar {
			steep = append(steep, fmt.Errorf("%s, %s: grows with the power of %.2f, above %.2f", c.name, k.name, e, bar))
		}
	}
	return errors.Join(steep...)
}

// decimals returns how many digits after the point a figure gets.
func decimals(v float64) int {
	if v < 10 {
		return 2
	}
	return 0
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// The picture has a frame for each subject, in rows. Both axes are logarithmic.
const (
	perRow      = 4
	frameWidth  = 200
	frameHeight = 190
	plotLeft    = 34
	plotTop     = 30
	plotWidth   = 150
	plotHeight  = 120
	lowest      = 0.01 // of the vertical axis
	decades     = 6
)

const plotStyle = `
text{font:11px system-ui,sans-serif;fill:#1f2328}
.title{font-size:13px;font-weight:600}
.grid{stroke:#d1d9e0;stroke-width:1}
polyline{fill:none;stroke-width:2}
.start{stroke:#0969da}.reload{stroke:#bc4c00;stroke-dasharray:5 3}.memory{stroke:#1a7f37}.peak{stroke:#8250df;stroke-dasharray:2 3}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}
.grid{stroke:#3d444d}
.start{stroke:#58a6ff}.reload{stroke:#ffa657}.memory{stroke:#3fb950}.peak{stroke:#d2a8ff}
}`

// draw returns an SVG document with a frame for each curve.
func draw(curves []curve) string {
	var b strings.Builder
	rows := (len(curves) + perRow - 1) / perRow
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title">`+"\n", perRow*frameWidth, rows*frameHeight+24)
	fmt.Fprintf(&b, "<title id=\"title\">Processor time of a start and of a reload, and memory, by the size of the configuration</title>\n<style>%s\n</style>\n", plotStyle)
	for i, c := range curves {
		c.draw(&b, i%perRow*frameWidth, i/perRow*frameHeight)
	}
	for i, k := range columns {
		x, y := plotLeft+i*frameWidth, rows*frameHeight+12
		fmt.Fprintf(&b, `<polyline class="%s" points="%d,%d %d,%d"/><text x="%d" y="%d">%s</text>`+"\n", k.class, x, y, x+24, y, x+30, y+4, k.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws the frame of a curve at x, y.
func (c *curve) draw(b *strings.Builder, x, y int) {
	fmt.Fprintf(b, `<text class="title" x="%d" y="%d">%s</text>`+"\n", x+plotLeft, y+20, c.name)
	for d := range decades + 1 {
		at := y + plotTop + plotHeight - plotHeight*d/decades
		fmt.Fprintf(b, `<path class="grid" d="M%d %dh%d"/><text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
			x+plotLeft, at, plotWidth, x+plotLeft-4, at+4, short(lowest*math.Pow10(d)))
	}
	for _, p := range c.points {
		px, _ := c.place(p, lowest)
		fmt.Fprintf(b, `<text x="%.0f" y="%d" text-anchor="middle">%s</text>`+"\n", float64(x)+px, y+plotTop+plotHeight+16, short(float64(p.size)))
	}
	for _, k := range columns {
		fmt.Fprintf(b, `<polyline class="%s" points="`, k.class)
		for i, p := range c.points {
			px, py := c.place(p, k.of(p))
			fmt.Fprintf(b, "%s%.1f,%.1f", strings.Repeat(" ", min(i, 1)), float64(x)+px, float64(y)+py)
		}
		b.WriteString("\"/>\n")
	}
}

// place returns the position of a value of a point in the frame.
func (c *curve) place(p point, value float64) (x, y float64) {
	const sizes = 3 // decades of the horizontal axis, from 1,000 to a million
	x = plotLeft + plotWidth*math.Log10(float64(p.size)/smallest)/sizes
	up := math.Log10(max(value, lowest)/lowest) / decades
	return x, plotTop + plotHeight*(1-min(up, 1))
}

// short writes a number as 10k or 1M.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.0fM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%g", math.Round(v*100)/100)
}
