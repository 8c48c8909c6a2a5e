// Command picture draws docs/meridian.svg, the picture in the README: a client, Meridian and regions.
//
//	go generate ./docs/picture
package main

import (
	"fmt"
	"os"
	"strings"
)

//go:generate go run . ../meridian.svg

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: picture FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(draw()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	width  = 860
	height = 330
	title  = "A client in Japan asks its resolver, the resolver asks Meridian. Tokyo fails its health checks, so Meridian answers with Singapore, the nearest healthy region."
)

// style has one palette for light pages and one for dark pages. The background is transparent.
const style = `
text{font:14px system-ui,sans-serif;fill:#1f2328}
.small{font-size:12px;fill:#59636e}
.box{fill:#f6f8fa;stroke:#59636e;stroke-width:1.2}
.main{fill:#ddf4ff;stroke:#0969da;stroke-width:1.6}
.bad{stroke:#cf222e;stroke-dasharray:5 3}
.line{stroke:#59636e;stroke-width:1.4;fill:none}
.probe{stroke-dasharray:3 4}
.chosen{stroke:#0969da;stroke-width:2.4;fill:none}
.head{fill:#59636e}.headchosen{fill:#0969da}
.up,.down{font-size:12px}.up{fill:#1a7f37}.down{fill:#cf222e}.strong{font-weight:600}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}
.small{fill:#9198a1}
.box{fill:#161b22;stroke:#9198a1}
.main{fill:#0c2d4d;stroke:#58a6ff}
.bad{stroke:#ff7b72}
.line{stroke:#9198a1}
.chosen{stroke:#58a6ff}
.head{fill:#9198a1}.headchosen{fill:#58a6ff}
.up{fill:#3fb950}.down{fill:#ff7b72}
}`

// region is one of the places on the right of the picture.
type region struct {
	name, endpoint string
	distance       string
	up, chosen     bool
}

var regions = []region{
	{name: "Tokyo", endpoint: "192.0.2.10", distance: "30 km"},
	{name: "Singapore", endpoint: "198.51.100.10", distance: "5,300 km", up: true, chosen: true},
	{name: "Ireland", endpoint: "203.0.113.10", distance: "9,600 km", up: true},
}

// canvas collects the elements of the picture.
type canvas struct{ strings.Builder }

// draw returns the SVG document.
func draw() string {
	c := new(canvas)
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title">`+"\n", width, height)
	fmt.Fprintf(c, "<title id=\"title\">%s</title>\n<style>%s\n</style>\n", title, style)
	c.marker("arrow", "head")
	c.marker("chosen", "headchosen")
	c.box(20, 40, 130, 60, "box", "Client in Japan", "133.11.0.1")
	c.box(20, 170, 130, 60, "box", "Resolver", "adds client subnet")
	c.box(270, 150, 210, 100, "main", "Meridian", "gslb.example.com")
	c.text(375, 234, "small", "zones → pools → geo, health")
	c.arrow("line", "arrow", "M85 100V166")
	c.text(116, 138, "small", "1  www?")
	c.arrow("line", "arrow", "M150 190H266")
	c.text(208, 182, "small", "2  www?")
	c.arrow("line", "arrow", "M270 214H154")
	c.text(210, 234, "small", "3  198.51.100.10")
	for i, r := range regions {
		c.region(r, 20+i*108)
	}
	c.arrow("chosen", "chosen", "M150 58H560C600 58 600 150 636 150")
	c.text(375, 50, "small", "4  the client connects to the nearest healthy region")
	c.text(375, 300, "small", "dashed lines: health checks")
	c.WriteString("</svg>\n")
	return c.String()
}

// region draws a region at height y, with the health check that Meridian runs against it.
func (c *canvas) region(r region, y int) {
	class, mark, state := "box", "up", "● healthy"
	if !r.up {
		class, mark, state = "box bad", "down", "▼ unhealthy"
	}
	if r.chosen {
		class = "main"
	}
	fmt.Fprintf(c, `<rect class="%s" x="640" y="%d" width="200" height="78" rx="8"/>`+"\n", class, y)
	fmt.Fprintf(c, `<text class="strong" x="654" y="%d">%s</text>`+"\n", y+24, r.name)
	fmt.Fprintf(c, `<text class="%s" x="826" y="%d" text-anchor="end">%s</text>`+"\n", mark, y+24, state)
	fmt.Fprintf(c, `<text class="small" x="654" y="%d">%s</text>`+"\n", y+46, r.endpoint)
	fmt.Fprintf(c, `<text class="small" x="654" y="%d">%s from the client</text>`+"\n", y+64, r.distance)
	c.arrow("line probe", "arrow", fmt.Sprintf("M480 200C560 200 560 %d 636 %d", y+54, y+54))
}

// box draws a box with a title and a line of detail.
func (c *canvas) box(x, y, w, h int, class, title, detail string) {
	fmt.Fprintf(c, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="8"/>`+"\n", class, x, y, w, h)
	c.text(x+w/2, y+26, "strong", title)
	c.text(x+w/2, y+46, "small", detail)
}

// text writes a line that is centered at x.
func (c *canvas) text(x, y int, class, s string) {
	fmt.Fprintf(c, `<text class="%s" x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", class, x, y, s)
}

// arrow draws a path with an arrow head at its end.
func (c *canvas) arrow(class, head, path string) {
	fmt.Fprintf(c, `<path class="%s" d="%s" marker-end="url(#%s)"/>`+"\n", class, path, head)
}

// marker defines an arrow head.
func (c *canvas) marker(id, class string) {
	fmt.Fprintf(c, `<marker id="%s" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">`+
		`<path class="%s" d="M0 0L8 4L0 8z"/></marker>`+"\n", id, class)
}
