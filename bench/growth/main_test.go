package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// Every subject has the configured number of its parts, and is valid.
func TestSubjectsAreValidConfigurations(t *testing.T) {
	counts := map[string]func(c *config.Config) int{
		"names":    func(c *config.Config) int { return len(c.Zones[0].Names) },
		"pools":    func(c *config.Config) int { return len(c.Pools) },
		"members":  func(c *config.Config) int { return len(c.Pools[0].Members) },
		"regions":  func(c *config.Config) int { return len(c.Regions) },
		"networks": func(c *config.Config) int { return len(c.Geo.Networks) },
		"endpoints": func(c *config.Config) int {
			n := 0
			for _, p := range c.Pools[1:] {
				n += len(p.Members)
			}
			return n
		},
		"zones": func(c *config.Config) int { return len(c.Zones) },
	}
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "meridian.yaml")
			for _, n := range []int{smallest, 2 * smallest} {
				if err := s.of(n).writeFile(file, 5300); err != nil {
					t.Fatal(err)
				}
				cfg, warnings, err := config.Load(file)
				if err != nil || len(warnings) > 0 {
					t.Fatalf("error %v, warnings %v", err, warnings)
				}
				if got := counts[s.name](cfg); got < n || got > n+1 {
					t.Errorf("%d %s, want %d, or one more for the part that all subjects have", got, s.name, n)
				}
			}
		})
	}
}

func TestSizesGrowTenfoldUpToBothLimits(t *testing.T) {
	s := subject{most: 100_000}
	for most, want := range map[int]int{1000: 1, 9999: 1, 10_000: 2, 1_000_000: 3} {
		if got := s.sizes(most); len(got) != want || got[0] != smallest {
			t.Errorf("sizes up to %d: %v, want %d of them from %d on", most, got, want, smallest)
		}
	}
}

func TestExponentTellsLinearFromQuadratic(t *testing.T) {
	c := curve{subject: subject{name: "zones"}, points: []point{
		{size: 1000, start: 0.001, reload: 0.6, memory: 100, highest: 1},
		{size: 10_000, start: 0.1, reload: 6, memory: 110, highest: 10},
		{size: 100_000, start: 10, reload: 600, memory: 200, highest: 1000},
	}}
	if e, ok := c.exponent(columns[0]); ok {
		t.Errorf("exponent %.2f from a figure below the floor, want none", e)
	}
	if e, ok := c.exponent(columns[1]); !ok || e < 1.99 || e > 2.01 {
		t.Errorf("exponent of quadratic growth %.2f, %v; want 2", e, ok)
	}
	if e, ok := c.exponent(columns[2]); !ok || e < 0.2 || e > 0.3 {
		t.Errorf("exponent from 110 to 200: %.2f, %v; want 0.26", e, ok)
	}
	err := c.check(1.15)
	if err == nil || err.Error() != "zones, reload, CPU s: grows with the power of 2.00, above 1.15" {
		t.Errorf("error %v, want the reload alone", err)
	}
	if err := c.check(2.1); err != nil {
		t.Errorf("bar of 2.1: %v", err)
	}
	var table bytes.Buffer
	c.print(&table)
	if want := "| 100,000 | 10 | 600 | 200 | 1000 |\n| exponent | | 2.00 | 0.26 | |\n"; !strings.HasSuffix(table.String(), want) {
		t.Errorf("table:\n%s\nwant the end:\n%s", &table, want)
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	var curves []curve
	for _, s := range subjects {
		curves = append(curves, curve{s, []point{{1000, 0.1, 0.2, 50, 100}, {10_000, 1e-9, 2, 70, 1e9}}})
	}
	picture := draw(curves)
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Count(picture, "<polyline"), len(columns)*(len(curves)+1); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	if strings.Contains(picture, "NaN") || strings.Contains(picture, "Inf") {
		t.Error("a point has no position")
	}
}

func TestUsageIsThatOfTheProcess(t *testing.T) {
	u, err := parseUsage([]byte("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0"), []byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"))
	if want := (usage{3, 1, 2}); err != nil || u != want {
		t.Errorf("%v, %v; want %v", u, err, want)
	}
	for _, bad := range [][2]string{{"7 (x) S 1", "VmHWM: 1 kB\nVmRSS: 1 kB\n"}, {"7 (x) S 1 2 3 4 5 6 7 8 9 10 a 50", ""}, {"7 (x) S 1 2 3 4 5 6 7 8 9 10 1 2", "Name: x\n"}} {
		if _, err := parseUsage([]byte(bad[0]), []byte(bad[1])); err == nil {
			t.Errorf("%q has no error", bad)
		}
	}
	if u, err := usageOf(os.Getpid()); err != nil || u.resident <= 0 || u.highest < u.resident/2 {
		if _, missing := os.Stat("/proc/self/stat"); missing != nil {
			t.Skip("SKIPPED: no /proc")
		}
		t.Errorf("usage of this process: %+v, %v", u, err)
	}
}

func TestAwaitIdleWaitsForABusyProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used, calls := []float64{1, 2, 3, 3.01}, 0
		begin := time.Now()
		err := awaitIdle(func() (usage, error) { calls++; return usage{seconds: used[calls-1]}, nil })
		if err != nil || calls != len(used) || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %d readings and %v, want %d readings", err, calls, time.Since(begin), len(used))
		}
		calls = 0
		if err := awaitIdle(func() (usage, error) { calls++; return usage{seconds: float64(calls)}, nil }); err == nil {
			t.Error("a process that is always busy is idle")
		}
		gone := errors.New("no such process")
		if err := awaitIdle(func() (usage, error) { return usage{}, gone }); !errors.Is(err, gone) {
			t.Errorf("error %v, want %v", err, gone)
		}
	})
}

func TestBadCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"-only names,pools": `unknown subject "names,pools"; want some of: names pools members regions networks endpoints zones`,
		"-most 10":          "-most 10: want 1000 or more",
		"names":             `unexpected argument "names"`,
	} {
		args := strings.SplitN(line, " ", 2)
		if _, err := parse(args, io.Discard); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
	o, err := parse([]string{"-only", "zones names"}, io.Discard)
	if err != nil || len(o.subjects) != 2 || o.subjects[0].name != "zones" {
		t.Errorf("-only %v, %v; want zones and names", names(o.subjects), err)
	}
}
