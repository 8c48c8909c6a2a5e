// Command growth measures how the time and memory of a server grow with its configuration, and draws the result.
//
//	go run ./bench/growth -o docs/growth.svg
//
// Each subject, such as the number of zones, grows tenfold from 1,000 on, while everything else stays small. For each size it
// starts a server, asks until the newest name is answered, adds a name, reloads, and asks for that one. Processor time is
// counted instead of time, because other programs on the machine change it less.
//
// The exponent of a column is the slope between its last two sizes in a plot with two logarithmic axes: 1 is linear, 2 is
// quadratic. Above -bar the command fails, so that growth that is worse than linear is noticed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// options holds the command line.
type options struct {
	subjects []subject
	most     int
	bar      float64
	picture  string
	meridian string
}

// parse reads the command line.
func parse(args []string, notes io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	flags.SetOutput(notes)
	only := flags.String("only", strings.Join(names(subjects), " "), "subjects to measure, separated by spaces")
	flags.IntVar(&o.most, "most", 1_000_000, "the largest size, 1000 or more; some subjects stop earlier")
	flags.Float64Var(&o.bar, "bar", 1.15, "the largest exponent that is not an error")
	flags.StringVar(&o.picture, "o", "", "SVG file to draw; without it, only the tables are printed")
	flags.StringVar(&o.meridian, "meridian", "", "program to measure; without it, this source is built")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.most < smallest {
		return o, fmt.Errorf("-most %d: want %d or more", o.most, smallest)
	}
	for _, name := range strings.Fields(*only) {
		s, ok := find(name)
		if !ok {
			return o, fmt.Errorf("unknown subject %q; want some of: %s", name, strings.Join(names(subjects), " "))
		}
		o.subjects = append(o.subjects, s)
	}
	return o, nil
}

// run measures the subjects one after another.
func run(args []string, out, notes io.Writer) error {
	o, err := parse(args, notes)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "growth")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.meridian == "" {
		o.meridian = filepath.Join(folder, "meridian")
		if text, err := exec.Command("go", "build", "-o", o.meridian, "./cmd/meridian").CombinedOutput(); err != nil {
			return fmt.Errorf("build (run this in the repository): %w\n%s", err, text)
		}
	}
	var curves []curve
	for _, s := range o.subjects {
		c := curve{subject: s}
		for _, n := range s.sizes(o.most) {
			p, err := measure(o.meridian, folder, s, n)
			if err != nil {
				return fmt.Errorf("%d %s: %w", n, s.name, err)
			}
			c.points = append(c.points, p)
		}
		c.print(out)
		curves = append(curves, c)
	}
	if o.picture != "" {
		if err := os.WriteFile(o.picture, []byte(draw(curves)), 0o644); err != nil {
			return err
		}
	}
	var steep []error
	for _, c := range curves {
		steep = append(steep, c.check(o.bar))
	}
	return errors.Join(steep...)
}
