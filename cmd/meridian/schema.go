package main

import (
	"github.com/spf13/cobra"

	"meridian/config"
)

// schemaHelp is the text of --help of meridian schema.
const schemaHelp = `Schema prints a JSON Schema (draft 2020-12) of the configuration, with which an editor completes keys and
marks errors. It is made by the decoder that serve and check use, so it has exactly their keys. It does
not know references between sections, addresses, and rules over several keys: check does.

An editor with the YAML language server takes it from the first line of a configuration:

  # yaml-language-server: $schema=meridian.schema.json

Exit: 0.`

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the configuration, for editors",
		Long:    schemaHelp,
		Example: "  meridian schema > meridian.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return printJSON(c.OutOrStdout(), config.Schema())
		},
	}
}
