package geo

import (
	"fmt"

	"meridian/config"
)

// places numbers the distinct locations of clients, with their areas.
type places struct {
	all     []config.Location
	who     []area // by place
	numbers map[place]uint32
}

// place is a location within a country.
type place struct {
	at config.Location
	area
}

// area holds the parts of a location that matches compare.
type area struct{ continent, country, subdivision, city string }

func (w area) subdivided() bool { return w.subdivision != "" }

func (w area) inCity() bool { return w.city != "" }

// defaultPoint is the place of a client without a location: the default region's.
const defaultPoint = 0

func newPlaces(unplaced config.Location) *places {
	return &places{all: []config.Location{unplaced}, who: []area{{}}, numbers: map[place]uint32{}}
}

// number returns the number of a place, new or existing.
func (p *places) number(l Location) uint32 {
	at := place{config.Location{Lat: l.Lat, Lon: l.Lon}, area{l.Continent, l.Country, l.Subdivision, l.City}}
	n, ok := p.numbers[at]
	if !ok {
		n = uint32(len(p.all))
		p.numbers[at] = n
		p.all = append(p.all, at.at)
		p.who = append(p.who, at.area)
	}
	return n
}

// sources holds the locations of all sources as numbers of places. All tables of a Locator are compiled from it.
type sources struct {
	*places
	networks       *networks
	override       []uint32 // place of each entry of networks
	builtin        *builtin
	builtinCountry []uint32  // place of each value of the built-in table
	db             *database // nil without one
	offsets        *offsets
	data           []uint32 // place of each offset; defaultPoint if the record has no location
}

// place returns the place of the database's data at offset. offset is known from gathering, unless the file has
// changed since.
func (s *sources) place(offset uint32) (place uint32, ok bool) {
	if !s.offsets.has(offset) {
		return 0, false
	}
	return s.data[s.offsets.number(offset)], true
}

// gatherLocked reads every source once.
func (l *Locator) gatherLocked() (*sources, error) {
	s := &sources{networks: l.networks, db: l.db}
	s.places = newPlaces(config.Location{Lat: l.fallback.Lat, Lon: l.fallback.Lon})
	if l.db != nil {
		if err := l.readDatabase(s); err != nil {
			return nil, err
		}
	}
	for _, e := range l.networks.entries {
		s.override = append(s.override, s.number(e))
	}
	b, err := l.builtinLocked()
	if err != nil {
		return nil, err
	}
	s.builtin = b
	s.builtinCountry = []uint32{defaultPoint}
	for _, code := range b.countries {
		n := uint32(defaultPoint)
		if at, ok := l.centroids.country(code); ok {
			n = s.number(at)
		}
		s.builtinCountry = append(s.builtinCountry, n)
	}
	return s, nil
}

// readDatabase finds and decodes every record of the database once, and detects their schema.
func (l *Locator) readDatabase(s *sources) error {
	var err error
	if s.offsets, err = s.db.offsets(); err != nil {
		return err
	}
	recognized := -1
	if l.schema == nil {
		if recognized, err = l.centroids.recognize(s.db, s.offsets); err != nil {
			return err
		}
		l.schema = schemas()[recognized]
	}
	s.offsets.each(func(offset uint32) bool {
		var e entry
		if e, err = l.schema(s.db.reader.LookupOffset(uintptr(offset))); err != nil {
			err = fmt.Errorf("is broken: its record at offset %d cannot be read: %w", offset, err)
			return false
		}
		n := uint32(defaultPoint)
		if at, ok := l.centroids.standing(e); ok {
			if !l.cities {
				at.City = "" // with cities there would be more places, and compiling would take a quarter longer
			}
			n = s.number(at)
		}
		s.data = append(s.data, n)
		return true
	})
	if err == nil && recognized >= 0 {
		shareSchema(l.databaseDigest, recognized)
	}
	return err
}

// standing returns the location of a client with the database entry e:
//
//	coordinates  accuracy radius  country  continent  location
//	none         -                known    -          the country's centre of population
//	none         -                unknown  known      the continent's
//	known        over maxRadius   known    -          the country's
//	known        any other        -        -          the coordinates
func (a centroids) standing(e entry) (Location, bool) {
	at, known := a.country(e.country)
	ok := known
	if !known {
		at.Lat, at.Lon = a.continents[e.continent].Lat, a.continents[e.continent].Lon
		_, ok = a.continents[e.continent]
	}
	switch {
	case e.at == nil:
	case known && a.maxRadius > 0 && e.radius > a.maxRadius:
		at.Imprecise = e.radius
	default:
		at.Lat, at.Lon, ok = e.at.Lat, e.at.Lon, true
	}
	if e.continent != "" {
		at.Continent = e.continent
	}
	at.Subdivision, at.City = e.subdivision, e.city
	return at, ok
}
