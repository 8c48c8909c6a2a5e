package geo

import (
	"math"

	"meridian/config"
)

// earthRadius is the mean radius of the Earth in kilometres (IUGG R1).
const earthRadius = 6371.0088

// Distance returns the great-circle distance in kilometres (haversine, mean Earth radius 6371.0088).
func Distance(a, b config.Location) float64 {
	return newPoint(a).distance(newPoint(b))
}

// Biased applies a region's bias to the distance d in kilometres. A positive bias b attracts clients: d·(1−b/100). A
// negative one repels them: d/(1+|b|/100).
func Biased(d float64, bias int) float64 {
	b := float64(bias) / 100
	if bias >= 0 {
		return d * (1 - b)
	}
	return d / (1 + b)
}

// point is a location with the cosine of its latitude, which every distance needs.
type point struct {
	config.Location
	cos float64 // of the latitude
}

func newPoint(l config.Location) point {
	return point{l, math.Cos(l.Lat * math.Pi / 180)}
}

// distance computes the haversine formula. It subtracts in degrees, the short way round. So regions at equal distance
// by their coordinates also compare equal in floating point, and the configured order breaks the tie.
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
