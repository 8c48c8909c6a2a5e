package agreement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"meridian/config"
	"meridian/health"
)

// vantage is a vantage of the slow reference.
type vantage struct {
	region string
	sees   rune // '+' up, '-' down, '.' not present, ' ' does not observe the target
}

// count returns the regions of vantages, in the order of their names in order.
func count(all []vantage) []Region {
	var regions []Region
	for _, v := range all {
		if v.sees == ' ' {
			continue
		}
		i := 0
		for i < len(regions) && regions[i].Name != v.region {
			i++
		}
		if i == len(regions) {
			regions = append(regions, Region{Name: v.region})
		}
		regions[i].Vantages++
		switch v.sees {
		case '+':
			regions[i].Up++
		case '-':
			regions[i].Down++
		}
	}
	return regions
}

// reference is Decide, written from the definition: it collects vantages in lists.
func reference(q config.Quorum, local string, all []vantage) health.Verdict {
	observers, present := map[string][]vantage{}, map[string][]vantage{}
	total := 0
	for _, v := range all {
		if v.sees == ' ' {
			continue
		}
		total++
		observers[v.region] = append(observers[v.region], v)
		if v.sees != '.' {
			present[v.region] = append(present[v.region], v)
		}
	}
	votes := func(region string) bool {
		return float64(len(present[region])) > float64(len(observers[region]))/2
	}
	if q.Scope == config.RegionalScope && votes(local) && (len(present[local]) >= q.MinVantages || len(present[local]) == len(observers[local])) {
		return referencePreset(q.Preset, map[string][]vantage{local: present[local]}, 1)
	}
	voting, voters := map[string][]vantage{}, 0
	for region := range observers {
		if votes(region) {
			voting[region] = present[region]
			voters += len(present[region])
		}
	}
	enoughRegions := len(voting) >= q.MinRegions || len(voting) == len(observers)
	enoughVantages := voters >= q.MinVantages || voters == total
	if float64(len(voting)) > float64(len(observers))/2 && enoughRegions && enoughVantages {
		return referencePreset(q.Preset, voting, len(observers))
	}
	return health.Unknown
}

func referencePreset(preset config.QuorumPreset, voting map[string][]vantage, regions int) health.Verdict {
	ups, downs, regionsUp, regionsDown := 0, 0, 0, 0
	for _, all := range voting {
		balance := 0
		for _, v := range all {
			if v.sees == '+' {
				ups++
				balance++
			} else {
				downs++
				balance--
			}
		}
		if balance > 0 {
			regionsUp++
		} else if balance < 0 {
			regionsDown++
		}
	}
	half := float64(regions) / 2
	up := false
	switch preset {
	case config.Route53Preset:
		up = float64(ups)/float64(ups+downs) > 0.18
	case config.AnyUpPreset:
		up = ups >= 1
	case config.AllUpPreset:
		up = downs == 0
	default:
		if float64(regionsUp) <= half && float64(regionsDown) <= half {
			return health.Unknown
		}
		up = float64(regionsUp) > half
	}
	if up {
		return health.Up
	}
	return health.Down
}

// eachWorld calls f with every state of 3 regions with 3 vantages each, except that of vantages of one region only how many
// are in each state counts.
func eachWorld(f func([]vantage)) {
	var regions [][3]rune
	states := []rune("+-. ")
	for a := range states {
		for b := a; b < len(states); b++ {
			for c := b; c < len(states); c++ {
				regions = append(regions, [3]rune{states[a], states[b], states[c]})
			}
		}
	}
	for _, x := range regions {
		for _, y := range regions {
			for _, z := range regions {
				var all []vantage
				for name, of := range map[string][3]rune{"a": x, "b": y, "c": z} {
					for _, sees := range of {
						all = append(all, vantage{name, sees})
					}
				}
				f(all)
			}
		}
	}
}

func quorums() (all []config.Quorum) {
	for _, preset := range []config.QuorumPreset{config.MajorityPreset, config.Route53Preset, config.AnyUpPreset, config.AllUpPreset} {
		for _, scope := range []config.QuorumScope{config.GlobalScope, config.RegionalScope} {
			for _, least := range []int{1, 2} {
				all = append(all, config.Quorum{Preset: preset, Scope: scope, MinVantages: 2 * least, MinRegions: least})
			}
		}
	}
	return all
}

func TestDecideEqualsReference(t *testing.T) {
	all := quorums()
	eachWorld(func(world []vantage) {
		regions := count(world)
		for _, q := range all {
			if got, want := Decide(q, "a", regions).Verdict, reference(q, "a", world); got != want {
				t.Fatalf("%+v: %v of %v, want %v", q, got, regions, want)
			}
		}
	})
}

