package pools

import "meridian/geo"

// Tables is how many geo tables the pools ask, one for each distinct set of regions or
// matches, and the bytes of memory that they hold together.
func (t *Tree) Tables() (tables, bytes int) {
	counted := map[*geo.Table]bool{}
	for _, table := range t.geoTables {
		if table != nil && !counted[table] {
			counted[table] = true
			bytes += table.Bytes()
		}
	}
	return len(counted), bytes
}
