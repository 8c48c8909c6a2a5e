package main

import (
	"fmt"
	"io"
	"strings"

	"meridian/control"
)

// printErrorReports prints the errors that resolvers report, the latest first, one in a line.
func printErrorReports(w io.Writer, s *control.Status) {
	for i := len(s.ErrorReports) - 1; i >= 0; i-- {
		r := &s.ErrorReports[i]
		code := strings.TrimSpace(fmt.Sprintf("code %d %s", r.Code, r.Error))
		fmt.Fprintf(w, "error report: %s %s: %s, %s, the last from %s %s ago\n", r.Name, r.Type, code, times(r.Reports), r.Resolver, age(r.Last, s.At))
	}
}
