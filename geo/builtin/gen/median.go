package main

import "math"

// point is a place on Earth in degrees.
type point struct{ lat, lon float64 }

// weighted is a place with its people.
type weighted struct {
	point
	people float64
}

// vector is a place on the unit sphere.
type vector [3]float64

func (p point) vector() vector {
	lat, lon := p.lat*math.Pi/180, p.lon*math.Pi/180
	return vector{math.Cos(lat) * math.Cos(lon), math.Cos(lat) * math.Sin(lon), math.Sin(lat)}
}

func (v vector) point() point {
	return point{
		lat: math.Atan2(v[2], math.Hypot(v[0], v[1])) * 180 / math.Pi,
		lon: math.Atan2(v[1], v[0]) * 180 / math.Pi,
	}
}

// median is the centre of population that serves steering: the place from
// which the distances to all people add up to least (the geometric median, by
// Weiszfeld's iteration over chords). Unlike the mean it stays among the many:
// Alaska does not drag the United States north.
func median(places []weighted) point {
	const (
		rounds = 1000
		near   = 1e-9 // of an Earth radius, some millimetres: the iteration stands still
	)
	at := vector{}
	for range rounds {
		next := step(places, at)
		moved := math.Hypot(math.Hypot(next[0]-at[0], next[1]-at[1]), next[2]-at[2])
		at = next
		if moved < near {
			break
		}
	}
	return at.point()
}

// step is the mean of the places, each weighted by its people over its distance to at.
func step(places []weighted, at vector) vector {
	const closest = 1e-6 // keeps the weight of a town that at stands on finite
	var sum vector
	var total float64
	for _, p := range places {
		v := p.vector()
		d := math.Hypot(math.Hypot(v[0]-at[0], v[1]-at[1]), v[2]-at[2])
		w := p.people / max(d, closest)
		for i := range sum {
			sum[i] += w * v[i]
		}
		total += w
	}
	for i := range sum {
		sum[i] /= total
	}
	return sum
}
