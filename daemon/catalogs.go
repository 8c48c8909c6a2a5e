package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/config"
	"meridian/control"
	"meridian/dnsname"
)

// membersOf counts the zones in each catalog that a configuration produces.
func membersOf(cfg *config.Config) map[dnsname.Name]int {
	members := map[dnsname.Name]int{}
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		if z.Produced {
			members[z.Name] += 0
		}
		if z.Entry.Catalog != "" {
			members[z.Entry.Catalog]++
		}
	}
	return members
}

// removedMembers describes the first catalog that would keep fewer than half of its zones; "": there is none. Secondaries keep the
// zones of a catalog that is not produced any more.
func removedMembers(served, next *control.Loaded) string {
	for _, catalog := range slices.Sorted(maps.Keys(served.Members)) {
		if now, produced := next.Members[catalog]; produced && 2*now < served.Members[catalog] {
			return fmt.Sprintf("the new configuration has %d zones in catalog %s, fewer than half of the %d that are served: its secondaries delete the others",
				now, strings.TrimSuffix(string(catalog), "."), served.Members[catalog])
		}
	}
	return ""
}

// warnOfLeaving logs how many zones have left each catalog with a reload.
func (l *instance) warnOfLeaving(before, now *config.Config) {
	stay := map[dnsname.Name]dnsname.Name{}
	for i := range now.Zones {
		stay[now.Zones[i].Name] = now.Zones[i].Entry.Catalog
	}
	produced, left := membersOf(now), map[dnsname.Name]int{}
	for i := range before.Zones {
		z := &before.Zones[i]
		if _, ok := produced[z.Entry.Catalog]; ok && stay[z.Name] != z.Entry.Catalog {
			left[z.Entry.Catalog]++
		}
	}
	for _, catalog := range slices.Sorted(maps.Keys(left)) {
		l.Logger.Warn("zones left a catalog; its secondaries delete them", "catalog", catalog, "zones", left[catalog])
	}
}
