// Command gen writes the workload of the benchmark: the queries, and a configuration of the
// same zone for each peer.
//
//	gen -peers bench/peers -city city.mmdb -names 1000 -port 5300 -out DIR PEER...
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string, notes io.Writer) error {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	flags.SetOutput(notes)
	templates := flags.String("peers", "bench/peers", "folder with a folder of templates for each peer")
	city := flags.String("city", "", "city database; without one the peers that need it are left out")
	names := flags.Int("names", 1000, "names in the zone, 1 to 500000")
	queries := flags.Int("queries", 100_000, "queries to write for each mix; 0: only the one that start-up waits for")
	port := flags.Int("port", 5300, "UDP and TCP port of every peer")
	out := flags.String("out", "", "folder to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" || *names < 1 || *names > maxNames {
		return fmt.Errorf("need -out DIR and 1 to %d -names, got %q and %d", maxNames, *out, *names)
	}
	data, errData := filepath.Abs(*out)
	database, errCity := absolute(*city)
	if err := errors.Join(errData, errCity); err != nil {
		return err
	}
	m := newModel(data, database, *port, *names)
	if err := writePeers(*templates, flags.Args(), m, notes); err != nil {
		return err
	}
	return writeQueries(m, *queries)
}

// absolute returns the absolute path; empty for an empty path.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}
