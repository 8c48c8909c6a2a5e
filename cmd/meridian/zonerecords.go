package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/dnsname"
)

// zoneRecordsHelp is the text of --help of meridian zone records.
const zoneRecordsHelp = `Records prints the records of a zone, of one name of it, or of one type at that name: with -c those of a
configuration, otherwise those of a running server, with dynamic updates. NAME is "@", relative to the zone, or
absolute with a dot at its end. "ANY" stands for all types. Balanced names have the answer to a client of unknown location with
all members up.

Exit: 0; 1 if there is no such zone or no such record, if the configuration has an error, or if there is no
server.`

// zoneRecord is a record, as JSON.
type zoneRecord struct {
	Name     string `json:"name"`
	TTL      uint32 `json:"ttl"`
	Type     string `json:"type"`
	Data     string `json:"data"`
	Balanced bool   `json:"balanced"`

	line string
}

func zoneRecordsCommand() *cobra.Command {
	var from zoneOrigin
	var output outputFlag
	c := &cobra.Command{
		Use:   "records ZONE [NAME] [TYPE]",
		Short: "Print records of a zone",
		Long:  zoneRecordsHelp,
		Example: `  meridian zone records example.com
  meridian zone records example.com www A
  meridian zone records example.com @ MX -c meridian.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 3 {
				return fmt.Errorf("%d arguments, want ZONE [NAME] [TYPE]; e.g. %s example.com www A", len(args), c.CommandPath())
			}
			return oneZone(c, args[:1])
		},
		RunE: func(c *cobra.Command, args []string) error { return printRecords(c, &from, args, output) },
	}
	addConfigFlag(c, &from.file)
	addClientFlags(c, &from.running, defaultServer)
	addOutputFlag(c, &output)
	c.MarkFlagsMutuallyExclusive("config", "server")
	return c
}

func printRecords(c *cobra.Command, from *zoneOrigin, args []string, output outputFlag) error {
	zone, _ := dnsname.Parse(args[0]) // the arguments have been checked
	wanted, err := parseWanted(zone, args[1:])
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if len(from.file) > 0 {
		err = configuredZone(from.file, zone, &text, c.ErrOrStderr())
	} else {
		err = from.running.exportZone(c.Context(), zone, &text)
	}
	if err != nil {
		return err
	}
	found := slices.DeleteFunc(parseRecords(text.String()), func(r zoneRecord) bool { return !wanted.matches(&r) })
	if output == outputJSON {
		err = printJSON(c.OutOrStdout(), map[string]any{"records": append([]zoneRecord{}, found...)})
	} else {
		for i := range found {
			fmt.Fprintln(c.OutOrStdout(), found[i].line)
		}
	}
	if err == nil && len(found) == 0 {
		return fmt.Errorf("zone %s has no such record", zone)
	}
	return err
}

// wantedRecords are the records that a command is about.
type wantedRecords struct {
	name dnsname.Name // empty: all
	typ  string       // empty: all
}

func parseWanted(zone dnsname.Name, args []string) (w wantedRecords, err error) {
	if len(args) > 1 && !strings.EqualFold(args[1], "ANY") {
		if _, err := config.ParseType(strings.ToUpper(args[1])); err != nil {
			return w, err
		}
		w.typ = strings.ToUpper(args[1])
	}
	if len(args) == 0 {
		return w, nil
	}
	switch name := args[0]; {
	case name == "@":
		w.name = zone
	case strings.HasSuffix(name, "."):
		w.name, err = dnsname.Parse(name)
	case zone == ".":
		w.name, err = dnsname.Parse(name + ".")
	default:
		w.name, err = dnsname.Parse(name + "." + string(zone))
	}
	return w, err
}

func (w *wantedRecords) matches(r *zoneRecord) bool {
	return (w.name == "" || strings.EqualFold(string(w.name), r.Name)) && (w.typ == "" || w.typ == r.Type)
}

// parseRecords parses the text of an export: each record is a line with tabs between its fields.
func parseRecords(text string) (all []zoneRecord) {
	const balanced = "\t; balanced"
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.SplitN(strings.TrimSuffix(line, balanced), "\t", 5)
		if len(fields) < 5 || strings.HasPrefix(line, ";") {
			continue
		}
		ttl, _ := strconv.ParseUint(fields[1], 10, 32) // it was written as a number
		all = append(all, zoneRecord{Name: fields[0], TTL: uint32(ttl), Type: fields[3], Data: fields[4], Balanced: strings.HasSuffix(line, balanced), line: line})
	}
	return all
}
