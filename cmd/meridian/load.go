package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/hashicorp/go-multierror"

	"meridian/admin"
	"meridian/admin/listener"
	"meridian/config"
	"meridian/daemon"
	"meridian/errtext"
	"meridian/snapshot"
)

// findings holds the errors and warnings of a configuration, in file order.
type findings struct {
	errs, warnings []config.Error
	failed         error // an error outside the configuration: an address that cannot be bound
}

// loadBuilt builds the snapshot of a configuration in files and directories. Every command
// that takes a configuration calls it or loadBriefly, so all validate a file equally.
// It prints errors and warnings to stderr, one per line; the error only counts them.
func loadBuilt(paths []string, builder snapshot.Builder, stderr io.Writer) (*snapshot.Snapshot, error) {
	snapshot, found := buildWith(paths, builder)
	return snapshot, found.print(stderr)
}

// loadCopy does the same as loadBuilt for a saved copy of a configuration.
func loadCopy(copied *config.Copy, builder snapshot.Builder, stderr io.Writer) (*snapshot.Snapshot, error) {
	cfg, warnings, err := copied.Load()
	if cfg == nil {
		return nil, findings{errs: errorsOf(copied.Root, err)}.print(stderr)
	}
	snapshot, found := compile(cfg, findings{warnings: warnings}, builder)
	return snapshot, found.print(stderr)
}

// loadDocuments does the same as loadBuilt for texts, and prints nothing.
func loadDocuments(documents []config.Document, builder snapshot.Builder) (*snapshot.Snapshot, error) {
	cfg, _, err := config.LoadDocuments(documents)
	if cfg == nil {
		return nil, findings{errs: errorsOf(documents[0].File, err)}.err()
	}
	snapshot, found := compile(cfg, findings{}, builder)
	return snapshot, found.err()
}

// loadBriefly does the same as loadBuilt for commands that run repeatedly: it applies change,
// unless nil, to a valid configuration, and prints only the number of warnings.
func loadBriefly(paths []string, change func(*config.Config) error, stderr io.Writer) (*snapshot.Snapshot, error) {
	snapshot, found, err := buildChanged(paths, change)
	if err != nil {
		return nil, err
	}
	return snapshot, found.printBriefly(strings.Join(paths, " -c "), stderr)
}

// buildChanged builds the snapshot of a changed configuration and prints nothing.
func buildChanged(paths []string, change func(*config.Config) error) (*snapshot.Snapshot, findings, error) {
	cfg, found := read(paths)
	if cfg == nil {
		return nil, found, nil
	}
	if change != nil {
		if err := change(cfg); err != nil {
			return nil, found, err
		}
	}
	snapshot, found := compile(cfg, found, snapshot.Build)
	return snapshot, found, nil
}

// build builds a snapshot and prints nothing; the snapshot is nil if there are errors.
func build(paths []string) (*snapshot.Snapshot, findings) { return buildWith(paths, snapshot.Build) }

func buildWith(paths []string, builder snapshot.Builder) (*snapshot.Snapshot, findings) {
	cfg, found := read(paths)
	if cfg == nil {
		return nil, found
	}
	return compile(cfg, found, builder)
}

// read reads and validates the files: the first half of build.
func read(paths []string) (*config.Config, findings) {
	cfg, warnings, err := config.Load(paths...)
	return cfg, findings{errs: errorsOf(strings.Join(paths, ", "), err), warnings: warnings}
}

// compile builds the snapshot of a configuration: the second half of build.
func compile(cfg *config.Config, found findings, builder snapshot.Builder) (*snapshot.Snapshot, findings) {
	snapshot, more, err := builder(cfg)
	var bind *daemon.BindError
	if errors.As(err, &bind) {
		return nil, findings{warnings: found.warnings, failed: bind}
	}
	found = findings{errs: errorsOf(cfg.File, err), warnings: append(found.warnings, more...)}
	if more := checkFiles(cfg); len(more) > 0 {
		found.errs = append(found.errs, more...)
		cfg.SortErrors(found.errs)
		if snapshot != nil {
			snapshot.Close()
		}
		return nil, found
	}
	return snapshot, found
}

