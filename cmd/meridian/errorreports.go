package main

import (
	"fmt"
	"io"

	"meridian/control"
)

// printErrorReports prints the errors that resolvers report, the latest first, one in a line.
func printErrorReports(w io.Writer, s *control.Status) {
	for i := len(s.ErrorReports) - 1; i >= 0; i-- {
		r := &s.ErrorReports[i]
		fmt.Fprintf(w, "error report: %s %s: %d %s, %s, the last from %s %s ago\n", r.Name, r.Type, r.Code, r.Error, times(r.Reports), r.Resolver, age(r.Last, s.At))
	}
}
