package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/dnssec"
	"meridian/dnssec/keys"
)

// reportKeys describes the keys of a zone.
func reportKeys(z *signedZone, result *keys.Result) keys.Report {
	return keys.ReportOf(z.Name, z.policy, result)
}

// look reads the keys of a zone and changes nothing.
func (o *keysOptions) look(z *signedZone) (keys.Result, error) {
	r := o.request(z)
	policy := *z.policy
	policy.Manager = "external" // what the files say, not what a manager would change
	r.Policy = &policy
	result, err := keys.Update(r)
	if errors.Is(err, keys.ErrUnusable) {
		return result, nil // the keys can be shown
	}
	return result, err
}

func keysListCommand() *cobra.Command {
	c, _ := keysVerb("list ZONE -c FILE", "List the keys of a zone",
		`List prints the keys of ZONE with their times. It reads the files and changes nothing.`,
		func(o *keysOptions, z *signedZone, _ []string, out io.Writer) error {
			result, err := o.look(z)
			if err != nil {
				return err
			}
			if o.output == outputJSON {
				return printJSON(out, reportKeys(z, &result))
			}
			return printKeys(out, z, &result)
		})
	return c
}

// printKeys prints a table of keys.
func printKeys(out io.Writer, z *signedZone, result *keys.Result) error {
	var t table
	t.add("KEY", "ALGORITHM", "ROLE", "STATE", "DS", "PUBLISH", "ACTIVATE", "INACTIVE", "DELETE")
	for _, k := range reportKeys(z, result).Keys {
		t.add(strconv.Itoa(int(k.Tag)), dnssec.AlgorithmName(k.Algorithm), k.Role, k.State, dash(k.DS), instantText(k.Publish), instantText(k.Activate), instantText(k.Inactive), instantText(k.Delete))
	}
	w := &textWriter{w: out}
	t.print(w, "")
	return w.err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func instantText(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.UTC().Format("2006-01-02T15:04:05Z")
}

func keysStatusCommand() *cobra.Command {
	c, o := keysVerb("status ZONE -c FILE", "Show the keys of a zone, and what comes next",
		`Status prints the keys of ZONE, the next step of a rollover with its date, and what waits for the DS
record at the parent. With --parent it asks the servers of parent.servers now. It changes nothing.`,
		func(o *keysOptions, z *signedZone, _ []string, out io.Writer) error {
			result, err := o.look(z)
			if err != nil {
				return err
			}
			report := reportKeys(z, &result)
			if o.parent {
				report.Parent = o.askParent(z, &result)
			}
			if o.output == outputJSON {
				return printJSON(out, report)
			}
			if err := printKeys(out, z, &result); err != nil {
				return err
			}
			w := &textWriter{w: out}
			w.line("")
			w.line("policy %s, manager %s", report.Policy, report.Manager)
			if len(result.Set.ZSK) == 0 {
				w.line("no key signs the zone")
			}
			printSteps(w, &result)
			if report.Parent != "" {
				w.line("parent: %s", report.Parent)
			}
			return w.err
		})
	c.Flags().BoolVar(&o.parent, "parent", false, "ask the servers of the parent for the DS records")
	return c
}

// printSteps prints what comes next.
func printSteps(w *textWriter, result *keys.Result) {
	if !result.Next.At.IsZero() {
		w.line("next: %s at %s", result.Next.What, instantText(&result.Next.At))
	}
	if result.Waits != "" {
		w.line("waits for %s%s", result.Waits, sinceDate(result.Since))
	}
}

func sinceDate(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return " since " + instantText(&at)
}

func keysDSCommand() *cobra.Command {
	c, o := keysVerb("ds ZONE -c FILE", "Print the DS record for the parent zone",
		`DS prints the DS record that the parent zone should have for ZONE, in the form of a master file: in a
rollover, that of the new key. It replaces all others.

With --seen it records that all servers of the parent have it, and no other one. That is for a parent
that cannot be asked: without parent.servers a rollover waits for it.`,
		func(o *keysOptions, z *signedZone, _ []string, out io.Writer) error {
			if o.digest != int(dnssec.SHA256) && o.digest != int(dnssec.SHA384) {
				return fmt.Errorf("--digest %d: 2 is SHA-256, 4 is SHA-384", o.digest)
			}
			if o.seen {
				return o.confirm(z, out)
			}
			result, err := o.look(z)
			if err != nil {
				return err
			}
			k := keys.Wanted(result.Keys, z.policy)
			if k == nil && len(result.Keys) == 0 {
				return fmt.Errorf("zone %s has no key; meridian keys generate makes one", z.Name)
			}
			if k == nil {
				return fmt.Errorf("zone %s has no KSK or CSK without an end; see meridian keys list", z.Name)
			}
			return o.printDS(z, k, out)
		})
	c.Flags().BoolVar(&o.seen, "seen", false, "record that all servers of the parent have this DS record and no other one")
	c.Flags().IntVar(&o.digest, "digest", int(dnssec.SHA256), "type of the `DIGEST`: 2 (SHA-256) or 4 (SHA-384)")
	return c
}

// printDS prints the DS record of a key.
func (o *keysOptions) printDS(z *signedZone, k *keys.Key, out io.Writer) error {
	digest := strings.ToUpper(hex.EncodeToString(k.DS(uint8(o.digest))[4:]))
	if o.output == outputJSON {
		return printJSON(out, struct {
			Zone      string `json:"zone"`
			Tag       uint16 `json:"tag"`
			Algorithm uint8  `json:"algorithm"`
			Type      int    `json:"digest_type"`
			Digest    string `json:"digest"`
			State     string `json:"state"`
		}{string(z.Name), k.Tag, k.Algorithm, o.digest, digest, keys.DSState(k)})
	}
	_, err := fmt.Fprintf(out, "%s %d IN DS %d %d %d %s\n", z.Name, int(z.policy.Parent.DSTTL.Seconds()), k.Tag, k.Algorithm, o.digest, digest)
	return err
}

// confirm records that the parent has the DS record.
func (o *keysOptions) confirm(z *signedZone, out io.Writer) error {
	if err := managed(z); err != nil {
		return err
	}
	result, err := keys.Confirm(o.request(z))
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, reportKeys(z, &result))
	}
	w := &textWriter{w: out}
	for _, n := range result.Notes {
		w.line("key %d: %s", n.Tag, n.What)
	}
	printSteps(w, &result)
	return w.err
}
