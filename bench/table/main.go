// Command table prints measurements side by side: a table for each test, a row
// for each peer, in each cell the median of the rounds and its spread.
//
//	table results.tsv
//
// A line of the input is one number: test, peer, metric, value, tab-separated.
// Tests, peers and metrics keep the order in which they first appear.
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
		value, err := strconv.ParseFloat(fields[3], 64)
		if err != nil {
			return nil, fmt.Errorf("%d: %q is not a number", n, fields[3])
		}
		i := slices.IndexFunc(tests, func(t *test) bool { return t.name == fields[0] })
		if i < 0 {
			i = len(tests)
			tests = append(tests, &test{name: fields[0], values: map[[2]string][]float64{}})
		}
		tests[i].add(fields[1], fields[2], value)
	}
	return tests, lines.Err()
}

func (t *test) add(peer, metric string, value float64) {
	if !slices.Contains(t.peers, peer) {
		t.peers = append(t.peers, peer)
	}
	if !slices.Contains(t.metrics, metric) {
		t.metrics = append(t.metrics, metric)
	}
	cell := [2]string{peer, metric}
	t.values[cell] = append(t.values[cell], value)
}

func (t *test) print(to io.Writer) {
	fmt.Fprintf(to, "\n### %s\n\n| | %s |\n|---|%s\n", t.name, strings.Join(t.metrics, " | "), strings.Repeat("---|", len(t.metrics)))
	for _, peer := range t.peers {
		row := []string{peer}
		for _, metric := range t.metrics {
			row = append(row, summary(t.values[[2]string{peer, metric}]))
		}
		fmt.Fprintf(to, "| %s |\n", strings.Join(row, " | "))
	}
}

// summary is the median, with the smallest and the largest where there are several.
func summary(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	median := (sorted[(n-1)/2] + sorted[n/2]) / 2
	if n == 1 {
		return short(median)
	}
	return fmt.Sprintf("%s (%s–%s)", short(median), short(sorted[0]), short(sorted[n-1]))
}

// short writes three significant digits, and whole numbers from 100 on.
func short(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
