package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"meridian/dnssec/keys"
)

func keysImportCommand() *cobra.Command {
	c, _ := keysVerb("import ZONE FILE... -c FILE", "Copy keys into the folder of a zone",
		`Import checks the keys of other programs, such as those of BIND, and copies their files into the folder
of ZONE. FILE is the name of a key's files, with or without .key or .private; both must exist. A key that
exists already is an error.`,
		func(o *keysOptions, z *signedZone, args []string, out io.Writer) error {
			if len(args) == 0 {
				return errors.New("no FILE; write meridian keys import ZONE FILE... -c FILE")
			}
			imported, err := keys.Import(z.folder, z.Name, args)
			if err != nil {
				return err
			}
			if o.output == outputJSON {
				result, err := o.look(z)
				if err != nil {
					return err
				}
				return printJSON(out, reportKeys(z, &result))
			}
			for _, k := range imported {
				if _, err := fmt.Fprintf(out, "key %d imported as %s\n", k.Tag, k.File); err != nil {
					return err
				}
			}
			return nil
		})
	return c
}

// askParent asks the servers of the parent, and says which keys have their DS record at all of them.
func (o *keysOptions) askParent(z *signedZone, result *keys.Result) string {
	view, err := keys.Ask(context.Background(), z.policy.Parent.Servers, z.Name)
	if err != nil {
		return err.Error()
	}
	return view.Describe(result.Keys)
}
