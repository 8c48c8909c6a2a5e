package plan

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"

	"meridian/config"
)

//go:embed page.html
var pageHTML string

// mostPageRows is the maximum number of rows of a table on the page.
const mostPageRows = 50

// page holds the data of page.html.
type page struct {
	*Forecast
	Title         string
	Width, Height float64
	Countries     []pageCountry
	Flows         []pageFlow
	Regions       []pageRegion
	Targets       []pageTable[Target]
	Parts         []pageTable[Part]
}

type pageCountry struct {
	Path, Title string
	Moved       bool
	Opacity     float64
}

type pageFlow struct {
	X1, Y1, X2, Y2, Width, Head float64
	Title                       string
}

type pageRegion struct {
	Name, Title         string
	X, Y, Before, After float64 // the radii of a ring and a disc
}

type pageTable[T any] struct {
	Title, Head string
	Rows        []T
}

// Page writes the forecast as one self-contained HTML page. The regions give the locations
// on the map.
func (f *Forecast) Page(w io.Writer, title string, regions []config.Region) error {
	shapes, err := countryShapes()
	if err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"percent": percent, "signed": signed, "counted": counted, "amount": format,
		"placed": placed,
	}).Parse(pageHTML)
	if err != nil {
		return err
	}
	p := &page{Forecast: f, Title: title, Width: mapWidth, Height: math.Ceil(mapHeight)}
	p.drawCountries(shapes)
	places := make(map[string]config.Location)
	for _, r := range regions {
		places[r.Name] = r.Location
	}
	p.drawRegions(places)
	p.drawFlows(places)
	p.Targets = []pageTable[Target]{{"Regions", "region", f.Regions}, {"Members", "member", rows(f.Members)}}
	p.Parts = []pageTable[Part]{
		{"Countries that are sent farther", "country", rows(f.Worst)},
		{"Countries", "country", rows(moving(f.Countries))},
		{"Continents", "continent", rows(moving(f.Continents))},
		{"Autonomous systems", "ASN", rows(moving(f.Systems))},
		{"Pools", "pool", rows(f.Pools)},
	}
	return t.Execute(w, p)
}

func rows[T any](all []T) []T { return all[:min(len(all), mostPageRows)] }

// drawCountries colours each country by the share of its traffic that moves.
func (p *page) drawCountries(shapes []countryShape) {
	parts := make(map[string]Part)
	for _, c := range p.Forecast.Countries {
		parts[c.Name] = c
	}
	for _, s := range shapes {
		part := parts[s.country]
		share := ratio(part.Moved, part.Share)
		p.Countries = append(p.Countries, pageCountry{
			Path:    s.path,
			Title:   fmt.Sprintf("%s: %s of its traffic moves", s.country, percent(share)),
			Moved:   share > epsilon,
			Opacity: math.Round(100*(0.15+0.85*share)) / 100,
		})
	}
}

// drawRegions draws a circle for each region, with an area proportional to its share.
func (p *page) drawRegions(places map[string]config.Location) {
	radius := func(share float64) float64 { return math.Round(10*40*math.Sqrt(share)) / 10 }
	for _, r := range p.Forecast.Regions {
		place, ok := places[r.Name]
		if !ok {
			continue
		}
		x, y := project(place.Lat, place.Lon)
		p.Regions = append(p.Regions, pageRegion{
			Name:  r.Name,
			Title: fmt.Sprintf("%s: %s, then %s", r.Name, percent(r.Share.Before), percent(r.Share.After)),
			X:     math.Round(x), Y: math.Round(y), Before: radius(r.Share.Before), After: radius(r.Share.After),
		})
	}
}

// drawFlows draws lines between regions, with a width proportional to the moved share.
func (p *page) drawFlows(places map[string]config.Location) {
	for _, f := range rows(p.Forecast.Flows) {
		from, ok1 := places[f.From]
		to, ok2 := places[f.To]
		if !ok1 || !ok2 || f.From == f.To {
			continue
		}
		line := pageFlow{
			Width: math.Round(10*(0.8+20*f.Share)) / 10,
			Title: fmt.Sprintf("%s from %s to %s", percent(f.Share), f.From, f.To),
		}
		line.Head = line.Width + 1.5
		line.X1, line.Y1 = project(from.Lat, from.Lon)
		line.X2, line.Y2 = project(to.Lat, to.Lon)
		p.Flows = append(p.Flows, line)
	}
}
