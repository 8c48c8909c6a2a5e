package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/pools"
	"meridian/snapshot"
)

// whatIf holds the changes given on the command line.
type whatIf struct {
	down    []string // targets
	forced  []string // TARGET=up|down
	weights []string // POOL/MEMBER=N
	biases  []string // REGION=N
}

func (w whatIf) empty() bool { return len(w.down)+len(w.weights)+len(w.biases) == 0 }

// compiles reports whether the changes require another compilation of the configuration.
func (w whatIf) compiles() bool { return len(w.weights)+len(w.biases) > 0 }

func (w whatIf) String() string {
	var parts []string
	for _, target := range w.down {
		parts = append(parts, target+" down")
	}
	for _, weight := range w.weights {
		parts = append(parts, "weight "+weight)
	}
	for _, bias := range w.biases {
		parts = append(parts, "bias "+bias)
	}
	return strings.Join(parts, ", ")
}

// addFlags adds the flags that the commands with what-ifs share.
func (w *whatIf) addFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&w.down, "down", nil, "`TARGET` that is down in this case; may be repeated")
	c.Flags().StringArrayVar(&w.weights, "weight", nil, "`POOL/MEMBER=N`: the member's weight in this case; may be repeated")
	c.Flags().StringArrayVar(&w.biases, "bias", nil, "`REGION=N`: the region's bias in this case; may be repeated")
}

// change applies all changes but outages to cfg.
func (w whatIf) change(cfg *config.Config) error {
	var said flagValues
	for _, text := range w.weights {
		target, n, err := assignment(text, 0, config.MaxWeight)
		if err != nil {
			return fmt.Errorf("--weight: %w; e.g. web/use-1=20", err)
		}
		m, err := memberOf(cfg, target)
		if err == nil {
			err = said.set(m, fmt.Sprint(n), "--weight "+text)
		}
		if err != nil {
			return fmt.Errorf("--weight: %w", err)
		}
		m.Weight = n
	}
	for _, text := range w.biases {
		name, n, err := assignment(text, -config.MaxBias, config.MaxBias)
		if err != nil {
			return fmt.Errorf("--bias: %w; e.g. eu-west=25", err)
		}
		r := regionOf(cfg, name)
		if r == nil {
			return fmt.Errorf("--bias: no region %q; there are %s", name, regionNames(cfg))
		}
		if err := said.set(r, fmt.Sprint(n), "--bias "+text); err != nil {
			return fmt.Errorf("--bias: %w", err)
		}
		r.Bias = n
	}
	return nil
}

// assignment parses NAME=N.
func assignment(text string, least, most int) (name string, n int, err error) {
	name, number, ok := strings.Cut(text, "=")
	if !ok {
		return "", 0, fmt.Errorf("%q has no number", text)
	}
	if n, err = strconv.Atoi(number); err != nil || n < least || n > most {
		return "", 0, fmt.Errorf("%q is not a number from %d to %d", number, least, most)
	}
	return name, n, nil
}

func memberOf(cfg *config.Config, target string) (*config.Member, error) {
	pool, member, ok := strings.Cut(target, "/")
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		if p.Name != pool {
			continue
		}
		for j := range p.Members {
			if p.Members[j].Name == member {
				return &p.Members[j], nil
			}
		}
		ok = ok && member != ""
		if ok {
			return nil, fmt.Errorf("pool %q has no member %q", pool, member)
		}
	}
	if !ok {
		return nil, fmt.Errorf("%q is not POOL/MEMBER", target)
	}
	return nil, fmt.Errorf("no pool %q", pool)
}

func regionOf(cfg *config.Config, name string) *config.Region {
	for i := range cfg.Regions {
		if cfg.Regions[i].Name == name {
			return &cfg.Regions[i]
		}
	}
	return nil
}

func regionNames(cfg *config.Config) string {
	var names []string
	for _, r := range cfg.Regions {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// turn sets targets down or up in a snapshot that does not serve.
func (w whatIf) turn(snapshot *snapshot.Snapshot) error {
	var said flagValues
	var all []pools.Override
	for _, text := range w.down {
		o, err := overrideOf(snapshot.Config, text)
		if err == nil {
			err = said.set(o, "down", "--down "+text)
		}
		if err != nil {
			return fmt.Errorf("--down: %w", err)
		}
		o.Kind = pools.AssumedDown
		all = append(all, o)
	}
	for _, text := range w.forced {
		target, to, _ := strings.Cut(text, "=")
		kind, ok := map[string]pools.Kind{"up": pools.ForcedUp, "down": pools.ForcedDown}[to]
		if !ok {
			return fmt.Errorf("--force: %q is not TARGET=up or TARGET=down", text)
		}
		o, err := overrideOf(snapshot.Config, target)
		if err == nil {
			err = said.set(o, to, "--force "+text)
		}
		if err != nil {
			return fmt.Errorf("--force: %w", err)
		}
		o.Kind = kind
		all = append(all, o)
	}
	snapshot.Pools.SetOverrides(all)
	return nil
}

// overrideOf returns the override of a region, a pool, or a member of one.
func overrideOf(cfg *config.Config, target string) (pools.Override, error) {
	if name, ok := strings.CutPrefix(target, "region:"); ok {
		if regionOf(cfg, name) == nil {
			return pools.Override{}, fmt.Errorf("no region %q; there are %s", name, regionNames(cfg))
		}
		return pools.Override{Region: name}, nil
	}
	if pool, member, ok := strings.Cut(target, "/"); ok {
		if _, err := memberOf(cfg, target); err != nil {
			return pools.Override{}, err
		}
		return pools.Override{Pool: pool, Member: member}, nil
	}
	isPool := false
	for i := range cfg.Pools {
		isPool = isPool || cfg.Pools[i].Name == target
	}
	switch isRegion := regionOf(cfg, target) != nil; {
	case isPool && isRegion:
		return pools.Override{}, fmt.Errorf("%q is a region and a pool; region:%s is the region", target, target)
	case isRegion:
		return pools.Override{Region: target}, nil
	case isPool:
		return pools.Override{Pool: target}, nil
	}
	return pools.Override{}, fmt.Errorf("%q is no region, pool or pool/member; the regions are %s", target, regionNames(cfg))
}
