// Command forge measures what a server does to its clients during a flood of queries with forged sources:
//
//	forge -sources 100000 -seconds 5 -name text.gslb.example.com 192.0.2.53:53 [2001:db8:53::53]:53
//
// It floods, as fast as one core sends or at a rate, from one address in each of many networks: IPv4 /24 networks of 10.0.0.0/8, then
// IPv6 /48 networks of fd00::/16. Next to it, clients in flooded networks ask one query at a time: with a cookie, and without
// one, then over TCP if the answer is truncated. The flood is a second process of itself with
// ordinary priority, so that it does not delay the clients inside one Go scheduler, nor on the core if they have more. All sources must be local addresses of the system: see bench/forged.
//
// It prints one line: the rate of the flood, and of both kinds of clients the queries, the shares that were answered
// at the first attempt and at all, and the p50 and p99 latency in milliseconds.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
)

// mostSources is the number of networks that sources can be in.
const mostSources = networksIPv4 + networksIPv6

// options holds the command line.
type options struct {
	sources  int
	rate     int // forged queries a second; 0: as fast as possible
	duration time.Duration
	name     string
	only     bool             // flood, and have no clients
	servers  []netip.AddrPort // of IPv4 and of IPv6
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "forge:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("forge", flag.ContinueOnError)
	flags.IntVar(&o.sources, "sources", 100_000, "networks that the sources are in; 0: no flood")
	seconds := flags.Float64("seconds", 5, "how long to flood")
	flags.IntVar(&o.rate, "rate", 0, "forged queries a second; 0: as fast as one core sends")
	flags.StringVar(&o.name, "name", "text.gslb.example.com", "the name that all ask for, with a TXT record")
	flags.BoolVar(&o.only, "only", false, "only flood, without clients")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.duration = time.Duration(*seconds * float64(time.Second))
	if o.duration <= 0 || o.duration > 10*time.Minute {
		return o, fmt.Errorf("-seconds is %v, want up to 600", *seconds)
	}
	if o.sources < 0 || o.sources > mostSources {
		return o, fmt.Errorf("-sources is %d, want 0 to %d", o.sources, mostSources)
	}
	if o.rate < 0 {
		return o, fmt.Errorf("-rate is %d, want 0 or more", o.rate)
	}
	if flags.NArg() != 2 {
		return o, fmt.Errorf("want the IPv4 and the IPv6 ADDRESS:PORT of a server")
	}
	for i, text := range flags.Args() {
		at, err := netip.ParseAddrPort(text)
		if err != nil || at.Addr().Is4() != (i == 0) {
			return o, fmt.Errorf("%q is not the ADDRESS:PORT wanted: IPv4, then IPv6", text)
		}
		o.servers = append(o.servers, at)
	}
	return o, nil
}

// run measures once.
func run(o options, stdout io.Writer) error {
	if o.only {
		sent, err := flood(o)
		if err == nil {
			_, err = fmt.Fprintf(stdout, "flood_per_s %.0f", float64(sent)/o.duration.Seconds())
		}
		return err
	}
	clients, err := connect(o)
	if err != nil {
		return err
	}
	sent := new(strings.Builder)
	args := []string{"--other", "0", os.Args[0], "-only", "-rate", fmt.Sprint(o.rate), "-sources", fmt.Sprint(o.sources), "-seconds", fmt.Sprint(o.duration.Seconds()), "-name", o.name, o.servers[0].String(), o.servers[1].String()}
	flood := exec.Command("chrt", args...) //nolint:gosec // itself
	flood.Stdout, flood.Stderr = sent, os.Stderr
	if err := flood.Start(); err != nil {
		return err
	}
	time.Sleep(o.duration / 10) // until the flood is at its rate
	asked := ask(clients, o.duration*8/10)
	if err := flood.Wait(); err != nil {
		return fmt.Errorf("the process that floods: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "%s  %s  %s  tcp %d\n", sent, asked[withCookie].line("cookie"), asked[withoutCookie].line("plain"), asked[withoutCookie].overTCP)
	return err
}
