package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
	"meridian/zones"
)

// load builds the snapshot of a configuration file. Every verb that takes a
// configuration calls it, so that none can judge a file differently. Warnings
// and faults are printed to stderr, one a line; the error only counts them.
func load(file string, stderr io.Writer) (*zones.Snapshot, error) {
	cfg, warnings, err := config.Load(file)
	if err == nil {
		var more []config.Fault
		var snapshot *zones.Snapshot
		snapshot, more, err = zones.Build(cfg)
		warnings = append(warnings, more...)
		if err == nil {
			printWarnings(stderr, warnings)
			return snapshot, nil
		}
	}
	printWarnings(stderr, warnings)
	return nil, printFaults(stderr, err)
}

func printWarnings(stderr io.Writer, warnings []config.Fault) {
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %v\n", w)
	}
}

// printFaults prints each fault on a line of its own, and returns how many
// there were as an error.
func printFaults(stderr io.Writer, err error) error {
	faults := []error{err}
	var all *multierror.Error
	if errors.As(err, &all) {
		faults = all.Errors
	}
	for _, f := range faults {
		fmt.Fprintln(stderr, f)
	}
	if len(faults) == 1 {
		return errors.New("1 fault in the configuration")
	}
	return fmt.Errorf("%d faults in the configuration", len(faults))
}
