package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/control"
)

func zoneNotifyCommand() *cobra.Command {
	return newZoneCommand(&cobra.Command{
		Use:   "notify ZONE",
		Short: "Notify the secondaries of a zone now",
		Long: `Notify sends NOTIFY to all servers in transfer.notify of a zone, also if they have confirmed its serial. It does not
wait for them: the log has an error for each that does not answer.

Exit: 0; 1 if there is no such zone, if it has no secondaries, or if there is no server.`,
		Example: `  meridian zone notify example.com`,
		Args:    oneZone,
	}, func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error {
		var done admin.ZoneNotified
		if err := o.call(c.Context(), http.MethodPost, "/v1/zones/notify", nil, admin.ZoneRequest{Zone: args[0]}, &done); err != nil {
			return err
		}
		if o.output == outputJSON {
			return printJSON(out, done)
		}
		fmt.Fprintf(out, "zone %s: notifying %s\n", done.Zone, quantity(done.Secondaries, "secondary", "secondaries"))
		return nil
	})
}

func quantity(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", several)
}

func zoneFreezeCommand() *cobra.Command {
	reason := ""
	c := newZoneCommand(&cobra.Command{
		Use:   "freeze ZONE",
		Short: "Refuse dynamic updates of a zone",
		Long: `Freeze has dynamic updates of a zone refused, with the reason, until meridian zone thaw. A restart and a reload do not
end it. Files, health states and signatures change the zone as before. In a cluster, each node has its own frozen
zones.

Exit: 0; 1 if there is no such zone, if it takes no updates, or if there is no server.`,
		Example: `  meridian zone freeze example.com --reason "moving to another cluster"`,
		Args:    oneZone,
	}, func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error {
		return o.setFrozen(c, "freeze", admin.ZoneRequest{Zone: args[0], Reason: reason}, out)
	})
	c.Flags().StringVar(&reason, "reason", "", "why, for other operators and the clients whose updates are refused")
	return c
}

func zoneThawCommand() *cobra.Command {
	return newZoneCommand(&cobra.Command{
		Use:   "thaw ZONE",
		Short: "Make dynamic updates of a zone again",
		Long: `Thaw ends meridian zone freeze.

Exit: 0; 1 if the zone is not frozen, or if there is no server.`,
		Example: `  meridian zone thaw example.com`,
		Args:    oneZone,
	}, func(o *zoneOptions, c *cobra.Command, args []string, out io.Writer) error {
		return o.setFrozen(c, "thaw", admin.ZoneRequest{Zone: args[0]}, out)
	})
}

// setFrozen freezes or thaws a zone, and prints the result.
func (o *zoneOptions) setFrozen(c *cobra.Command, verb string, request admin.ZoneRequest, out io.Writer) error {
	var zone control.FrozenZone
	if err := o.call(c.Context(), http.MethodPost, "/v1/zones/"+verb, nil, request, &zone); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, zone)
	}
	if verb == "freeze" {
		fmt.Fprintf(out, "zone %s: %s; updates are refused until meridian zone thaw %s\n", zone.Zone, zone.String(), strings.TrimSuffix(string(zone.Zone), "."))
	} else {
		fmt.Fprintf(out, "zone %s: updates are made again; it was %s\n", zone.Zone, frozenText(&zone, time.Now()))
	}
	if zone.Warning != "" {
		fmt.Fprintln(c.ErrOrStderr(), "WARNING:", zone.Warning)
	}
	return nil
}

// printFrozen prints the zones of which updates are refused.
func printFrozen(w io.Writer, all []control.FrozenZone, now time.Time) {
	for i := range all {
		fmt.Fprintf(w, "WARNING: zone %s: updates are refused: %s; meridian zone thaw ends it\n", all[i].Zone, frozenText(&all[i], now))
	}
}

// frozenText says for how long updates of a zone are refused, and why.
func frozenText(f *control.FrozenZone, now time.Time) string {
	text := "frozen for " + age(f.Since, now)
	if f.Reason != "" {
		text += ": " + f.Reason
	}
	return text
}
