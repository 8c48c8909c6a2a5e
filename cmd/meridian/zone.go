package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/control"
	"meridian/dnsname"
	"meridian/transfer/secondary"
)

// zoneOptions is the command line of the commands of zone.
type zoneOptions struct {
	servers
	output outputFlag
}

func zoneCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "zone",
		Short: "Show, export, compare and freeze zones, and refresh those that come from primaries",
		Long: `Zone shows the zones that a running server has, prints them as master files, and compares them. A zone
with primaries in the configuration is a copy of theirs: refresh asks them now for a newer serial, and
retransfer takes the whole zone again. Notify sends NOTIFY to the secondaries of a zone; freeze has its
dynamic updates refused until thaw.`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(zoneListCommand(), zoneStatusCommand(), zoneRecordsCommand(), zoneExportCommand(), zoneDiffCommand(), zoneNotifyCommand(), zoneFreezeCommand(), zoneThawCommand(), zoneRefreshCommand(), zoneRetransferCommand())
	return c
}

// newZoneCommand returns a command with the flags that all commands of zone have.
func newZoneCommand(c *cobra.Command, run func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error) *cobra.Command {
	var o zoneOptions
	c.RunE = func(c *cobra.Command, args []string) error {
		return o.each(c.OutOrStdout(), o.output, func(out io.Writer) error { return run(&o, c, args, out) })
	}
	addServersFlags(c, &o.servers)
	addOutputFlag(c, &o.output)
	return c
}

func zoneListCommand() *cobra.Command {
	return newZoneCommand(&cobra.Command{
		Use:   "list",
		Short: "List the zones",
		Long: `List lists the zones of a running server with their serials, and where they come from.

Exit: 0; 1 if there is no server.`,
		Example: `  meridian zone list`,
		Args:    cobra.NoArgs,
	}, func(o *zoneOptions, c *cobra.Command, _ []string, out io.Writer) error { return o.list(c, out) })
}

func zoneStatusCommand() *cobra.Command {
	return newZoneCommand(&cobra.Command{
		Use:   "status ZONE",
		Short: "Show a zone, and the last check of its primaries",
		Long: `Status shows a zone of a running server. Of a zone that comes from primaries it shows when one of them last
confirmed it, until when it is served without that, and why the last check failed.

Exit: 0; 1 if there is no such zone or no server.`,
		Example: `  meridian zone status example.com`,
		Args:    oneZone,
	}, func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error {
		return o.status(c, args[0], out)
	})
}

func zoneRefreshCommand() *cobra.Command {
	allow := false
	c := newZoneCommand(&cobra.Command{
		Use:   "refresh ZONE",
		Short: "Ask the primaries of a zone now",
		Long: `Refresh asks the primaries of a zone for its serial now, takes the zone if theirs is newer, and waits up to
45 seconds for the result. A catalog that most of its zones have left is taken with --allow-removal only.

Exit: 0; 1 if no primary has the zone in a usable form, if the zone has no primaries, or if there is no
server.`,
		Example: `  meridian zone refresh example.com`,
		Args:    oneZone,
	}, func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error {
		return o.refresh(c, admin.ZoneRefreshRequest{Zone: args[0], AllowRemoval: allow}, out)
	})
	addAllowRemoval(c, &allow)
	return c
}

func addAllowRemoval(c *cobra.Command, allow *bool) {
	c.Flags().BoolVar(allow, "allow-removal", false, "take a catalog that most of its zones have left")
}

func zoneRetransferCommand() *cobra.Command {
	allow := false
	c := newZoneCommand(&cobra.Command{
		Use:   "retransfer ZONE",
		Short: "Take a zone from its primaries again, whatever its serial is",
		Long: `Retransfer takes the whole zone from the first of its primaries that sends it, also if its serial is the same
or older: after the serial of the primary went back, for example. The zone that is served stays until then.

Exit: 0; 1 if no primary sends the zone in a usable form, if the zone has no primaries, or if there is no
server.`,
		Example: `  meridian zone retransfer example.com`,
		Args:    oneZone,
	}, func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error {
		return o.refresh(c, admin.ZoneRefreshRequest{Zone: args[0], Retransfer: true, AllowRemoval: allow}, out)
	})
	addAllowRemoval(c, &allow)
	return c
}

// oneZone accepts exactly one argument, a name.
func oneZone(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d names, want the one of a zone; e.g. %s example.com", len(args), c.CommandPath())
	}
	if _, err := dnsname.Parse(args[0]); err != nil {
		return fmt.Errorf("%q is not the name of a zone: %w", args[0], err)
	}
	return nil
}

// zones returns the zones of the present server.
func (o *zoneOptions) zones(c *cobra.Command) ([]control.Zone, error) {
	var found struct {
		Zones []control.Zone `json:"zones"`
	}
	err := o.call(c.Context(), http.MethodGet, "/v1/zones", nil, nil, &found)
	return found.Zones, err
}

func (o *zoneOptions) list(c *cobra.Command, out io.Writer) error {
	all, err := o.zones(c)
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, map[string]any{"zones": all})
	}
	w := &textWriter{w: out}
	var t table
	t.add("ZONE", "SERIAL", "NAMES", "RECORDS", "BALANCED", "FROM")
	for i := range all {
		z := &all[i]
		t.add(string(z.Zone), strconv.FormatUint(uint64(z.Serial), 10), strconv.Itoa(z.Names), strconv.Itoa(z.Records), strconv.Itoa(z.Balanced), originOf(z))
	}
	t.print(w, "")
	return w.err
}

