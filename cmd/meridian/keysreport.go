package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/dnssec"
	"meridian/dnssec/keys"
)

// keysReport is the output of keys with -o json.
type keysReport struct {
	Zone    string      `json:"zone"`
	Policy  string      `json:"policy"`
	Manager string      `json:"manager"`
	Keys    []keyReport `json:"keys"`
	Next    *stepReport `json:"next,omitempty"`
	Waits   string      `json:"waits,omitempty"` // for the parent
	Since   *time.Time  `json:"since,omitempty"`
	Parent  string      `json:"parent,omitempty"` // the answer of the parent's servers
}

type keyReport struct {
	Tag       uint16     `json:"tag"`
	Algorithm uint8      `json:"algorithm"`
	Role      string     `json:"role"`
	State     string     `json:"state"`
	Signs     []string   `json:"signs"` // keys, records
	DS        string     `json:"ds,omitempty"`
	File      string     `json:"file"`
	Created   *time.Time `json:"created,omitempty"`
	Publish   *time.Time `json:"publish,omitempty"`
	Activate  *time.Time `json:"activate,omitempty"`
	Inactive  *time.Time `json:"inactive,omitempty"`
	Delete    *time.Time `json:"delete,omitempty"`
	CDS       *time.Time `json:"cds,omitempty"` // since when it asks for the DS
}

type stepReport struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// reportKeys describes the keys of a zone.
func reportKeys(z *signedZone, result *keys.Result) keysReport {
	r := keysReport{Zone: string(z.Name), Policy: z.policy.Name, Manager: string(z.policy.Manager), Waits: result.Waits, Since: given(result.Since)}
	for _, k := range result.Keys {
		r.Keys = append(r.Keys, reportKey(k, result))
	}
	if !result.Next.At.IsZero() {
		r.Next = &stepReport{result.Next.At, result.Next.What}
	}
	return r
}

func reportKey(k *keys.Key, result *keys.Result) keyReport {
	r := keyReport{
		Tag: k.Tag, Algorithm: k.Algorithm, State: keyState(k, result.Now), Signs: []string{}, File: k.File, Created: given(k.Created), Publish: given(k.Publish),
		Activate: given(k.Activate), Inactive: given(k.Inactive), Delete: given(k.Delete), CDS: given(k.SyncPublish),
	}
	signsKeys, signsRecords := slices.Contains(result.Set.KSK, k.Key), slices.Contains(result.Set.ZSK, k.Key)
	if signsKeys {
		r.Signs = append(r.Signs, "keys")
	}
	if signsRecords {
		r.Signs = append(r.Signs, "records")
	}
	switch {
	case !k.SEP():
		r.Role = "zsk"
	case signsRecords:
		r.Role = "csk"
	default:
		r.Role = "ksk"
	}
	if k.SEP() {
		r.DS = dsState(k)
	}
	return r
}

// dsState says what is known of the DS record of a KSK or CSK.
func dsState(k *keys.Key) string {
	switch {
	case !k.DSPublish.IsZero():
		return "seen"
	case !k.DSRemoved.IsZero():
		return "absent"
	}
	return "unknown"
}

// keyState is the state of a key at a time.
func keyState(k *keys.Key, now time.Time) string {
	switch {
	case k.Published(now) && k.Active(now):
		return "active"
	case k.Published(now) && !k.Inactive.IsZero() && !now.Before(k.Inactive):
		return "retired"
	case k.Published(now):
		return "published"
	case k.Active(now):
		return "signing, not published" // a change of the algorithm
	case !k.Delete.IsZero() && !now.Before(k.Delete):
		return "removed"
	}
	return "generated"
}

// given returns nil for the zero time.
func given(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
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
		t.add(strconv.Itoa(int(k.Tag)), algorithmText(k.Algorithm), k.Role, k.State, dash(k.DS), instantText(k.Publish), instantText(k.Activate), instantText(k.Inactive), instantText(k.Delete))
	}
	w := &textWriter{w: out}
	t.print(w, "")
	return w.err
}

func algorithmText(algorithm uint8) string {
	switch algorithm {
	case dnssec.ECDSAP256SHA256:
		return "ecdsap256sha256"
	case dnssec.ED25519:
		return "ed25519"
	}
	return strconv.Itoa(int(algorithm))
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
	return at.Format("2006-01-02T15:04:05Z")
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
		w.line("next: %s at %s", result.Next.What, instantText(given(result.Next.At)))
	}
	if result.Waits != "" {
		w.line("waits for %s%s", result.Waits, sinceDate(result.Since))
	}
}

func sinceDate(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return " since " + instantText(given(at))
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
		}{string(z.Name), k.Tag, k.Algorithm, o.digest, digest, dsState(k)})
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
