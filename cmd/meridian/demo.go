package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/control"
	"meridian/daemon"
	"meridian/health"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/snapshot"
	"meridian/telemetry"
)

//go:embed demo.yaml
var demoTemplate string

// demoPorts are the ports of the demo; 0 selects a free one.
type demoPorts struct{ DNS, HTTP, Admin int }

// demoHelp is the text of --help of meridian demo.
const demoHelp = `Demo serves the zone gslb.example.com from five regions on 127.0.0.1, with real web servers on
127.0.0.x as their endpoints, each probed once a second, and the built-in geo table. It prints
example dig queries, how to break a region and how to drain a member, then a line for each health
state change.
It needs no root, no file and no network. Stop it with Ctrl-C.

Exit: 0; 2 when a port is taken or 127.0.0.x cannot be bound (macOS: sudo ifconfig lo0 alias 127.0.0.11 ...).`

func demoCommand() *cobra.Command {
	ports := demoPorts{DNS: 5300, HTTP: 8080, Admin: 8053}
	var printConfig bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a demo setup on loopback, nothing to install",
		Long:  demoHelp,
		Example: `  meridian demo
  meridian demo --dns-port 5353 --http-port 8088
  meridian demo --print-config > meridian.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if printConfig {
				_, err := c.OutOrStdout().Write(demoConfig(ports))
				return err
			}
			return demo(c.Context(), ports, c.OutOrStdout())
		},
	}
	c.Flags().IntVar(&ports.DNS, "dns-port", ports.DNS, "UDP and TCP `port` on 127.0.0.1; 0: any free one")
	c.Flags().IntVar(&ports.HTTP, "http-port", ports.HTTP, "TCP `port` of the endpoints; 0: any free one")
	c.Flags().IntVar(&ports.Admin, "admin-port", ports.Admin, "TCP `port` of the API on 127.0.0.1; 0: any free one")
	c.Flags().BoolVar(&printConfig, "print-config", false, "print the demo's configuration and exit")
	return c
}

// demoConfig returns the demo's configuration, as a user would write it.
func demoConfig(ports demoPorts) []byte {
	var b bytes.Buffer
	if err := template.Must(template.New("demo.yaml").Parse(demoTemplate)).Execute(&b, ports); err != nil {
		panic(err) // the template is embedded, so this is a bug
	}
	return b.Bytes()
}

func demo(ctx context.Context, ports demoPorts, stdout io.Writer) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	if err := ports.valid(); err != nil {
		return err
	}
	addresses, err := demoAddresses(ports)
	if err != nil {
		return err
	}
	web, port, err := listenEndpoints(addresses, ports.HTTP)
	if err != nil {
		return &exitError{code: exitBind, err: fmt.Errorf("%w; --http-port takes another port", err)}
	}
	defer web.close()
	ports.HTTP = port
	if ports.Admin == 0 {
		if ports.Admin, err = freePort(); err != nil {
			return &exitError{code: exitBind, err: err}
		}
	}
	cfg, _, err := config.Parse("demo.yaml", demoConfig(ports))
	if err != nil {
		return err
	}
	web.serve(cfg)
	w := &demoWorld{cfg: cfg, ports: ports, out: stdout}
	metrics := telemetry.New(telemetry.Options{Version: buildVersion()})
	l := daemon.Daemon{
		Load:         w.load,
		Ready:        w.introduce,
		OnTransition: w.onTransition,
		Admin:        adminHandler(metrics),
		Observer:     metrics.Observer(),
		Logger:       slog.New(slog.DiscardHandler),
	}
	err = l.Run(ctx)
	var bind *daemon.BindError
	if errors.As(err, &bind) {
		err = &daemon.BindError{Err: fmt.Errorf("%w; --dns-port and --admin-port take other ports", bind.Err)}
	}
	return exitCode(err)
}

func (p demoPorts) valid() error {
	for _, f := range [...]struct {
		flag string
		port int
	}{{"--dns-port", p.DNS}, {"--http-port", p.HTTP}, {"--admin-port", p.Admin}} {
		if f.port < 0 || f.port > 65535 {
			return fmt.Errorf("%s: %d is not a port; 1 to 65535, or 0 for any free one", f.flag, f.port)
		}
	}
	return nil
}

// freePort returns a TCP port of 127.0.0.1 that nothing listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// demoAddresses returns the addresses of the demo's endpoints, in order.
func demoAddresses(ports demoPorts) ([]netip.Addr, error) {
	if ports.HTTP == 0 {
		ports.HTTP = 1 // any valid one: only the addresses are read
	}
	cfg, _, err := config.Parse("demo.yaml", demoConfig(ports))
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for a := range regionsByAddress(cfg) {
		addresses = append(addresses, a)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses, nil
}

// demoWorld is the running demo and its output.
type demoWorld struct {
	cfg      *config.Config
	ports    demoPorts
	out      io.Writer
	snapshot *snapshot.Snapshot
}

func (w *demoWorld) load(builder snapshot.Builder) (*snapshot.Snapshot, error) {
	snapshot, _, err := builder(w.cfg)
	w.snapshot = snapshot
	return snapshot, err
}

// visitors are networks with a country in the built-in table.
var visitors = [...]struct{ network, where string }{
	{"128.112.0.0/16", "United States"},
	{"200.160.0.0/20", "Brazil"},
	{"81.2.69.0/24", "United Kingdom"},
	{"103.21.124.0/22", "India"},
	{"133.11.0.0/16", "Japan"},
}

// introduce prints example commands. The function that serves computes the answers shown,
// from the current health states.
func (w *demoWorld) introduce(listen []netip.AddrPort) {
	at := listen[0]
	fmt.Fprintf(w.out, "meridian serves gslb.example.com on %s, five regions, each endpoint probed every second\n\n", at)
	fmt.Fprintln(w.out, "Query as a client elsewhere; the nearest healthy region answers:")
	for _, v := range visitors {
		fmt.Fprintf(w.out, "  dig @%s -p %d www.gslb.example.com +short +subnet=%-18s # %s: %s\n",
			at.Addr(), at.Port(), v.network, v.where, w.answer(v.network))
	}
	fmt.Fprintln(w.out, "\nOther policies:")
	for _, n := range [...]struct{ name, what string }{
		{"canary", "weighted: one answer in ten is 127.0.0.12"},
		{"rotation", "round-robin over three"},
		{"standby", "failover: 127.0.0.31 while it is up, else 127.0.0.11"},
	} {
		fmt.Fprintf(w.out, "  dig @%s -p %d %s.gslb.example.com +short  # %s\n", at.Addr(), at.Port(), n.name, n.what)
	}
	ireland := netip.MustParseAddr("127.0.0.31")
	fmt.Fprintf(w.out, "\nBreak all of eu-west, ask again two seconds later, repair it:\n  curl %s\n  curl %s\n\n",
		endpointURL(ireland, w.ports.HTTP, "/break"), endpointURL(ireland, w.ports.HTTP, "/repair"))
	url := fmt.Sprintf("http://127.0.0.1:%d", w.ports.Admin)
	fmt.Fprintf(w.out, "Drain the member in Tokyo, and see what the server does:\n  meridian drain nearest/apn-1 --for 10m%s\n  meridian status%[1]s\n\n", serverArgument(url))
	fmt.Fprintf(w.out, "The dashboard: where clients go, why, and what an outage would do:\n  %s/\n\n", url)
	fmt.Fprintln(w.out, "Health state changes (Ctrl-C stops):")
}

// serverArgument returns the flag that makes a command call the server at url.
func serverArgument(url string) string {
	if url == defaultServer {
		return ""
	}
	return " --server " + url
}

// answer returns the region to which www sends a network, and its addresses.
func (w *demoWorld) answer(network string) string {
	e := control.Explain(w.snapshot, answer.ExplainQuery{Name: "www.gslb.example.com.", Type: dns.TypeA, Client: netip.MustParsePrefix(network)})
	if len(e.Answers) == 0 {
		return e.Rcode
	}
	regions := regionsByAddress(w.cfg)
	region := regions[netip.MustParseAddr(e.Answers[0].Data)]
	var addresses []string
	for _, m := range w.cfg.Pools[0].Members { // nearest
		if m.Region == region {
			addresses = append(addresses, m.Addresses[0].String())
		}
	}
	return region + ", " + strings.Join(addresses, " or ")
}

// onTransition prints a line for each health state change, except the first state of each target.
func (w *demoWorld) onTransition(turns []health.Transition, _ *pools.Tree) {
	regions := regionsByAddress(w.cfg)
	for _, t := range turns {
		if t.From != health.Unknown && t.From != t.To {
			fmt.Fprintf(w.out, "%s  %-12s %s is %s: %s\n", t.At.Format(time.TimeOnly), regions[t.Target.Addr], t.Target.Addr, t.To, t.Reason)
		}
	}
}
