package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"meridian/config"
)

// initHelp is the text of --help of meridian init.
const initHelp = `Init writes a first configuration with comments. It asks three questions, each with a default that an
empty line takes: the zone that you delegate to this server, the addresses of this server, and your
endpoints. A flag answers its question; without a terminal, write the flags. Without -o, the configuration goes to stdout.

An endpoint is COUNTRY=ADDRESS, such as DE=192.0.2.10 or, with two addresses, DE=192.0.2.10+2001:db8::10.
COUNTRY is the two letters of the country (ISO 3166-1) that it is in. Its region has that place until you
write a more exact one.

A file that has content other than comments is never overwritten without --force.

Exit: 0; 1 if an answer is invalid, or the file exists or cannot be written.`

// initOptions is the command line of init.
type initOptions struct {
	file   string
	force  bool
	config initConfig
}

func initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init [-o FILE]",
		Short: "Write a commented first configuration",
		Long:  initHelp,
		Example: `  meridian init -o /etc/meridian/meridian.yaml
  meridian init -o meridian.yaml --listen 127.0.0.1:5300 --zone gslb.example.com \
    --nameserver 192.0.2.53 --endpoint DE=192.0.2.10 --endpoint US=198.51.100.10`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVarP(&o.file, "output", "o", "", "write to this `FILE` (default stdout)")
	f.BoolVar(&o.force, "force", false, "overwrite FILE")
	f.StringVar(&o.config.zone, "zone", "", "the `ZONE` that is delegated to this server")
	f.StringSliceVar(&o.config.nameservers, "nameserver", nil, "an `ADDRESS` at which resolvers reach this server; may be repeated")
	f.StringSliceVar(&o.config.endpoints, "endpoint", nil, "an endpoint, as `COUNTRY=ADDRESS`; may be repeated")
	f.StringVar(&o.config.check, "check", "http", "how endpoints are tested: `TYPE` http, https or tcp:PORT")
	f.StringSliceVar(&o.config.listen, "listen", []string{"0.0.0.0:53", "[::]:53"}, "`ADDRESS:PORT` to serve DNS on; may be repeated")
	return c
}

func (o *initOptions) run(stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.mayWrite(); err != nil {
		return err
	}
	if err := o.config.ask(stdin, stderr); err != nil {
		return err
	}
	text, err := o.config.text(o.file)
	if err != nil {
		return err
	}
	if o.file == "" {
		_, err := stdout.Write(text)
		return err
	}
	if err := writeFirst(o.file, text); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "wrote %s; next:\n  meridian check -c %[1]s\n  meridian serve -c %[1]s\n", o.file)
	return nil
}

// mayWrite returns an error if the file exists with content, before any question is asked.
func (o *initOptions) mayWrite() error {
	if o.file == "" || o.force {
		return nil
	}
	text, err := os.ReadFile(o.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case onlyComments(text):
		return nil
	}
	return fmt.Errorf("%s exists; --force overwrites it", o.file)
}

// onlyComments reports whether a file has no content besides comments, as that of a package has.
func onlyComments(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// writeFirst writes the file and the directories above it. The file is complete or absent: it is
// written beside its place first. Its mode allows the service's user to read it.
func writeFirst(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".meridian-init-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// validate returns an error if the text is not a valid configuration: then an answer is wrong in a way
// that only the whole shows, such as an address that is no endpoint's.
func validate(text []byte) error {
	_, _, err := config.Parse("the configuration", text)
	if err == nil {
		return nil
	}
	var lines []string
	for _, e := range errorsOf("the configuration", err) {
		lines = append(lines, e.Path+": "+e.What+"; "+e.Hint)
	}
	return errors.New(strings.Join(lines, "\n"))
}
