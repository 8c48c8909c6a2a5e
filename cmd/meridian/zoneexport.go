package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"meridian/dnsname"
	"meridian/transfer"
)

// zoneExportHelp is the text of --help of meridian zone export.
const zoneExportHelp = `Export prints a zone as a master file: with -c the zone of a configuration, otherwise that of a running
server, with dynamic updates. It has the records that a transfer has: at balanced names the answer to
a client of unknown location with all members up, marked with a comment. Records of a zone that is
signed here have no signatures. With -c, members with a target have no addresses.

Exit: 0; 1 if there is no such zone, if the configuration has an error, or if there is no server.`

func zoneExportCommand() *cobra.Command {
	var from zoneOrigin
	c := &cobra.Command{
		Use:   "export ZONE",
		Short: "Print a zone as a master file",
		Long:  zoneExportHelp,
		Example: `  meridian zone export example.com > example.com.zone
  meridian zone export example.com -c meridian.yaml`,
		Args: oneZone,
		RunE: func(c *cobra.Command, args []string) error {
			zone, _ := dnsname.Parse(args[0]) // oneZone has parsed it
			if len(from.file) > 0 {
				return configuredZone(from.file, zone, c.OutOrStdout(), c.ErrOrStderr())
			}
			return from.running.exportZone(c.Context(), zone, c.OutOrStdout())
		},
	}
	addConfigFlag(c, &from.file)
	addClientFlags(c, &from.running, defaultServer)
	c.MarkFlagsMutuallyExclusive("config", "server")
	return c
}

// zoneOrigin is where a zone is read from: a configuration if one is named, otherwise a running server.
type zoneOrigin struct {
	file    configFlag
	running client
}

// exportZone writes a zone of a running server as a master file.
func (c *client) exportZone(ctx context.Context, zone dnsname.Name, w io.Writer) error {
	var text masterFile
	if err := c.call(ctx, http.MethodGet, "/v1/zones/export", url.Values{"zone": {string(zone)}}, nil, &text); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}

// configuredZone writes a zone of a configuration as a master file.
func configuredZone(paths []string, zone dnsname.Name, w, stderr io.Writer) error {
	s, err := loadBriefly(paths, nil, stderr)
	if err != nil {
		return err
	}
	defer s.Close()
	id, ok := s.Zones.ApexOf(zone.Wire())
	switch {
	case !ok:
		return fmt.Errorf("%s has no zone %s", strings.Join(paths, ", "), zone)
	case s.Zones.Missing(id) != 0:
		return hinted(fmt.Sprintf("no copy of zone %s is in the state directory", zone), "a running server has it: --server URL")
	}
	content, err := transfer.NewDefaults(s.Zones, s.Pools, nil).Content(s.Config, id)
	if err != nil {
		return err
	}
	return content.WriteMasterFile(w)
}
