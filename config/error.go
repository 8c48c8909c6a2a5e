package config

import (
	"errors"
	"fmt"
	"strings"

	"meridian/config/internal/yamldoc"
	"meridian/errtext"

	"github.com/hashicorp/go-multierror"
)

// Error is one error in a file, with a hint at a correct value.
type Error struct {
	File string
	Pos  Pos    // zero if the error concerns the whole file
	Path string // of the key, e.g. pools.web.members[2].weight; may be empty
	What string
	Hint string // a correct value or action; may be empty
}

// Error returns file:line:column: path: what; hint.
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

// quote returns the beginning of a value in quotes, for a message.
func quote(s string) string { return errtext.Quote(s) }

// fileError returns an error of the text of a file.
func fileError(file string, e *yamldoc.Error) Error {
	return Error{File: file, Pos: Pos(e.Pos), What: e.What, Hint: e.Hint}
}

// ErrorAt returns an error at a position of this configuration, for packages that find errors after Load.
func (c *Config) ErrorAt(pos Pos, path, what, hint string) Error {
	file := c.File
	if len(c.sources) > 0 && pos.Line > 0 {
		file, pos = c.sources.at(pos)
	}
	return Error{File: file, Pos: pos, Path: path, What: what, Hint: hint}
}

// Join returns a *multierror.Error that prints one error per line and nothing else, or nil without errors.
func Join(errs []Error) error {
	if len(errs) == 0 {
		return nil
	}
	joined := &multierror.Error{ErrorFormat: lines, Errors: make([]error, len(errs))}
	for i, f := range errs {
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

// errorsIn returns the errors that Join combined.
func errorsIn(err error) (errs []Error) {
	var joined *multierror.Error
	if !errors.As(err, &joined) {
		return nil
	}
	for _, one := range joined.Errors {
		errs = append(errs, one.(Error))
	}
	return errs
}
