package catalog

import (
	"fmt"

	"meridian/dnsname"
	"meridian/zones"
)

// fewLeaving is how many zones may leave a catalog at once, even if they are most of it.
const fewLeaving = 2

// RemovalError is the error of a catalog that most zones have left.
type RemovalError struct {
	Catalog   dnsname.Name
	Left, All int
}

func (e *RemovalError) Error() string {
	return fmt.Sprintf("%d of the %d zones of the catalog would leave it; if that is right, meridian zone refresh --allow-removal %s takes it", e.Left, e.All, e.Catalog)
}

// Check reports what is wrong with a new copy of a catalog: it is broken, or most of its members would leave it.
func (all Members) Check(c *zones.Copy, allowRemoval bool) error {
	entries, err := Parse(c)
	if err != nil {
		return fmt.Errorf("the catalog is broken: %w", err)
	}
	if allowRemoval {
		return nil
	}
	listed := make(map[dnsname.Name]bool, len(entries))
	for i := range entries {
		listed[entries[i].Zone] = true
	}
	members, left := 0, 0
	for i := range all {
		if m := &all[i]; m.Catalog == c.Zone && m.Left.IsZero() {
			members++
			if !listed[m.Zone] {
				left++
			}
		}
	}
	if left > fewLeaving && 2*left > members {
		return &RemovalError{c.Zone, left, members}
	}
	return nil
}
