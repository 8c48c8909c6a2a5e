package zones

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
)

// place is the position of a record: an index of Report.origins and, in a master file, the first line of the record.
type place struct{ origin, line uint32 }

// Report collects errors and warnings. An origin is the common part of the errors in one master file, or at one key
// of the configuration.
type Report struct {
	cfg      *config.Config
	origins  []config.Error
	errs     []config.Error
	warnings []config.Error
	warned   map[uint32]int // warnings by origin
}

// maxWarnings bounds the warnings about one file: more would fill memory, and the first ones are enough to correct
// it.
const maxWarnings = 100

// origin adds an origin with the file, key and position of f.
func (r *Report) origin(f config.Error) uint32 {
	r.origins = append(r.origins, f)
	return uint32(len(r.origins) - 1)
}

// configured reports whether at is in the configuration, not in a master file.
func (r *Report) configured(at place) bool { return at.line == 0 }

// at returns an error at a place, with the line only.
func (r *Report) at(at place, what, hint string) config.Error {
	f := r.origins[at.origin]
	if at.line > 0 {
		f.Pos = config.Pos{Line: at.line, Column: 1}
	}
	f.What, f.Hint = what, hint
	return f
}

func (r *Report) errorf(at place, hint, what string, args ...any) {
	r.errs = append(r.errs, r.at(at, fmt.Sprintf(what, args...), hint))
}

// warnf adds a warning, unless the file has maxWarnings already.
func (r *Report) warnf(at place, hint, what string, args ...any) {
	if r.warned == nil {
		r.warned = make(map[uint32]int)
	}
	r.warned[at.origin]++
	switch n := r.warned[at.origin]; {
	case n == maxWarnings+1:
		hint, what, args = "", "more than %d warnings; the rest is not shown", []any{maxWarnings}
	case n > maxWarnings:
		return
	}
	r.warnings = append(r.warnings, r.at(at, fmt.Sprintf(what, args...), hint))
}

// where returns a place for use in the message of another place.
func (r *Report) where(at place) string {
	f := r.at(at, "", "")
	return fmt.Sprintf("%s:%d", f.File, f.Pos.Line)
}

// AddWarnings adds warnings of another package.
func (r *Report) AddWarnings(warnings ...config.Error) { r.warnings = append(r.warnings, warnings...) }

// AddError adds the errors of another package.
func (r *Report) AddError(err error) {
	var (
		several *multierror.Error
		one     config.Error
	)
	switch {
	case err == nil:
	case errors.As(err, &several):
		for _, err := range several.Errors {
			r.AddError(err)
		}
	case errors.As(err, &one):
		r.errs = append(r.errs, one)
	default:
		r.errs = append(r.errs, config.Error{File: r.cfg.File, What: err.Error()})
	}
}

// Join sorts the errors and warnings and combines the errors into one *multierror.Error. The configuration comes first, then the other
// files in reading order, each by line.
func (r *Report) Join() (warnings []config.Error, err error) {
	rank := map[string]int{r.cfg.File: 0}
	for i, file := range r.cfg.Files() {
		rank[file] = i
	}
	for _, list := range [][]config.Error{r.origins, r.errs, r.warnings} {
		for _, f := range list {
			if _, ok := rank[f.File]; !ok {
				rank[f.File] = len(rank) + 1
			}
		}
	}
	order := func(a, b config.Error) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), a.Pos.Compare(b.Pos))
	}
	slices.SortStableFunc(r.errs, order)
	slices.SortStableFunc(r.warnings, order)
	return r.warnings, config.Join(r.errs)
}
