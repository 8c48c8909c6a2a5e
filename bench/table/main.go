// Command table prints measurements: a table for each test with a row for each peer. Cells
// show the median of the rounds and its spread.
//
//	table results.tsv
//
// A line of the input is one number: test, peer, metric, value, tab-separated; the
// value - adds nothing to a cell, which stays empty if it has no other value.
// Tests, peers and metrics keep the order in which they first appear. A cell of
// "core %" below 95 is marked: that server was not saturated. The last table has the ratios
// to the targets, as far as they were measured.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table RESULTS.tsv")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(path string, to io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tests, err := read(f)
	if err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	for _, t := range tests {
		t.print(to)
	}
	results(tests).printRatios(to)
	return nil
}

// test is one table.
type test struct {
	name           string
	peers, metrics []string
	values         map[[2]string][]float64 // by peer and metric: one for each round
}

func read(from io.Reader) ([]*test, error) {
	var tests []*test
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("%d: %d fields; want test, peer, metric, value", n, len(fields))
		}
		i := slices.IndexFunc(tests, func(t *test) bool { return t.name == fields[0] })
		if i < 0 {
			i = len(tests)
			tests = append(tests, &test{name: fields[0], values: map[[2]string][]float64{}})
		}
		if err := tests[i].add(fields[1], fields[2], fields[3]); err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
	}
	return tests, lines.Err()
}

func (t *test) add(peer, metric, text string) error {
	if !slices.Contains(t.peers, peer) {
		t.peers = append(t.peers, peer)
	}
	if !slices.Contains(t.metrics, metric) {
		t.metrics = append(t.metrics, metric)
	}
	if text == "-" {
		return nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", text)
	}
	cell := [2]string{peer, metric}
	t.values[cell] = append(t.values[cell], value)
	return nil
}

func (t *test) print(to io.Writer) {
	fmt.Fprintf(to, "\n### %s\n\n| | %s |\n|---|%s\n", t.name, strings.Join(t.metrics, " | "), strings.Repeat("---|", len(t.metrics)))
	for _, peer := range t.peers {
		row := []string{peer}
		for _, metric := range t.metrics {
			values := t.values[[2]string{peer, metric}]
			row = append(row, summary(values)+mark(metric, values))
		}
		fmt.Fprintf(to, "| %s |\n", strings.Join(row, " | "))
	}
	if slices.Contains(t.metrics, core) {
		fmt.Fprintf(to, "\n\\* less than %d %% of the core: where it was idle the load did not suffice, else others ran on it\n", saturated)
	}
}

// core is the metric for the share of its core that a server used, and saturated is its minimum
// for a rate that is the server's own limit.
const (
	core      = "core %"
	saturated = 95
)

func mark(metric string, values []float64) string {
	if metric != core || len(values) == 0 || median(values) >= saturated {
		return ""
	}
	return ` \*`
}

// summary returns the median, with the minimum and maximum if there are several values.
func summary(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	middle := short(median(values))
	if len(values) == 1 {
		return middle
	}
	return fmt.Sprintf("%s (%s–%s)", middle, short(slices.Min(values)), short(slices.Max(values)))
}

// median returns the median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// short formats with three significant digits, and as an integer from 100.
func short(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
