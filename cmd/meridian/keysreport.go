package main

import (
	"errors"
	"io"
	"strconv"
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
