// Gen generates the outlines of the countries for the map of a forecast from free data:
//
//	go run ./plan/world/gen -atlas countries-110m.json -codes codes.json -o plan/world/countries.tsv
//
// -atlas is a file of the npm package world-atlas (Natural Earth, public domain,
// as TopoJSON), -codes is codes.json of the npm package i18n-iso-countries. A
// line of the output is a country's ISO 3166-1 alpha-2 code, or -, and its rings,
// separated by semicolons: points of longitude and latitude in tenths of a degree.
// The same input always gives the same bytes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	atlas := flag.String("atlas", "", "countries-110m.json of the npm package world-atlas")
	codes := flag.String("codes", "", "codes.json of the npm package i18n-iso-countries")
	out := flag.String("o", "countries.tsv", "file to write")
	flag.Parse()
	if err := run(*atlas, *codes, *out); err != nil {
		log.Fatal(err)
	}
}

func run(atlas, codes, out string) error {
	var world topology
	if err := readJSON(atlas, &world); err != nil {
		return err
	}
	var table [][]string // alpha-2, alpha-3, numeric, and more
	if err := readJSON(codes, &table); err != nil {
		return err
	}
	alpha2 := make(map[string]string, len(table))
	for _, row := range table {
		alpha2[row[2]] = row[0]
	}
	var lines []string
	for _, g := range world.Objects.Countries.Geometries {
		code, ok := alpha2[g.ID]
		if !ok {
			code = "-"
		}
		rings, err := world.rings(g)
		if err != nil {
			return fmt.Errorf("country %q: %w", g.ID, err)
		}
		lines = append(lines, code+"\t"+strings.Join(rings, ";")+"\n")
	}
	slices.Sort(lines)
	return os.WriteFile(out, []byte("# Made by world/gen from Natural Earth; do not edit.\n"+strings.Join(lines, "")), 0o644)
}

func readJSON(file string, to any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// topology holds the needed fields of a TopoJSON file: arcs are lines of points, each but
// the first as the distance from the one before.
type topology struct {
	Arcs      [][][2]float64 `json:"arcs"`
	Transform struct {
		Scale, Translate [2]float64
	} `json:"transform"`
	Objects struct {
		Countries struct {
			Geometries []geometry `json:"geometries"`
		} `json:"countries"`
	} `json:"objects"`
}

// geometry is a country: rings of arcs, a negative number for one backwards.
type geometry struct {
	ID   string          `json:"id"` // ISO 3166-1 numeric
	Type string          `json:"type"`
	Arcs json.RawMessage `json:"arcs"`
}

// rings returns the outline of g, ring by ring as text.
func (t *topology) rings(g geometry) ([]string, error) {
	var polygons [][][]int
	switch g.Type {
	case "Polygon":
		polygons = make([][][]int, 1)
		if err := json.Unmarshal(g.Arcs, &polygons[0]); err != nil {
			return nil, err
		}
	case "MultiPolygon":
		if err := json.Unmarshal(g.Arcs, &polygons); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("a geometry of type %q", g.Type)
	}
	var rings []string
	for _, polygon := range polygons {
		for _, arcs := range polygon {
			rings = append(rings, t.ring(arcs))
		}
	}
	return rings, nil
}

// ring returns one ring as text. Where it crosses the meridian of 180 degrees it
// continues beyond, so that no line crosses the whole map.
func (t *topology) ring(arcs []int) string {
	var ring [][2]float64
	east, sum := 0.0, 0.0
	for _, number := range arcs {
		for _, p := range t.line(number) {
			p[0] += east
			if n := len(ring); n > 0 {
				turns := math.Round((ring[n-1][0] - p[0]) / 360)
				east += turns * 360
				p[0] += turns * 360
			}
			ring = append(ring, p)
			sum += p[0]
		}
	}
	home := -360 * math.Round(sum/float64(len(ring))/360) // most of it is within the map
	var points []string
	for _, p := range ring {
		text := fmt.Sprintf("%d,%d", int(math.Round((p[0]+home)*10)), int(math.Round(p[1]*10)))
		if len(points) == 0 || points[len(points)-1] != text {
			points = append(points, text)
		}
	}
	return strings.Join(points, " ")
}

// line returns the points of an arc in degrees.
func (t *topology) line(number int) [][2]float64 {
	backwards := number < 0
	if backwards {
		number = ^number
	}
	var x, y float64
	var line [][2]float64
	for _, step := range t.Arcs[number] {
		x, y = x+step[0], y+step[1]
		line = append(line, [2]float64{
			x*t.Transform.Scale[0] + t.Transform.Translate[0],
			y*t.Transform.Scale[1] + t.Transform.Translate[1],
		})
	}
	if backwards {
		slices.Reverse(line)
	}
	return line
}
