package plan_test

import (
	"slices"
	"strings"
	"testing"

	"meridian/plan"
	"meridian/snapshot"
)

// TestAViewMovesItsClients binds a name to another pool for a view: its clients move, also half of a network, and no
// others.
func TestAViewMovesItsClients(t *testing.T) {
	const other = near + "  inner: {policy: all, members: [{name: i, region: us, addresses: [10.0.0.9]}]}\n"
	before := serving(t, "", other)
	after := build(t, viewed())
	list := clients(t, before, "203.0.113.0/24,2", "192.0.2.0/24,1", "198.51.100.0/24,1")
	for _, c := range []struct {
		before, after *snapshot.Snapshot
		moved         float64
	}{{before, after, 0.25}, {after, before, 0.25}, {after, after, 0}} {
		f, err := plan.Compare(c.before, c.after, list)
		if err != nil {
			t.Fatal(err)
		}
		if f.Moved != c.moved || f.Names != 1 {
			t.Errorf("%v of %d names moves, want %v of one", f.Moved, f.Names, c.moved)
		}
		if got := len(f.Pools); c.moved > 0 && got != 2 {
			t.Errorf("%d pools, want that of all clients and that of the view: %+v", got, f.Pools)
		}
	}
}

// viewed returns the configuration of the test with a view for half of the clients in Ireland.
func viewed() string {
	text := strings.Replace(world, "pools:\n%s", "views: {half: {match: {network: [203.0.113.0/25]}}}\npools:\n"+near+"  inner: {policy: all, members: [{name: i, region: us, addresses: [10.0.0.9]}]}\n", 1)
	text = strings.Replace(text, "%s\n", "      www: {pool: web, views: {half: {pool: inner}}}\n", 1)
	return strings.ReplaceAll(text, "%s", "")
}

// TestAPoolForAAAAMovesIPv6Clients gives a name another pool for AAAA: the clients with IPv6 move, and no others.
func TestAPoolForAAAAMovesIPv6Clients(t *testing.T) {
	const other = near + "  six: {policy: all, members: [{name: i, region: us, addresses: [\"fd00::9\"]}]}\n"
	before, after := serving(t, "", other), serving(t, "", other, "www: {pool: {A: web, AAAA: six}}")
	list := clients(t, before, "203.0.113.0/24,3", "2001:db8::/48,1")
	for _, c := range []struct {
		before, after *snapshot.Snapshot
		moved         float64
	}{{before, after, 0.25}, {after, before, 0.25}, {after, after, 0}} {
		f, err := plan.Compare(c.before, c.after, list)
		if err != nil {
			t.Fatal(err)
		}
		if f.Moved != c.moved || f.Names != 1 || len(f.Pools) != 2 && c.moved > 0 {
			t.Errorf("%v of %d names moves, want %v of one; pools %+v", f.Moved, f.Names, c.moved, f.Pools)
		}
	}
}

// TestTheForecastNamesPoolsWithoutQueries forecasts names with a pool for AAAA and a pool for a view, for clients that
// query neither.
func TestTheForecastNamesPoolsWithoutQueries(t *testing.T) {
	const other = near + "  six: {policy: all, members: [{name: i, region: us, addresses: [\"fd00::9\"]}]}\n"
	twoPools, ofView := serving(t, "", other, "www: {pool: {A: web, AAAA: six}}"), build(t, viewed())
	const four, six, inner = "203.0.113.128/25,3", "2001:db8::/48,1", "203.0.113.0/25"
	for _, c := range []struct {
		behaviour string
		of        *snapshot.Snapshot
		clients   []string
		want      []plan.Unasked
		gap       string
	}{
		{
			"IPv4 only", twoPools,
			[]string{four},
			[]plan.Unasked{{Pool: "six", Type: "AAAA"}},
			"pool six gets no query: it answers AAAA only and all clients are IPv4; add IPv6 networks with meridian plan --clients FILE\n0 % of",
		},
		{"IPv6 only", twoPools, []string{six}, []plan.Unasked{{Pool: "web", Type: "A"}}, "pool web gets no query: it answers A only"},
		{"both families", twoPools, []string{four, six}, nil, ""},
		{"outside the view", ofView, []string{four}, []plan.Unasked{{Pool: "inner"}}, "pool inner gets no query: it answers views without"},
		{"inside the view", ofView, []string{four, inner}, nil, ""},
	} {
		f := compareParts(t, c.of, c.of, c.clients...)
		var text strings.Builder
		if err := f.Text(&text); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Unasked, c.want) || !strings.HasPrefix(text.String(), c.gap) {
			t.Errorf("%s: unasked pools %+v, want %+v; text, want %q first:\n%s", c.behaviour, f.Unasked, c.want, c.gap, &text)
		}
	}
	var page strings.Builder
	f := compareParts(t, twoPools, twoPools, four)
	if err := f.Page(&page, "gaps", nil); err != nil || !strings.Contains(page.String(), "<p>"+f.Gaps()[0]+".</p>") {
		t.Errorf("error %v, no %q on the page", err, f.Gaps())
	}
}
