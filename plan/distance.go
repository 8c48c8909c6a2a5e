package plan

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Distance is a distance in kilometres; NaN, in JSON null, if no traffic goes to a region.
type Distance float64

// Distances is a distance on either side.
type Distances struct {
	Before Distance `json:"before"`
	After  Distance `json:"after"`
}

// mean returns the mean distance for a weighted sum of kilometres.
func mean(km, weight float64) Distance {
	if weight == 0 {
		return Distance(math.NaN())
	}
	return Distance(km / weight)
}

func (d Distance) known() bool { return !math.IsNaN(float64(d)) }

// Known reports whether there is a distance on either side.
func (d Distances) Known() bool { return d.Before.known() || d.After.known() }

// placed reports whether any of the parts has a distance.
func placed(all []Part) bool {
	return slices.ContainsFunc(all, func(p Part) bool { return p.Km.Known() })
}

// String returns the number without its unit, for a column with the unit in its heading.
func (d Distance) String() string {
	if !d.known() {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(d))
}

// Unit returns the number with its unit.
func (d Distance) Unit() string {
	if !d.known() {
		return d.String()
	}
	return d.String() + " km"
}

// MarshalJSON writes null if there is no distance.
func (d Distance) MarshalJSON() ([]byte, error) {
	if !d.known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(d))
}
