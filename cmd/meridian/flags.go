package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meridian/config"
)

// configVariable is the environment variable that sets the default of -c: a path, or
// several separated as in PATH.
const configVariable = "MERIDIAN_CONFIG"

// configFlag is the -c of most commands: the files and directories of a configuration.
type configFlag []string

func (f *configFlag) String() string     { return strings.Join(*f, " -c ") }
func (f *configFlag) Set(s string) error { *f = append(*f, s); return nil }
func (f *configFlag) Type() string       { return "FILE" }

// addConfigFlag adds -c, which may be repeated.
func addConfigFlag(c *cobra.Command, f *configFlag) {
	c.Flags().VarP(f, "config", "c", "the configuration: a `FILE`, or a directory with its *.yaml; may be repeated (default of "+configVariable+" in the environment)")
}

// paths returns the paths of the configuration: those of -c, else the arguments, else
// that of the environment.
func (f configFlag) paths(args ...string) ([]string, error) {
	switch {
	case len(f) > 0 && len(args) > 0:
		return nil, fmt.Errorf("%q beside -c; name the configuration once", args[0])
	case len(f) > 0:
		return f, nil
	case len(args) > 0:
		return args, nil
	}
	if list := os.Getenv(configVariable); list != "" {
		return pathsIn(list)
	}
	return nil, errors.New("required flag(s) \"config\" not set; write -c FILE, or set " + configVariable)
}

// pathsIn returns the paths of a list from the environment.
func pathsIn(list string) ([]string, error) {
	paths := filepath.SplitList(list)
	if slices.Contains(paths, "") {
		return nil, fmt.Errorf("%s=%q has an empty path; separate paths by one %q", configVariable, list, filepath.ListSeparator)
	}
	return paths, nil
}

// onlyFlags rejects arguments of a command that takes its configuration by -c.
func onlyFlags(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no argument %q; write %s -c %s", c.Name(), args[0], c.CommandPath(), args[0])
}

// noCommand rejects a word that is no command, and names the command that it most likely means.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	hint := c.CommandPath() + " --help lists the commands"
	if near, ok := config.Nearest(args[0], names); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("unknown command %q; %s", args[0], hint)
}

// flagError returns the error of a wrong flag. After a word that is no command, the word is the error: its flags are
// unknown for that reason.
func flagError(c *cobra.Command, err error) error {
	if args := c.Flags().Args(); c.HasSubCommands() && len(args) > 0 {
		return noCommand(c, args)
	}
	bad, number := (*pflag.InvalidValueError)(nil), (*strconv.NumError)(nil)
	if errors.As(err, &bad) && errors.As(err, &number) {
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("--%s: %s is out of range", bad.GetFlag().Name, bad.GetValue())
		}
		return fmt.Errorf("--%s: %q is not %s", bad.GetFlag().Name, bad.GetValue(), numberOf(bad.GetFlag()))
	}
	return err
}

// numberOf describes the values of a flag that takes a number.
func numberOf(f *pflag.Flag) string {
	switch kind := f.Value.Type(); {
	case strings.HasPrefix(kind, "uint"):
		return "a whole number of at least 0"
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case kind == "bool":
		return "true or false"
	}
	return "a number"
}

// outputFlag is the -o of commands that print a table.
type outputFlag string

const (
	outputText outputFlag = "text"
	outputJSON outputFlag = "json"
)

func (f *outputFlag) String() string { return string(*f) }
func (f *outputFlag) Type() string   { return "FORMAT" }

func (f *outputFlag) Set(s string) error {
	switch o := outputFlag(s); o {
	case outputText, outputJSON:
		*f = o
		return nil
	}
	return fmt.Errorf("%q is not a format; text or json", s)
}

func addOutputFlag(c *cobra.Command, f *outputFlag) {
	*f = outputText
	c.Flags().VarP(f, "output", "o", "text or json")
}
