package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// Error is one thing wrong in a file, and what would be right.
type Error struct {
	File string
	Pos  Pos    // zero when the file as a whole is at fault
	Path string // of the key, e.g. pools.web.members[2].weight; may be empty
	What string
	Hint string // what would be right; may be empty
}

// Error is file:line:column: path: what; hint
func (f Error) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Pos.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Pos.Line, f.Pos.Column)
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	b.WriteString(": " + f.What)
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	return b.String()
}

// ErrorAt is a fault at a place of this configuration, for the packages that
// find one later than Load.
func (c *Config) ErrorAt(pos Pos, path, what, hint string) Error {
	file := c.File
	if len(c.sources) > 0 && pos.Line > 0 {
		file, pos = c.sources.at(pos)
	}
	return Error{File: file, Pos: pos, Path: path, What: what, Hint: hint}
}

// Join makes one error of faults, a *multierror.Error that prints one fault a
// line and nothing else; nil when there are none.
func Join(faults []Error) error {
	if len(faults) == 0 {
		return nil
	}
	joined := &multierror.Error{ErrorFormat: lines, Errors: make([]error, len(faults))}
	for i, f := range faults {
		joined.Errors[i] = f
	}
	return joined
}

func lines(errs []error) string {
	var b strings.Builder
	for i, err := range errs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(err.Error())
	}
	return b.String()
}
