package main

import (
	"fmt"
	"io"
	"strings"

	"meridian/dnssec"
	"meridian/snapshot"
)

// printSigned prints the signed zones.
func printSigned(w io.Writer, zones []snapshot.ZoneKeys) {
	for i := range zones {
		fmt.Fprintf(w, "signed: %s\n", describeKeys(&zones[i]))
	}
}

// describeKeys describes the keys of a signed zone in a line: each key that is not removed, the next step, and what a
// rollover waits for.
func describeKeys(z *snapshot.ZoneKeys) string {
	var keys []string
	for _, k := range z.Keys {
		if k.State == "removed" {
			continue
		}
		text := fmt.Sprintf("key %d %s %s %s", k.Tag, dnssec.AlgorithmName(k.Algorithm), k.Role, k.State)
		if k.DS != "" {
			text += ", DS " + k.DS
		}
		keys = append(keys, text)
	}
	if z.Presigned {
		return fmt.Sprintf("%s by its file, until %s", z.Zone, instantText(&z.Expires))
	}
	text := fmt.Sprintf("%s by policy %s: %s", z.Zone, z.Policy, strings.Join(keys, "; "))
	if z.Next != nil {
		text += fmt.Sprintf("; next: %s at %s", z.Next.What, instantText(&z.Next.At))
	}
	if z.Waits != "" {
		text += "; waits for " + z.Waits
		if z.Since != nil {
			text += " since " + instantText(z.Since)
		}
	}
	return text
}

// signingWarnings returns a warning for each rollover that waits for too long, and each presigned zone that is near the
// end of its signatures.
func signingWarnings(zones []snapshot.ZoneKeys) (all []string) {
	for i := range zones {
		z := &zones[i]
		if z.Expiring != "" {
			all = append(all, z.Zone+": "+z.Expiring+"; sign the zone again and reload")
		}
		if z.Overdue {
			all = append(all, fmt.Sprintf("the rollover of %s waits for %s since %s; see meridian keys ds %[1]s", z.Zone, z.Waits, instantText(z.Since)))
		}
	}
	return all
}
