package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"meridian/dnsname"
	"meridian/transfer"
	"meridian/transfer/journal"
)

// journalHelp is the text of --help of meridian journal.
const journalHelp = `Journal prints the changes of a zone that are kept for incremental transfers, the oldest first: the
serials, the records that were deleted (-) and added (+), and of a dynamic update its key and time. It
reads the file in the state directory, also while the server runs, and changes nothing. It verifies the
checksum of every entry, and that each change begins with the serial of the one before.

Exit: 0; 1 if the file is missing or corrupt, or on an error in the configuration.`

// journalOptions is the command line of meridian journal.
type journalOptions struct {
	file   configFlag
	state  string
	last   int
	output outputFlag
}

func journalCommand() *cobra.Command {
	var o journalOptions
	c := &cobra.Command{
		Use:   "journal ZONE {-c FILE | --state DIR}",
		Short: "Show and verify the changes of a zone on disk",
		Long:  journalHelp,
		Example: `  meridian journal example.com -c meridian.yaml
  meridian journal example.com --state /var/lib/meridian --last 3 -o json`,
		Args: oneZone,
		RunE: func(c *cobra.Command, args []string) error {
			zone, _ := dnsname.Parse(args[0]) // oneZone has parsed it
			return o.run(zone, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	addConfigFlag(c, &o.file)
	c.Flags().StringVar(&o.state, "state", "", "the state `DIR`, instead of the one in the configuration")
	c.Flags().IntVar(&o.last, "last", 0, "only the last `N` changes; 0: all")
	addOutputFlag(c, &o.output)
	return c
}

// stateDir returns the state directory.
func (o *journalOptions) stateDir(stderr io.Writer) (string, error) {
	if o.state != "" {
		return o.state, nil
	}
	paths, err := o.file.paths()
	if err != nil {
		return "", errors.New("at least one of the flags -c FILE and --state DIR is required; or set " + configVariable)
	}
	cfg, found := read(paths)
	if cfg == nil {
		return "", found.print(stderr)
	}
	if cfg.State == "" {
		return "", errors.New("the configuration has no state: the journals of its server are in memory")
	}
	return cfg.State, nil
}

func (o *journalOptions) run(zone dnsname.Name, stdout, stderr io.Writer) error {
	if o.last < 0 {
		return fmt.Errorf("--last %d; want 0 or more", o.last)
	}
	dir, err := o.stateDir(stderr)
	if err != nil {
		return err
	}
	path := transfer.JournalFile(dir, zone)
	j, corrupt := journal.Read(path, zone)
	switch {
	case errors.Is(corrupt, fs.ErrNotExist):
		return hinted(fmt.Sprintf("zone %s has no journal: there is no file %s", zone, path), "zones with transfer or update have one, after their first change")
	case j == nil:
		return corrupt
	}
	if _, known := j.State(); !known && corrupt != nil {
		return hinted(fmt.Sprintf("%s is corrupt: %v", path, corrupt), "no state can be read; the next start renames it and begins another one")
	}
	changes, err := j.History()
	if o.last > 0 {
		changes = changes[max(0, len(changes)-o.last):]
	}
	if err := errors.Join(err, o.print(zone, j, changes, stdout)); err != nil {
		return err
	}
	if corrupt != nil {
		return hinted(fmt.Sprintf("%s is corrupt: %v", path, corrupt), "the next start renames it, keeps the updates that it can still read, and begins another one")
	}
	return nil
}

// journalReport is a journal, as JSON.
type journalReport struct {
	Zone    dnsname.Name    `json:"zone"`
	File    string          `json:"file"`
	Serial  uint32          `json:"serial"`
	Oldest  uint32          `json:"oldest"`  // the serial that the changes begin with
	Added   int             `json:"added"`   // records that all updates together have added to the file of the zone
	Deleted int             `json:"deleted"` // and deleted from it
	Changes []journalChange `json:"changes"`
	Torn    int64           `json:"torn,omitempty"` // octets of an incomplete entry at the end of the file
}

// journalChange is a change of a zone, as JSON.
type journalChange struct {
	From    uint32          `json:"from"`
	To      uint32          `json:"to"`
	Update  *journal.Origin `json:"update,omitempty"` // absent: the configuration, a file or the primary changed
	Deleted []string        `json:"deleted"`
	Added   []string        `json:"added"`
}

func (o *journalOptions) print(zone dnsname.Name, j *journal.Journal, changes []*journal.Change, w io.Writer) error {
	state, _ := j.State()
	report := journalReport{Zone: zone, File: state.File, Serial: state.Serial, Oldest: state.Oldest, Added: state.Added, Deleted: state.Deleted, Torn: state.Torn, Changes: []journalChange{}}
	for _, c := range changes {
		report.Changes = append(report.Changes, journalChange{c.From(), c.To(), c.Update, recordTexts(c.Deleted), recordTexts(c.Added)})
	}
	if o.output == outputJSON {
		return printJSON(w, report)
	}
	out := &textWriter{w: w}
	updates := ""
	if report.Added+report.Deleted > 0 {
		updates = fmt.Sprintf("; updates have added %d records to its file and deleted %d", report.Added, report.Deleted)
	}
	out.line("zone %s: serial %d, changes since %d%s", zone, report.Serial, report.Oldest, updates)
	for i := range report.Changes {
		report.Changes[i].print(out)
	}
	if report.Torn > 0 {
		out.line("the last entry is incomplete (%d octets): the server writes it now, or a crash cut it off and the next start drops it", report.Torn)
	}
	return out.err
}

func (c *journalChange) print(out *textWriter) {
	by := "by the configuration or a file"
	if c.Update != nil {
		by = "by an update with key " + strings.TrimSuffix(c.Update.Key, ".") + ", " + timeText(c.Update.At)
	}
	out.line("serial %d to %d %s", c.From, c.To, by)
	for _, r := range c.Deleted {
		out.line("- %s", r)
	}
	for _, r := range c.Added {
		out.line("+ %s", r)
	}
}

// recordTexts returns records in the format of master files.
func recordTexts(records []journal.Record) []string {
	texts := make([]string, len(records))
	for i, r := range records {
		texts[i] = r.String()
	}
	return texts
}
