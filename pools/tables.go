package pools

import "meridian/geo"

// Tables returns how many geo tables the pools use, one for each distinct set of regions or
// matches, and how many bytes of memory they hold together.
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
