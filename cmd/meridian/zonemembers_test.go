package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/transfer/catalog"
	"meridian/transfer/secondary"
)

// TestZonesOfCatalogsAreDescribed prints a catalog of other servers, a zone in it, and one that has left it.
func TestZonesOfCatalogsAreDescribed(t *testing.T) {
	conflict := catalog.Conflict{Zone: "x.example.", Catalog: "c.example.", Reason: "the zone is in the configuration of this server"}
	of := control.CatalogStatus{Members: 3, Leaving: 1, Conflicts: []catalog.Conflict{conflict}}
	left := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	zones := []control.Zone{
		{Zone: "c.example.", Consumed: &of},
		{Zone: "a.example.", Member: &control.MembershipStatus{Catalog: "c.example.", Group: "g"}, Secondary: &secondary.Status{State: secondary.Ready, Primary: "192.0.2.1:53"}},
		{Zone: "b.example.", Member: &control.MembershipStatus{Catalog: "c.example.", Left: left, Removed: left.Add(24 * time.Hour)}},
	}
	want := "catalog of other servers: 3 zones, of which 1 have left and are still served\n" +
		"zone x.example. is not served for it: the zone is in the configuration of this server\n" +
		"from catalog c.example., group g\n" +
		"from catalog c.example.\n" +
		fmt.Sprintf("left the catalog %s; served until %s\n", timeText(left), timeText(left.Add(24*time.Hour)))
	got := ""
	for i := range zones {
		got += strings.Join(describeMembers(&zones[i]), "\n") + "\n"
	}
	if got != want {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
	if from := originOf(&zones[1]); from != "192.0.2.1:53, catalog c.example." {
		t.Errorf("from %q", from)
	}
	var out bytes.Buffer
	printConflicts(&out, []control.NamedCatalog{{Catalog: "c.example.", CatalogStatus: of}})
	if want := "WARNING: zone x.example. is not served for catalog c.example.: the zone is in the configuration of this server\n"; out.String() != want {
		t.Errorf("printed %q", out.String())
	}
}
