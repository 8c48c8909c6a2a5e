package main

import "math"

// point is a location on Earth in degrees.
type point struct{ lat, lon float64 }

// weighted is a location with its population.
type weighted struct {
	point
	people float64
}

// vector is a location on the unit sphere.
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

// median returns the centre of population for ranking: the location with the least sum of distances to all people
// (the geometric median, by Weiszfeld's iteration over chords). Unlike the mean, it stays close to the majority:
// Alaska does not move the United States north.
func median(places []weighted) point {
	const (
		rounds = 1000
		near   = 1e-9 // of an Earth radius, some millimetres: the iteration has converged
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

// step returns the mean of the locations, each weighted by its population over its distance to at.
func step(places []weighted, at vector) vector {
	const closest = 1e-6 // keeps the weight of a town at the current location finite
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
