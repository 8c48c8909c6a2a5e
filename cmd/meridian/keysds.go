package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/dnssec"
	"meridian/dnssec/keys"
)

func keysDSCommand() *cobra.Command {
	c, o := keysVerb("ds ZONE -c FILE", "Print the DS record for the parent zone",
		`DS prints the DS record that the parent zone should have now for ZONE, in the form of a master file,
after those of the other signers of extra_dnskeys. They replace all others. In a rollover that is the record of the old key until all resolvers know the new one;
a comment then says when the record of the new key may be handed over.

With --seen it records that all servers of the parent have it, and no other one. That is for a parent
that cannot be asked: without parent.servers a rollover waits for it.`,
		func(o *keysOptions, z *signedZone, _ []string, out io.Writer) error {
			if o.digest != int(dnssec.SHA256) && o.digest != int(dnssec.SHA384) {
				return fmt.Errorf("--digest %d: 2 is SHA-256, 4 is SHA-384", o.digest)
			}
			s, others, err := o.submission(z)
			switch {
			case err != nil:
				return err
			case o.seen:
				return o.confirm(z, out)
			}
			return o.printDS(z, s, others, out)
		})
	c.Flags().BoolVar(&o.seen, "seen", false, "record that all servers of the parent have this DS record and no other one")
	c.Flags().IntVar(&o.digest, "digest", int(dnssec.SHA256), "type of the `DIGEST`: 2 (SHA-256) or 4 (SHA-384)")
	return c
}

// submission returns which DS record the parent should have, and the KSKs of other signers.
func (o *keysOptions) submission(z *signedZone) (s keys.Submission, others [][]byte, err error) {
	result, err := o.look(z)
	if err != nil {
		return s, nil, err
	}
	s = keys.SubmissionOf(result.Keys, z.policy, result.Now)
	switch {
	case len(result.Keys) == 0:
		return s, nil, fmt.Errorf("zone %s has no key; meridian keys generate makes one", z.Name)
	case s.Key == nil:
		return s, nil, fmt.Errorf("zone %s has no KSK or CSK without an end; see meridian keys list, and meridian keys generate to make one", z.Name)
	}
	return s, result.Others, nil
}

// dsReport is a DS record, as JSON.
type dsReport struct {
	Zone      string     `json:"zone"`
	Tag       uint16     `json:"tag"`
	Algorithm uint8      `json:"algorithm"`
	Type      int        `json:"digest_type"`
	Digest    string     `json:"digest"`
	State     string     `json:"state"`
	From      *time.Time `json:"from,omitempty"` // when it may be handed over, if not now
	Next      *dsReport  `json:"next,omitempty"` // the record that replaces it

	Others []string `json:"others,omitempty"` // the records of other signers, which the parent should have too
}

func (o *keysOptions) reportDS(z *signedZone, k *keys.Key, from time.Time) *dsReport {
	r := &dsReport{
		Zone: string(z.Name), Tag: k.Tag, Algorithm: k.Algorithm, Type: o.digest, State: keys.DSState(k),
		Digest: strings.ToUpper(hex.EncodeToString(k.DS(uint8(o.digest))[4:])),
	}
	if !from.IsZero() {
		from = from.UTC()
		r.From = &from
	}
	return r
}

// printDS prints the DS record to hand over, and when, if not now, after those of others, the KSKs of other signers.
func (o *keysOptions) printDS(z *signedZone, s keys.Submission, others [][]byte, out io.Writer) error {
	r := o.reportDS(z, s.Key, s.From)
	if s.Next != nil {
		r.Next = o.reportDS(z, s.Next, s.NextFrom)
	}
	for _, dnskey := range others {
		ds := dnssec.DS(z.Name, dnskey, uint8(o.digest))
		r.Others = append(r.Others, fmt.Sprintf("%d %d %d %X", uint16(ds[0])<<8|uint16(ds[1]), ds[2], ds[3], ds[4:]))
	}
	if o.output == outputJSON {
		return printJSON(out, r)
	}
	w := &textWriter{w: out}
	for _, ds := range r.Others {
		w.line("%s %d IN DS %s ; of another signer", z.Name, int(z.policy.Parent.DSTTL.Seconds()), ds)
	}
	w.line("%s %d IN DS %d %d %d %s", z.Name, int(z.policy.Parent.DSTTL.Seconds()), r.Tag, r.Algorithm, o.digest, r.Digest)
	if r.From != nil {
		w.line("; hand it over at %s, not before: resolvers may have answers without signatures until then", instantText(r.From))
	}
	if r.Next != nil {
		w.line("; that of the new key %d replaces it at %s, not before: resolvers may not know the key until then", r.Next.Tag, instantText(r.Next.From))
	}
	return w.err
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
	return o.printChange(z, &result, out)
}
