package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/dnsname"
	"meridian/plan"
	"meridian/pools"
	"meridian/snapshot"
)

// planOptions is the command line of plan.
type planOptions struct {
	file    configFlag
	whatIf  whatIf
	clients string
	names   []string
	limit   string
	traffic string
	page    string
	output  outputFlag
}

// planHelp is the text of --help of meridian plan.
const planHelp = `Plan compares the answers of two configurations, or of one before and after an outage or another
change: the share of the traffic that moves, its source and destination by region, member, country,
continent and autonomous system, and the clients that are sent farther. It computes with the code that
serves; it neither serves nor probes, and everything not set down counts as up. With --traffic it
reports the regions and members that exceed their capacity.

The clients are all IPv4 addresses that the geo database (or the built-in table) can locate, one query
each, unless --clients names a file of networks with query counts: lines of a network or address and a
number, in either order, separated by a comma or spaces. Every name counts the same.

TARGET is a region, a pool, or pool/member; if a region and a pool share a name, region:NAME.

A change affects the traffic that it moves, that it leaves without an answer, and that a pool answers
by fail-open or its fallback only after the change. The output begins with this share.

Exit: 0; 1 on an error in a configuration or the command line, or, with --fail-above, if more is
affected or a name is gone.`

func planCommand() *cobra.Command {
	var p planOptions
	c := &cobra.Command{
		Use:   "plan OLD NEW | plan -c FILE --down TARGET",
		Short: "Forecast the effect of a change or an outage on traffic",
		Long:  planHelp,
		Example: `  meridian plan old.yaml new.yaml
  meridian plan old.yaml new.yaml --fail-above 20%           for a pipeline that deploys
  meridian plan -c meridian.yaml --down us-east --traffic 120000 --html outage.html
  meridian plan -c meridian.yaml --weight web/use-1=20 --bias eu-west=25
  meridian plan -c meridian.yaml --down web/use-1 --clients networks.csv -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if paths, err := p.file.paths(); err == nil && len(args) == 0 {
				p.file = paths
			}
			return p.comparable(args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	addConfigFlag(c, &p.file)
	p.whatIf.addFlags(c)
	flags.StringVar(&p.clients, "clients", "", "`FILE` of client networks with query counts; -: standard input")
	flags.StringArrayVar(&p.names, "name", nil, "`NAME` to count, instead of all names; may be repeated")
	flags.StringVar(&p.traffic, "traffic", "0", "total traffic of all names, a `LOAD` in the unit of capacity: reports overloads")
	flags.StringVar(&p.limit, "fail-above", noLimit, "`SHARE` of the traffic, such as 20%; exit with 1 when more is affected")
	flags.StringVar(&p.page, "html", "", "`FILE` to write a page with a world map to")
	addOutputFlag(c, &p.output)
	return c
}

func (p *planOptions) run(args []string, stdout, stderr io.Writer) error {
	traffic, err := parseTraffic(p.traffic)
	if err != nil {
		return fmt.Errorf("--traffic: %w", err)
	}
	limit, err := parseShare(p.limit)
	if err != nil {
		return fmt.Errorf("--fail-above: %w", err)
	}
	before, after, title, err := p.sides(args, stderr)
	if err != nil {
		return err
	}
	defer closeSides(before, after)
	forecast, err := p.compare(before, after)
	if err != nil {
		return err
	}
	forecast.FindBreaches(after.Config, traffic)
	if traffic > 0 && !forecast.Bounded() {
		fmt.Fprintln(stderr, "--traffic has no effect: no member or region has a capacity in the configuration")
	}
	if p.page != "" {
		if err := writePage(p.page, forecast, title, before, after); err != nil {
			return err
		}
	}
	if err := p.print(forecast, stdout); err != nil {
		return err
	}
	return p.checkLimits(forecast, limit)
}

// print prints the forecast in the format of the command line.
func (p *planOptions) print(f *plan.Forecast, stdout io.Writer) error {
	if p.output == outputJSON {
		return printJSON(stdout, f)
	}
	return f.Text(stdout)
}

// checkLimits returns the error for a forecast that exceeds the limit.
func (p *planOptions) checkLimits(f *plan.Forecast, limit float64) error {
	switch {
	case p.limit != noLimit && f.Removed > 0:
		return fmt.Errorf("%d names are gone; --fail-above allows none", f.Removed)
	case f.Affected <= limit+rounding:
		return nil
	}
	does := "moves"
	if f.Affected > f.Moved {
		does = "is affected"
	}
	return fmt.Errorf("%.2f %% of the traffic %s, more than --fail-above %s", f.Affected*100, does, p.limit)
}

// forms are the two forms of the command line.
const forms = "plan OLD NEW, or plan -c FILE with --down, --weight or --bias"

// comparable returns an error if the command line has neither of the two forms:
//
//	files     -c   --down and the like   is
//	2         no   none                  a form
//	none      yes  some                  a form
//	over 2    -    -                     too many
//	1 or 2    -    -                     both forms at once, or half of one
//	none      -    -                     nothing that differs
func (p *planOptions) comparable(args []string) error {
	problem := ""
	switch files, changes := len(args), !p.whatIf.empty(); {
	case files == 2 && len(p.file) == 0 && !changes, files == 0 && len(p.file) > 0 && changes:
		return nil
	case files > 2:
		problem = fmt.Sprintf("%d configurations, want two", files)
	case files > 0 && len(p.file) > 0:
		problem = "-c together with OLD NEW: they exclude each other"
	case files > 0 && changes:
		problem = "--down, --weight or --bias together with OLD NEW: they need -c"
	case files == 1:
		problem = fmt.Sprintf("%q alone: nothing to compare", args[0])
	default:
		problem = "nothing to compare"
	}
	return errors.New(problem + "; " + forms)
}

// closeSides closes both sides, which may share a geo database.
func closeSides(before, after *snapshot.Snapshot) {
	before.Close()
	if after != nil && after.Geo != before.Geo {
		after.Close()
	}
}

// sides builds the configurations to compare.
func (p *planOptions) sides(args []string, stderr io.Writer) (before, after *snapshot.Snapshot, title string, err error) {
	var change func(*config.Config) error
	from, to := []string(p.file), []string(p.file)
	if len(p.file) == 0 {
		from, to = args[:1], args[1:]
		title = fmt.Sprintf("From %s to %s", args[0], args[1])
	} else {
		change = p.whatIf.change
		title = fmt.Sprintf("%s with %s", strings.Join(p.file, ", "), p.whatIf)
	}
	if before, err = loadBriefly(from, nil, stderr); err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", strings.Join(from, ", "), err)
	}
	if slices.Equal(from, to) {
		stderr = io.Discard // warnings of this file have been printed
	}
	if len(p.file) > 0 && !p.whatIf.compiles() {
		after, err = before.Resolve(nil) // only overrides differ, so both sides share the tables
	} else {
		after, err = loadBriefly(to, change, stderr)
	}
	if err == nil {
		if before, after, err = placeholderAddresses(before, after); err == nil {
			err = p.whatIf.turn(after)
		}
	}
	if err != nil {
		closeSides(before, after)
		return nil, nil, "", fmt.Errorf("%s: %w", strings.Join(to, ", "), err)
	}
	return before, after, title, nil
}

// placeholderAddresses gives each target an unused address of either family, the same on
// both sides: a forecast resolves nothing and reports traffic by member.
func placeholderAddresses(before, after *snapshot.Snapshot) (*snapshot.Snapshot, *snapshot.Snapshot, error) {
	addresses := make(map[config.Target]pools.Resolved)
	for _, side := range []*snapshot.Snapshot{before, after} {
		for _, name := range side.Targets() {
			if _, known := addresses[name]; !known {
				n := uint32(len(addresses)) + 1
				v4 := [4]byte{240, byte(n >> 16), byte(n >> 8), byte(n)}                                  // reserved (RFC 1112 4)
				v6 := [16]byte{0: 1, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)} // discarded (RFC 6666)
				addresses[name] = pools.Resolved{Addresses: []netip.Addr{netip.AddrFrom4(v4), netip.AddrFrom16(v6)}}
			}
		}
	}
	if len(addresses) == 0 {
		return before, after, nil
	}
	standing, err := before.Resolve(addresses)
	if err != nil {
		return before, after, err
	}
	changed, err := after.Resolve(addresses)
	if err != nil {
		return before, after, err
	}
	return standing, changed, nil
}

func (p *planOptions) compare(before, after *snapshot.Snapshot) (*plan.Forecast, error) {
	clients := plan.AllIPv4(after.Geo)
	if p.clients != "" {
		list, err := readClients(p.clients)
		if err != nil {
			return nil, fmt.Errorf("--clients %s: %w", p.clients, err)
		}
		clients = plan.FromList(list, after.Geo)
	}
	var names []dnsname.Name
	for _, text := range p.names {
		name, err := dnsname.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("--name: %w", err)
		}
		names = append(names, name)
	}
	return plan.Compare(before, after, clients, names...)
}

func readClients(file string) ([]plan.WeightedNetwork, error) {
	if file == "-" {
		return plan.ReadList(os.Stdin)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	return plan.ReadList(f)
}

// writePage writes the page. It uses the locations of regions after the change, and for
// removed regions those before.
func writePage(file string, forecast *plan.Forecast, title string, before, after *snapshot.Snapshot) (err error) {
	for _, part := range append(before.Config.Files(), after.Config.Files()...) {
		if sameFile(file, part) {
			return fmt.Errorf("--html: %q is the configuration; name another file", file)
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	regions := append(append([]config.Region{}, before.Config.Regions...), after.Config.Regions...)
	return forecast.Page(f, title, regions)
}

// sameFile reports whether two paths name one existing file.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// maxTraffic is an upper bound that no real traffic reaches.
const maxTraffic = 1e15

// parseTraffic parses a load.
func parseTraffic(s string) (float64, error) {
	load, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a number; e.g. 120000", s)
	case !(load >= 0 && load <= maxTraffic):
		return 0, fmt.Errorf("%g is not a load; want 0 to %g", load, float64(maxTraffic))
	}
	return load, nil
}

// noLimit is the default of --fail-above: an empty text is an error.
const noLimit = "none"

// rounding is the tolerance for a share that is a sum of many values.
const rounding = 1e-9

// parseShare parses a share such as 20% or 0.2; noLimit is infinite.
func parseShare(s string) (float64, error) {
	if s == noLimit {
		return math.Inf(1), nil
	}
	digits, isPercent := strings.CutSuffix(s, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if isPercent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, fmt.Errorf("%q is not a share; e.g. 20%% or 0.2", s)
	}
	return share, nil
}
