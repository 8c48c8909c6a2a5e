//go:build linux

// Command nodes measures a cluster on real etcd, and compares the results with the aims for a cluster. bench/cluster runs it
// in a network namespace of its own, in which it makes one for each member of etcd and each node.
//
//	go run ./bench/nodes -meridian FILE [-only "agreement steady storm outage push"]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"text/tabwriter"
	"time"
)

// options holds the command line.
type options struct {
	meridian  string
	only      string
	rounds    int           // of agreement
	vantages  int           // simulated ones
	deciding  int           // of them; the others publish only
	endpoints int           // that each of them probes
	steady    time.Duration // how long puts are counted
	outage    time.Duration // how long etcd is dead
	nodes     int           // that get a configuration
	work      string        // folder
}

// row is a line of the table.
type row struct {
	what, asked, measured string
	missed                bool
}

// report collects rows.
type report struct {
	out  io.Writer
	rows []row
}

// atMost adds a duration that must not be longer than asked; 0: nothing is asked.
func (r *report) atMost(what string, asked, measured time.Duration, more string) {
	of := row{what: what, asked: "-", measured: measured.Round(time.Millisecond).String() + more}
	if asked > 0 {
		of.asked, of.missed = "at most "+asked.String(), measured > asked
	}
	r.add(of)
}

// countAtMost adds a number that must not be larger than asked.
func (r *report) countAtMost(what string, asked, measured float64, more string) {
	r.add(row{what, fmt.Sprintf("at most %g", asked), fmt.Sprintf("%.4g%s", measured, more), measured > asked})
}

func (r *report) add(of row) {
	r.rows = append(r.rows, of)
	fmt.Fprintf(r.out, "# %s: %s\n", of.what, of.measured)
}

// print writes the table.
func (r *report) print() {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfigure\tasked\tmeasured\t")
	for _, of := range r.rows {
		mark := ""
		if of.missed {
			mark = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", of.what, of.asked, of.measured, mark)
	}
	w.Flush()
}

func main() {
	var o options
	flag.StringVar(&o.meridian, "meridian", "meridian", "program of the nodes")
	flag.StringVar(&o.only, "only", "agreement steady storm outage push", "what to measure")
	flag.IntVar(&o.rounds, "rounds", 5, "changes of a state that are measured")
	flag.IntVar(&o.vantages, "vantages", 20, "simulated vantages")
	flag.IntVar(&o.deciding, "deciding", 5, "of the simulated vantages that decide too, as nodes do; the others publish only")
	flag.IntVar(&o.endpoints, "endpoints", 10000, "endpoints of each vantage")
	flag.DurationVar(&o.steady, "steady", 30*time.Second, "time in which puts are counted")
	flag.DurationVar(&o.outage, "outage", 150*time.Second, "time without etcd: ten minutes of heartbeats of 2s at the heartbeat of 500ms")
	flag.IntVar(&o.nodes, "nodes", 20, "nodes that get a configuration")
	profile := flag.String("profile", "", "file for a profile of the processor time of the simulated vantages")
	flag.Parse()
	if *profile != "" {
		file, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(file)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "nodes:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		os.Exit(1)
	}
}

// run measures and prints.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.work, err = os.MkdirTemp("", "nodes"); err != nil {
		return err
	}
	defer os.RemoveAll(o.work)
	n, err := newNetwork(ctx)
	if err != nil {
		return err
	}
	defer n.close()
	e, err := n.startEtcd(o.work)
	if err != nil {
		return err
	}
	r := &report{out: out}
	wants := func(what string) bool { return strings.Contains(" "+o.only+" ", " "+what+" ") }
	for _, part := range []struct {
		names   []string
		measure func(context.Context, options, *etcd, *report, func(string) bool) error
	}{
		{[]string{"steady", "storm"}, measureSimulated},
		{[]string{"push"}, measurePush},
		{[]string{"agreement", "outage"}, measureNodes},
	} {
		if !wants(part.names[0]) && !wants(part.names[len(part.names)-1]) {
			continue
		}
		if err := part.measure(ctx, o, e, r, wants); err != nil {
			r.print()
			return fmt.Errorf("%s: %w", strings.Join(part.names, ", "), err)
		}
	}
	r.print()
	return nil
}

// await calls done until it returns true, each time after a pause.
func await(ctx context.Context, what string, most, pause time.Duration, done func() bool) error {
	for end := time.Now().Add(most); !done(); time.Sleep(pause) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %s", most, what)
		}
	}
	return nil
}
