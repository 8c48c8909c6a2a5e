// Command farm generates the setup of bench/tail: many names, and endpoints on loopback
// with changing health states.
//
//	farm write -names 100000 -port 5300 -out DIR   the configuration and the questions
//	farm serve -every 20ms [-turn]                 the endpoints, until SIGTERM
//
// write takes -share N, the number of names for each pool; -city FILE, a city database instead
// of the built-in table; and -unprobed, no checks, so that a start waits for no endpoint.
// At the end, serve prints how often it opened or closed an endpoint.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "farm:", err)
		os.Exit(1)
	}
}

func run(args []string, out, notes io.Writer) error {
	if len(args) == 0 {
		return errors.New("need write or serve")
	}
	flags := flag.NewFlagSet("farm", flag.ContinueOnError)
	flags.SetOutput(notes)
	switch args[0] {
	case "write":
		return write(flags, args[1:])
	case "serve":
		turn := flags.Bool("turn", false, "open and close endpoints")
		every := flags.Duration("every", 20*time.Millisecond, "between one and the next")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if *every <= 0 {
			return fmt.Errorf("-every %v: want a time above 0", *every)
		}
		return serve(*turn, *every, out)
	}
	return fmt.Errorf("unknown verb %q; want write or serve", args[0])
}

func write(flags *flag.FlagSet, args []string) error {
	names := flags.Int("names", 100_000, "names in the zone, 1 to 10000000")
	share := flags.Int("share", 100, "names that share a pool, 1 or more")
	city := flags.String("city", "", "city database; without one the built-in table")
	unprobed := flags.Bool("unprobed", false, "no checks")
	port := flags.Int("port", 5300, "UDP and TCP port of the server")
	folder := flags.String("out", "", "folder to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *folder == "" || *names < 1 || *names > 10_000_000 || *share < 1 {
		return fmt.Errorf("need -out DIR, 1 to 10000000 -names and 1 or more to -share, got %q, %d and %d", *folder, *names, *share)
	}
	w := world{names: *names, share: *share, port: *port, probed: !*unprobed}
	if *city != "" {
		path, err := filepath.Abs(*city)
		if err != nil {
			return err
		}
		w.city = path
	}
	return w.write(*folder)
}
