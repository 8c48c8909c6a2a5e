package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"meridian/dnsname"
	"meridian/zones"
)

// zoneDiffHelp is the text of --help of meridian zone diff.
const zoneDiffHelp = `Diff compares a zone at two places, and prints the records that only the first one has with "-", and
those that only the second one has with "+". Without the second place it is the running server.

A place is one of
  meridian.yaml, a directory    a configuration: the zone as it would be served
  example.com.zone              any other file: a master file
  http://127.0.0.1:8053         the API of a running server, with dynamic updates
  @192.0.2.54, @192.0.2.54:53   a name server, asked for a transfer (AXFR), signed with --tsig

At balanced names, configurations and servers have the answer to a client of unknown location with all
members up. The serial is printed, and a different one alone is no difference.

If only one of the places has the zone with signatures, such as a secondary of a zone with transfer.sign, the
RRSIG, NSEC, NSEC3, NSEC3PARAM, DNSKEY, CDS and CDNSKEY records are not compared, and their number is printed.

Exit: 0 if the zones are equal; 1 if they differ; 2 on an error.`

// The exit codes of meridian zone diff.
const (
	exitDiffers   = 1
	exitDiffError = 2
)

// zoneDiff is the command line of meridian zone diff.
type zoneDiff struct {
	running client
	tsig    tsigFlag
	output  outputFlag
}

func zoneDiffCommand() *cobra.Command {
	var d zoneDiff
	c := &cobra.Command{
		Use:   "diff ZONE PLACE [PLACE]",
		Short: "Compare a zone at two places: files, servers, secondaries",
		Long:  zoneDiffHelp,
		Example: `  meridian zone diff example.com meridian.yaml
  meridian zone diff example.com old.zone new.zone
  meridian zone diff example.com http://127.0.0.1:8053 @192.0.2.54 --tsig xfr:/etc/meridian/xfr.key`,
		RunE: func(c *cobra.Command, args []string) error {
			err := d.run(c, args)
			if exit := (*exitError)(nil); err == nil || errors.As(err, &exit) {
				return err
			}
			return &exitError{exitDiffError, err}
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &exitError{exitDiffError, flagError(c, err)} })
	addClientFlags(c, &d.running, defaultServer)
	c.Flags().Var(&d.tsig, "tsig", "sign transfers with a `KEY`: NAME:FILE or ALGORITHM:NAME:FILE, with the secret in base64 in FILE")
	addOutputFlag(c, &d.output)
	return c
}

// run compares the places of the arguments.
func (d *zoneDiff) run(c *cobra.Command, args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("want a zone and one or two places; e.g. meridian zone diff example.com meridian.yaml")
	}
	zone, err := dnsname.Parse(args[0])
	if err != nil {
		return fmt.Errorf("%q is not the name of a zone: %w", args[0], err)
	}
	places := append(args[1:], d.running.server)[:2]
	var contents [2]*zoneRecords
	for i, place := range places {
		if contents[i], err = d.read(c, zone, place); err != nil {
			return err
		}
	}
	found := compareZones(contents[0], contents[1])
	found.Zone = zone
	if err := found.print(c.OutOrStdout(), d.output); err != nil {
		return err
	}
	if n, m := len(found.Deleted), len(found.Added); n+m > 0 {
		return &exitError{exitDiffers, fmt.Errorf("the zones differ; records only in %s: %d, only in %s: %d", places[0], n, places[1], m)}
	}
	return nil
}

// read reads a zone from a place. Its errors name the place.
func (d *zoneDiff) read(c *cobra.Command, zone dnsname.Name, place string) (*zoneRecords, error) {
	if server, ok := strings.CutPrefix(place, "@"); ok {
		z, err := axfr(server, zone, &d.tsig)
		return z, ofPlace(place, err)
	}
	if strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://") {
		z, err := d.exported(c, zone, place)
		return z, ofPlace(place, err)
	}
	info, err := os.Stat(place)
	if err != nil {
		return nil, err
	}
	if info.IsDir() || strings.HasSuffix(place, ".yaml") || strings.HasSuffix(place, ".yml") {
		var text bytes.Buffer
		if err := configuredZone([]string{place}, zone, &text, c.ErrOrStderr()); err != nil {
			return nil, err
		}
		return parseZone(&text, zone, "")
	}
	return masterFileRecords(place, zone)
}

