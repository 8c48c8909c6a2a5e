package main

import (
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/control"
)

// reloadHelp is the text of --help of meridian reload.
const reloadHelp = `Reload makes a running server read its configuration again, waits until the server uses it, and prints
a summary. If the configuration has errors, reload prints all of them and the old configuration keeps
serving.

A configuration without zones, or with fewer than half of the served names or of the zones in a
catalog, is rejected unless --allow-removal is given: a truncated file must not empty a server. SIGHUP
never allows it.

Exit: 0; 1 if the configuration is rejected or there is no server.`

func reloadCommand() *cobra.Command {
	c := servers{client: client{timeout: admin.ReloadTimeout}}
	var output outputFlag
	var request admin.ReloadRequest
	command := &cobra.Command{
		Use:   "reload",
		Short: "Reload the configuration of a running server",
		Long:  reloadHelp,
		Example: `  meridian reload
  meridian reload --allow-removal`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return c.each(command.OutOrStdout(), output, func(out io.Writer) error {
				var loaded control.Loaded
				if err := c.call(command.Context(), http.MethodPost, "/v1/reload", nil, request, &loaded); err != nil {
					return err
				}
				if output == outputJSON {
					return printJSON(out, loaded)
				}
				describeLoaded(out, &loaded)
				return nil
			})
		},
	}
	addServersFlags(command, &c)
	addOutputFlag(command, &output)
	addGuardrailFlag(command, &request.OverrideGuardrail)
	command.Flags().BoolVar(&request.AllowRemoval, "allow-removal", false, "load a configuration without zones, or with fewer than half of the names served or of the zones in a catalog")
	return command
}
