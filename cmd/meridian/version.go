package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"meridian/geo"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, and the date and licence of the built-in geo table",
		Long:    "Version prints the version of this binary, and the date and licence of its geo table.\n\nExit: 0.",
		Example: "  meridian version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(c.OutOrStdout(), versionText())
			return err
		},
	}
}

// versionText returns the output of version and --version.
func versionText() string {
	b := geo.Builtin()
	return fmt.Sprintf("meridian %s (%s, %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH) +
		fmt.Sprintf("built-in geo table: %s, %s, %s: %d networks, %d countries\n", b.Date, b.Source, b.License, b.Networks, b.Countries)
}

// buildVersion returns the module's version as recorded by the go command, so that
// a plain build is a release build.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
