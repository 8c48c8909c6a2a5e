package control

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"meridian/pools"
)

// listModel is the plain form of overrides: three lists, in the order in which they were set.
type listModel struct{ windows, operators, scheduled []Override }

func forget(list []Override, t Selector) []Override {
	return slices.DeleteFunc(slices.Clone(list), func(s Override) bool { return s.Target == t })
}

func findIn(list []Override, t Selector) *Override {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Target == t {
			return &list[i]
		}
	}
	return nil
}

// applied returns what applies, in order of precedence: windows first, the latest last.
func (m *listModel) applied() []string {
	var all []string
	for _, s := range append(slices.Clone(m.windows), m.operators...) {
		all = append(all, s.Target.String()+" "+s.ownedReason())
	}
	return all
}

// TestOverrideListAgainstModel makes changes at random, and compares with a plain model after each. A list never changes
// once it is made: readers may hold it.
func TestOverrideListAgainstModel(t *testing.T) {
	targets := []Selector{{Pool: "web"}, {Pool: "web", Member: "a"}, {Region: "east"}, {Pool: "api"}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 3))
		var list overrides
		var model listModel
		for step := range 30 {
			before := list
			frozen := slices.Clone(before)
			now := start.Add(time.Duration(step) * time.Minute)
			said := Override{Target: targets[random.IntN(len(targets))], Kind: pools.Drained.String(), Reason: fmt.Sprint(step), Since: now}
			switch random.IntN(6) {
			case 0, 1:
				said.Until = now.Add(time.Duration(1+random.IntN(10)) * time.Minute)
				list, model.operators = list.with(said), append(forget(model.operators, said.Target), said)
			case 2:
				said.At = now.Add(time.Hour)
				list, model.scheduled = append(list.withoutScheduled(said.Target, false), said), append(forget(model.scheduled, said.Target), said)
			case 3:
				w := wantedWindow{owner: ownerOf(fmt.Sprint("w", random.IntN(2)))}
				said.Owner = w.owner
				w.overrides = overrides{said}
				var began overrides
				if list, began = list.withWindow(&w); len(began) == 1 {
					model.windows = append(model.windows, said)
				}
				if !w.isOpen(list) {
					t.Fatalf("seed %d, step %d: the window is not open in %v", seed, step, list)
				}
			case 4:
				if s := list.scheduled(said.Target, false); s != nil {
					list, model.scheduled = list.withoutOne(s), forget(model.scheduled, said.Target)
				}
			case 5:
				list = list.at(now)
				model.operators = slices.DeleteFunc(model.operators, func(s Override) bool { return s.ended(now) })
			}
			if !reflect.DeepEqual([]Override(before), []Override(frozen)) {
				t.Fatalf("seed %d, step %d: the list before has changed", seed, step)
			}
			expectModel(t, list, &model, targets)
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

// expectModel compares a list with the model.
func expectModel(t *testing.T, list overrides, model *listModel, targets []Selector) {
	t.Helper()
	var applied []string
	for _, o := range list.forTree() {
		applied = append(applied, Selector{Pool: o.Pool, Member: o.Member, Region: o.Region, Address: o.Address}.String()+" "+o.Reason)
	}
	if want := model.applied(); !slices.Equal(applied, want) {
		t.Errorf("applied %q, want %q", applied, want)
	}
	for _, target := range targets {
		operator := findIn(model.operators, target)
		effective := operator
		if effective == nil {
			effective = findIn(model.windows, target)
		}
		for name, c := range map[string]struct{ got, want *Override }{
			"of": {list.of(target, false), operator}, "effective": {list.effective(target), effective}, "scheduled": {list.scheduled(target, false), findIn(model.scheduled, target)},
		} {
			if (c.got == nil) != (c.want == nil) || c.got != nil && !reflect.DeepEqual(*c.got, *c.want) {
				t.Errorf("%s of %s: %+v, want %+v", name, target, c.got, c.want)
			}
		}
	}
	if a, b := list.tag(), slices.Clone(list).tag(); a != b {
		t.Errorf("tags %s and %s of equal lists", a, b)
	}
}