// originOf returns where a zone comes from.
func originOf(z *control.Zone) string {
	if z.Frozen != nil {
		thawed := *z
		thawed.Frozen = nil
		return originOf(&thawed) + ", updates frozen"
	}
	switch s := z.Secondary; {
	case z.Produced:
		return "catalogs"
	case z.Member != nil && s != nil && s.State == secondary.Ready:
		return fmt.Sprintf("%s, catalog %s", s.Primary, z.Member.Catalog)
	case s == nil && z.File != "":
		return z.File
	case s == nil:
		return "configuration"
	case s.State == secondary.Waiting:
		return "no primary yet"
	case s.State == secondary.Expired:
		return s.Primary + ", expired"
	}
	return z.Secondary.Primary
}

func (o *zoneOptions) status(c *cobra.Command, name string, out io.Writer) error {
	all, err := o.zones(c)
	if err != nil {
		return err
	}
	wanted, _ := dnsname.Parse(name) // oneZone has parsed it
	for i := range all {
		if all[i].Zone == wanted {
			return o.print(&all[i], out)
		}
	}
	return fmt.Errorf("the server has no zone %s; meridian zone list lists those it has", wanted)
}

func (o *zoneOptions) print(z *control.Zone, out io.Writer) error {
	if o.output == outputJSON {
		return printJSON(out, z)
	}
	w := &textWriter{w: out}
	w.line("zone %s: serial %d, %d names, %d records, %d balanced, from %s", z.Zone, z.Serial, z.Names, z.Records, z.Balanced, originOf(z))
	if z.Frozen != nil {
		w.line("  updates are refused: %s", frozenText(z.Frozen, time.Now()))
	}
	if z.Catalog != "" {
		w.line("  in catalog %s", z.Catalog)
	}
	for _, line := range describeMembers(z) {
		w.line("  %s", line)
	}
	if z.Secondary != nil {
		for _, line := range describeCopy(z.Secondary) {
			w.line("  %s", line)
		}
	}
	return w.err
}

// describeMembers describes a zone of a catalog of other servers, or such a catalog, in lines.
func describeMembers(z *control.Zone) (lines []string) {
	if m := z.Member; m != nil {
		line := "from catalog " + string(m.Catalog)
		if m.Group != "" {
			line += ", group " + m.Group
		}
		lines = append(lines, line)
		if !m.Left.IsZero() {
			lines = append(lines, fmt.Sprintf("left the catalog %s; served until %s", timeText(m.Left), timeText(m.Removed)))
		}
	}
	if of := z.Consumed; of != nil {
		lines = append(lines, fmt.Sprintf("catalog of other servers: %d zones, of which %d have left and are still served", of.Members, of.Leaving))
		for _, f := range of.Conflicts {
			lines = append(lines, fmt.Sprintf("zone %s is not served for it: %s", f.Zone, f.Reason))
		}
	}
	return lines
}

// describeFailures describes the failed checks of a zone.
func describeFailures(s *secondary.Status) string {
	if s.Failures == 0 {
		return "its catalog does not list it any more; the last check: " + s.Error
	}
	return fmt.Sprintf("%d failed checks; the last: %s", s.Failures, s.Error)
}

// describeCopy describes a zone that comes from primaries, in lines.
func describeCopy(s *secondary.Status) (lines []string) {
	switch s.State {
	case secondary.Waiting:
		lines = append(lines, "answered SERVFAIL: no primary has sent it yet")
	case secondary.Expired:
		lines = append(lines, fmt.Sprintf("answered SERVFAIL: expired %s; last confirmed %s", timeText(s.Expires), timeText(s.Confirmed)))
	default:
		lines = append(lines, fmt.Sprintf("confirmed %s, expires %s", timeText(s.Confirmed), timeText(s.Expires)))
	}
	if s.Error != "" {
		lines = append(lines, describeFailures(s))
	}
	switch {
	case s.Checking:
		lines = append(lines, "asking the primaries now")
	case !s.Next.IsZero():
		lines = append(lines, "next check "+timeText(s.Next))
	}
	return lines
}

// refresh asks the primaries of a zone and prints the result.
func (o *zoneOptions) refresh(c *cobra.Command, request admin.ZoneRefreshRequest, out io.Writer) error {
	var z control.Zone
	if err := o.call(c.Context(), http.MethodPost, "/v1/zones/refresh", nil, request, &z); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, z)
	}
	fmt.Fprintf(out, "zone %s: serial %d from %s, confirmed %s\n", z.Zone, z.Secondary.Serial, z.Secondary.Primary, timeText(z.Secondary.Confirmed))
	return nil
}

// printConflicts prints the zones that catalogs list and that are not served for them.
func printConflicts(w io.Writer, all []control.NamedCatalog) {
	for i := range all {
		for _, f := range all[i].Conflicts {
			fmt.Fprintf(w, "WARNING: zone %s is not served for catalog %s: %s\n", f.Zone, f.Catalog, f.Reason)
		}
	}
}

// printCopies prints the zones that come from primaries and have a problem.
func printCopies(w io.Writer, all []secondary.Status) {
	for i := range all {
		s := &all[i]
		if s.State == secondary.Ready && s.Failures == 0 {
			continue
		}
		text := describeCopy(s)[0]
		if s.Error != "" {
			text += "; " + describeFailures(s)
		}
		fmt.Fprintf(w, "WARNING: zone %s: %s\n", s.Zone, text)
	}
}