// checkFiles checks the token files and the state directory of a configuration.
func checkFiles(cfg *config.Config) (faults []config.Error) {
	const hint = "write a token of 16 to 512 characters into it"
	if cfg.Admin.TokenFile != "" {
		if _, err := admin.ReadToken(cfg.Admin.TokenFile); err != nil {
			faults = append(faults, cfg.ErrorAt(cfg.Admin.TokenFilePos, "admin.token_file", err.Error(), errtext.Hint(err, hint)))
		}
	}
	for i, t := range cfg.Admin.Tokens {
		if _, err := admin.ReadToken(t.File); err != nil {
			faults = append(faults, cfg.ErrorAt(t.Pos, fmt.Sprintf("admin.tokens[%d].file", i), err.Error(), errtext.Hint(err, hint)))
		}
	}
	if _, err := listener.NewSecurity(&cfg.Admin, slog.New(slog.DiscardHandler)); err != nil {
		faults = append(faults, cfg.ErrorAt(cfg.Admin.TLS.Pos, "admin.tls", err.Error(), "name PEM files of a certificate and its key"))
	}
	if info, err := os.Stat(cfg.State); cfg.State != "" && err == nil && !info.IsDir() {
		faults = append(faults, cfg.ErrorAt(cfg.StatePos, "state", cfg.State+" is a file", "name a directory; it is created if missing"))
	}
	return faults
}

// print prints errors and warnings, one per line, and returns an error that counts the errors.
func (f findings) print(stderr io.Writer) error {
	for _, w := range f.warnings {
		fmt.Fprintf(stderr, "warning: %v\n", w)
	}
	for _, fault := range f.errs {
		fmt.Fprintln(stderr, fault)
	}
	return f.err()
}

// printBriefly does the same as print, with one line for all warnings.
func (f findings) printBriefly(file string, stderr io.Writer) error {
	switch n := len(f.warnings); n {
	case 0:
	case 1:
		fmt.Fprintf(stderr, "1 warning; meridian check -c %s prints it\n", file)
	default:
		fmt.Fprintf(stderr, "%d warnings; meridian check -c %s prints them\n", n, file)
	}
	f.warnings = nil
	return f.print(stderr)
}

// err returns an error that counts the errors; nil if there are none.
func (f findings) err() error {
	if len(f.errs) == 0 {
		return f.failed
	}
	return configError(f.errs)
}

// configError is the error of an invalid configuration. Its text only counts the errors that
// it wraps, because they have been printed before.
type configError []config.Error

func (f configError) Error() string {
	if len(f) == 1 {
		return "1 error in the configuration"
	}
	return fmt.Sprintf("%d errors in the configuration", len(f))
}

func (f configError) Unwrap() []error {
	all := make([]error, len(f))
	for i := range f {
		all[i] = f[i]
	}
	return all
}

// errorsOf splits the error of loading a configuration into its parts.
func errorsOf(file string, err error) []config.Error {
	if err == nil {
		return nil
	}
	all := &multierror.Error{Errors: []error{err}}
	errors.As(err, &all)
	faults := make([]config.Error, len(all.Errors))
	for i, e := range all.Errors {
		if !errors.As(e, &faults[i]) {
			faults[i] = config.Error{File: file, What: e.Error()}
		}
	}
	return faults
}

// finding is an error or warning in JSON.
type finding struct {
	File   string `json:"file"`
	Line   uint32 `json:"line,omitempty"`
	Column uint32 `json:"column,omitempty"`
	Path   string `json:"path,omitempty"`
	What   string `json:"what"`
	Hint   string `json:"hint,omitempty"`
}

// listed converts errors for JSON. The result is never nil, so that JSON has an empty list.
func listed(faults []config.Error) []finding {
	all := make([]finding, len(faults))
	for i, f := range faults {
		all[i] = finding{f.File, f.Pos.Line, f.Pos.Column, f.Path, f.What, f.Hint}
	}
	return all
}
