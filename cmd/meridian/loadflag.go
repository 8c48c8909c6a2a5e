package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"meridian/config"
	"meridian/pools"
	"meridian/snapshot"
)

// assumedLoad is the load that a member reports in a what-if case.
type assumedLoad struct{ load, capacity float64 }

// assumedLoads holds assumed loads by the name of the source generated for each.
type assumedLoads map[string]assumedLoad

// sourceOf returns the name of the source generated for a --load flag. No configuration can
// have a source of that name.
func sourceOf(target string) string { return "--load " + target }

// change adds a source for each member with a --load flag:
//
//	the text         the member has  load            capacity
//	web/use-1=70%    a capacity      70 % of it      its own
//	web/use-1=70%    none            70              100
//	web/use-1=80     a capacity      80              its own
//	web/use-1=80     none            an error: of what?
func (l assumedLoads) change(cfg *config.Config, texts []string) error {
	var said flagValues
	for _, text := range texts {
		target, amount, _ := strings.Cut(text, "=")
		m, err := memberOf(cfg, target)
		if err == nil {
			err = said.set(m, amount, "--load "+text)
		}
		if err != nil {
			return fmt.Errorf("--load: %w", err)
		}
		capacity := 0
		if m.Load != nil {
			capacity = m.Load.Capacity
		}
		of, err := parseAssumedLoad(amount, float64(capacity))
		if err != nil {
			return fmt.Errorf("--load: %s: %w", target, err)
		}
		name := sourceOf(target)
		l[name] = of
		m.Load = &config.LoadOf{Load: name, Capacity: capacity, Pos: m.Pos}
		cfg.Loads = append(cfg.Loads, config.LoadSource{Name: name, URL: name, Pos: m.Pos})
	}
	return nil
}

// parseAssumedLoad parses a load as a number or as a percentage of the capacity.
func parseAssumedLoad(text string, capacity float64) (assumedLoad, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	switch {
	case err != nil || !(n >= 0) || math.IsInf(n, 0):
		return assumedLoad{}, fmt.Errorf("%q is not a load; want a number or a share of the capacity, e.g. 80 or 70%%", text)
	case capacity == 0 && !percent:
		return assumedLoad{}, fmt.Errorf("%q: the member has no capacity; add one to the file, or give a share such as 70%%", text)
	case capacity == 0:
		return assumedLoad{n, 100}, nil
	case percent:
		return assumedLoad{n / 100 * capacity, capacity}, nil
	}
	return assumedLoad{n, capacity}, nil
}

// reports sets the loads of the generated sources, and of no other.
func (l assumedLoads) reports(snapshot *snapshot.Snapshot) {
	if len(l) == 0 {
		return
	}
	targets := snapshot.Pools.LoadTargets()
	loads := make([]pools.Load, len(targets))
	for i, target := range targets {
		if of, ok := l[target.Source.Name]; ok {
			loads[i] = pools.Load{Load: of.load, Capacity: of.capacity, At: time.Now(), Fresh: true}
		}
	}
	snapshot.Pools.SetLoads(loads)
}
