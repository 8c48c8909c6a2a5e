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
		Long:    "Version prints what this binary was built from, and the date and licence of the geo table inside it.\n\nExit: 0.",
		Example: "  meridian version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(c.OutOrStdout(), versionText())
			return err
		},
	}
}

// versionText is what version and --version print.
func versionText() string {
	b := geo.Builtin()
	return fmt.Sprintf("meridian %s (%s, %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH) +
		fmt.Sprintf("built-in geo table: %s, %s, %s: %d networks, %d countries\n", b.Date, b.Source, b.License, b.Networks, b.Countries)
}

// buildVersion is the module's version as the go command recorded it, so that
// a plain build is a release build.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