// ofPlace returns the error of a server with the server.
func ofPlace(place string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", place, err)
	}
	return err
}

// exported reads a zone from the API of a running server.
func (d *zoneDiff) exported(c *cobra.Command, zone dnsname.Name, server string) (*zoneRecords, error) {
	from := d.running
	from.server = server
	var text bytes.Buffer
	if err := from.exportZone(c.Context(), zone, &text); err != nil {
		return nil, err
	}
	return parseZone(&text, zone, "")
}

// zoneRecords are the records of a zone, as text.
type zoneRecords struct {
	serial  uint32
	records map[string]bool // true: signing makes it
	signed  bool            // there is a signature
}

// add adds a record in the form that all places have: its owner in lower case, an SOA record without its serial.
func (z *zoneRecords) add(rr dns.RR) {
	rr = dns.Copy(rr)
	rr.Header().Name = dns.CanonicalName(rr.Header().Name)
	if soa, ok := rr.(*dns.SOA); ok {
		z.serial, soa.Serial = soa.Serial, 0
	}
	z.records[rr.String()] = madeBySigning(rr.Header().Rrtype)
	z.signed = z.signed || rr.Header().Rrtype == dns.TypeRRSIG
}

// madeBySigning reports whether a server that signs a zone makes the records of a type.
func madeBySigning(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return true
	}
	return false
}

func masterFileRecords(file string, zone dnsname.Name) (*zoneRecords, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseZone(f, zone, file)
}

// parseZone reads a master file; file is its path for $INCLUDE, empty: it has none.
func parseZone(r io.Reader, zone dnsname.Name, file string) (*zoneRecords, error) {
	z := &zoneRecords{records: map[string]bool{}}
	p := dns.NewZoneParser(r, string(zone), file)
	p.SetDefaultTTL(zones.DefaultTTL)
	p.SetIncludeAllowed(file != "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.add(rr)
	}
	return z, p.Err()
}

// zoneDifference is the records that only one of two zones has, as JSON.
type zoneDifference struct {
	Zone    dnsname.Name `json:"zone"`
	Serials [2]uint32    `json:"serials"`
	Deleted []string     `json:"deleted"` // records that only the first has
	Added   []string     `json:"added"`   // records that only the second has

	NotCompared int `json:"not_compared,omitempty"` // records that signing makes, if only one of the zones is signed
}

// compareZones compares two zones. If only one is signed, the records that signing makes are left out.
func compareZones(first, second *zoneRecords) zoneDifference {
	d := zoneDifference{Serials: [2]uint32{first.serial, second.serial}}
	all := first.signed == second.signed
	d.Deleted = d.onlyIn(first, second, all)
	d.Added = d.onlyIn(second, first, all)
	return d
}

// onlyIn returns the records of a zone that another one does not have, in the order of their names: all, or those that signing does not make.
func (d *zoneDifference) onlyIn(zone, other *zoneRecords, all bool) []string {
	only := []string{}
	for _, r := range slices.Sorted(maps.Keys(zone.records)) {
		if zone.records[r] && !all {
			d.NotCompared++
		} else if _, has := other.records[r]; !has {
			only = append(only, r)
		}
	}
	return only
}

// print prints the difference, the records of a name together.
func (d *zoneDifference) print(w io.Writer, output outputFlag) error {
	if output == outputJSON {
		return printJSON(w, d)
	}
	out := &textWriter{w: w}
	if d.Serials[0] != d.Serials[1] {
		out.line("; serial %d and %d", d.Serials[0], d.Serials[1])
	}
	if d.NotCompared > 0 {
		out.line("; %d records that signing makes are not compared: only one of the zones is signed", d.NotCompared)
	}
	type line struct{ sign, text string }
	var lines []line
	for _, r := range d.Deleted {
		lines = append(lines, line{"-", r})
	}
	for _, r := range d.Added {
		lines = append(lines, line{"+", r})
	}
	owner := func(l line) string { name, _, _ := strings.Cut(l.text, "\t"); return name }
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(owner(a), owner(b)) })
	for _, l := range lines {
		out.line("%s %s", l.sign, l.text)
	}
	return out.err
}