// Two groups of vantages that do not see each other never decide differently: at most one of them is a majority.
func TestPartitionsNeverDecideBoth(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	decided := 0
	for range 20_000 {
		q := quorums()[rnd.IntN(16)]
		q.Scope = config.GlobalScope
		var here, there []vantage
		for i := range 1 + rnd.IntN(9) {
			region := fmt.Sprint(i % (1 + rnd.IntN(4)))
			sees := []rune("+-")[rnd.IntN(2)]
			a, b := sees, '.'
			if rnd.IntN(2) == 0 {
				a, b = b, a
			}
			here, there = append(here, vantage{region, a}), append(there, vantage{region, b})
		}
		a, b := Decide(q, "0", count(here)).Verdict, Decide(q, "0", count(there)).Verdict
		if a != health.Unknown && b != health.Unknown {
			t.Fatalf("%+v: both sides decide: %v %v, %v %v", q, a, here, b, there)
		}
		if a != b {
			decided++
		}
	}
	if decided < 1000 {
		t.Errorf("only %d partitions with a majority", decided)
	}
}

// With the preset majority, fewer than half of the regions never decide, however many vantages are lost: worlds of up to six
// regions, against the definition.
func TestMinorityOfRegionsNeverDecides(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	decided, held := 0, 0
	for range 20_000 {
		q := config.Quorum{Preset: config.MajorityPreset, Scope: config.GlobalScope, MinVantages: 1 + rnd.IntN(2), MinRegions: 1 + rnd.IntN(2)}
		var all []vantage
		for region := range 1 + rnd.IntN(6) {
			for range 1 + rnd.IntN(3) {
				all = append(all, vantage{fmt.Sprint(region), []rune("+-. ")[rnd.IntN(4)]})
			}
		}
		regions := count(all)
		got := Decide(q, "0", regions).Verdict
		if want := reference(q, "0", all); got != want {
			t.Fatalf("%+v: %v of %v, want %v", q, got, regions, want)
		}
		agree := 0
		for _, r := range regions {
			if got != health.Unknown && r.Vote() == got {
				agree++
			}
		}
		switch {
		case got == health.Unknown:
			held++
		case 2*agree <= len(regions):
			t.Fatalf("%+v: %v of %v, by %d of %d regions", q, got, regions, agree, len(regions))
		default:
			decided++
		}
	}
	if decided < 1000 || held < 1000 {
		t.Errorf("%d decided, %d held", decided, held)
	}
}

// The order of vantages and regions has no effect.
func TestDecisionDoesNotDependOnOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		var all []vantage
		for range 1 + rnd.IntN(9) {
			all = append(all, vantage{fmt.Sprint(rnd.IntN(4)), []rune("+-. ")[rnd.IntN(4)]})
		}
		q := quorums()[rnd.IntN(16)]
		want := Decide(q, "0", count(all))
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := Decide(q, "0", count(all)); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

func TestReasonNamesTheRegions(t *testing.T) {
	q := config.Quorum{Preset: config.MajorityPreset, MinVantages: 2, MinRegions: 2}
	for _, c := range []struct {
		regions []Region
		want    string
	}{
		{[]Region{{"b", 1, 0, 1}, {"a", 1, 0, 1}, {"c", 1, 1, 0}}, "down: 2 of 3 regions find it down: a, b"},
		{[]Region{{"a", 3, 2, 1}, {"b", 3, 3, 0}}, "up: 2 of 2 regions find it up: a, b"},
		{[]Region{{"a", 3, 0, 1}, {"b", 3, 0, 3}}, "unknown: 1 of 2 regions vote"},
		{[]Region{{"a", 1, 1, 0}, {"b", 1, 0, 1}}, "unknown: no majority of 2 regions: 1 find it up, 1 down, 0 are divided, 0 do not vote"},
		{[]Region{{"a", 1, 0, 1}, {"b", 1, 0, 1}, {"c", 1, 0, 0}}, "down: 2 of 3 regions find it down: a, b"},
		{[]Region{{"a", 1, 0, 1}, {"b", 1, 0, 1}, {"c", 1, 1, 0}, {"d", 1, 0, 0}}, "unknown: no majority of 4 regions: 1 find it up, 2 down, 0 are divided, 1 do not vote"},
		{nil, "unknown: 0 of 0 regions vote"},
	} {
		d := Decide(q, "a", c.regions)
		if got := d.Verdict.String() + ": " + d.Reason; got != c.want {
			t.Errorf("%v: %q, want %q", c.regions, got, c.want)
		}
	}
}
