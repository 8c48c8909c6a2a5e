package geo

import (
	"fmt"

	"meridian/config"
)

// places numbers the distinct points at which clients stand, with what they are part of.
type places struct {
	all     []config.Location
	who     []area // by place
	numbers map[place]uint32
}

// place is a point as part of a country.
type place struct {
	at config.Location
	area
}

// area is what the clients of a place are matched by.
type area struct{ continent, country, subdivision, city string }

func (w area) subdivided() bool { return w.subdivision != "" }

func (w area) inCity() bool { return w.city != "" }

// defaultPoint is the number of the place of a client that nothing places: the
// default region's.
const defaultPoint = 0

func newPlaces(unplaced config.Location) *places {
	return &places{all: []config.Location{unplaced}, who: []area{{}}, numbers: map[place]uint32{}}
}

// number is that of a place, new or met before.
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

// sources is all that tells where clients are, as numbers of places: what
// every table of a Locator is compiled from.
type sources struct {
	*places
	networks       *networks
	override       []uint32 // place of each entry of networks
	builtin        *builtin
	builtinCountry []uint32  // place of each value of the built-in table
	db             *database // nil without one
	offsets        *offsets
	data           []uint32 // place of each offset; unplaced where the record places nobody
}

// place is the place of what the database has at offset, which was an offset when
// the database was gathered unless the file has changed since.
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

// readDatabase finds and decodes every record of the database once, by the
// schema that they turn out to have.
func (l *Locator) readDatabase(s *sources) error {
	var err error
	if s.offsets, err = s.db.offsets(); err != nil {
		return err
	}
	if l.schema == nil {
		if l.schema, err = l.centroids.recognize(s.db, s.offsets); err != nil {
			return err
		}
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
				at.City = "" // it would make more places of one, and take a quarter more time
			}
			n = s.number(at)
		}
		s.data = append(s.data, n)
		return true
	})
	return err
}

// standing returns where a client is of which a database says e:
//
//	coordinates  accuracy radius  country  continent  at
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
