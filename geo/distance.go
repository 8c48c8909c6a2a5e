package geo

import (
	"math"

	"meridian/config"
)

// earthRadius is the mean radius of the Earth in kilometres (IUGG R1).
const earthRadius = 6371.0088

// Distance is the great-circle distance in kilometres (haversine, mean Earth radius 6371.0088).
func Distance(a, b config.Location) float64 {
	return newPoint(a).distance(newPoint(b))
}

// Biased is distance d in kilometres under a region's bias (DESIGN 5.1): a
// positive bias of b draws clients near, d·(1−b/100); a negative one pushes them
// off, d/(1+b/100).
func Biased(d float64, bias int) float64 {
	b := float64(bias) / 100
	if bias >= 0 {
		return d * (1 - b)
	}
	return d / (1 + b)
}

// point is a location with the cosine that every distance from it needs.
type point struct {
	config.Location
	cos float64 // of the latitude
}

func newPoint(l config.Location) point {
	return point{l, math.Cos(l.Lat * math.Pi / 180)}
}

// distance is the haversine formula. Differences are taken in degrees and
// the short way round, so that two regions equally far from a client on paper
// are so in floating point, and the tie breaks by the order written.
func (p point) distance(q point) float64 {
	dlon := math.Abs(p.Lon - q.Lon)
	if dlon > 180 {
		dlon = 360 - dlon
	}
	lat := math.Sin((p.Lat - q.Lat) * (math.Pi / 360))
	lon := math.Sin(dlon * (math.Pi / 360))
	h := lat*lat + p.cos*q.cos*lon*lon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}
