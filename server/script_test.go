package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"

	"meridian/config"
	"meridian/health"
	"meridian/pools"
	"meridian/server"
	"meridian/snapshot"
)

// TestScripts runs every testdata/*.txtar three times: in memory, over UDP and over TCP.
// testdata/README.md describes the language.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for _, way := range []string{"memory", "udp", "tcp"} {
			t.Run(name+"/"+way, func(t *testing.T) { runScript(t, file, way) })
		}
	}
}

// script is one run of one file.
type script struct {
	t        *testing.T
	file     string
	snapshot *snapshot.Snapshot
	server   *server.Server
	ask      func(query *dns.Msg, source netip.Addr) (*dns.Msg, error)
	stream   bool
}

func runScript(t *testing.T, file, way string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &script{t: t, file: file, stream: way == "tcp"}
	s.start(filepath.Join(dir, "meridian.yaml"), way)
	s.play(strings.Split(string(archive.Comment), "\n"))
}

// start builds the snapshot and sets s.ask for the transport.
func (s *script) start(file, way string) {
	cfg, _, err := config.Load(file)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Server.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	cfg.Server.Workers = 1
	if s.snapshot, _, err = snapshot.Build(cfg); err != nil {
		s.t.Fatal(err)
	}
	s.server = server.New(s.snapshot, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if way == "memory" {
		s.ask = s.askInMemory()
		return
	}
	if err := s.server.Listen(); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.ask = s.askOver(way)
}

func (s *script) askInMemory() func(*dns.Msg, netip.Addr) (*dns.Msg, error) {
	responder := s.server.Responder()
	return func(query *dns.Msg, source netip.Addr) (*dns.Msg, error) {
		packet, err := query.Pack()
		if err != nil {
			return nil, err
		}
		answer := new(dns.Msg)
		return answer, answer.Unpack(responder.Respond(nil, packet, source, false))
	}
}

// askOver uses one connection for each source: questions on separate connections could be
// answered by different responders, with other round-robin positions.
func (s *script) askOver(network string) func(*dns.Msg, netip.Addr) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: dns.MaxMsgSize}
	conns := map[netip.Addr]*dns.Conn{}
	return func(query *dns.Msg, source netip.Addr) (*dns.Msg, error) {
		conn := conns[source]
		if conn == nil {
			var local net.Addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
			if network == "tcp" {
				local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
			}
			c, err := (&net.Dialer{LocalAddr: local}).Dial(network, s.server.Addrs()[0].String())
			if err != nil {
				return nil, err
			}
			s.t.Cleanup(func() { c.Close() })
			conn = &dns.Conn{Conn: c, UDPSize: dns.MaxMsgSize}
			conns[source] = conn
		}
		answer, _, err := client.ExchangeWithConn(query, conn)
		return answer, err
	}
}

// play runs the commands one by one and compares the expected lines, after "> ", below each.
func (s *script) play(lines []string) {
	for i := 0; i < len(lines); i++ {
		words := strings.Fields(lines[i])
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		at, want := i+1, []string{}
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "> ") {
			want = append(want, strings.TrimPrefix(lines[i+1], "> "))
			i++
		}
		if err := s.command(words, want); err != nil {
			s.t.Errorf("%s:%d: %s: %v", s.file, at, strings.Join(words, " "), err)
		}
	}
}

func (s *script) command(words, want []string) error {
	switch words[0] {
	case "ask":
		return s.compare(words[1:], want)
	case "share":
		return s.share(words[1:], want)
	case "turn":
		return s.turn(words[1:])
	case "tick":
		return s.tick(words[1:])
	case "drain":
		return s.override(pools.Drained, words[1:])
	case "force-up":
		return s.override(pools.ForcedUp, words[1:])
	case "force-down":
		return s.override(pools.ForcedDown, words[1:])
	case "undo":
		return s.override(0, words[1:])
	}
	return fmt.Errorf("unknown command %q; ask, share, turn, tick, drain, force-up, force-down or undo", words[0])
}

// noon is the start time of scripts.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// turn sets the verdict of a member: turn POOL/MEMBER up|down [share=N] [at=DURATION]
// [family=ipv4|ipv6]
func (s *script) turn(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("want POOL/MEMBER and a verdict")
	}
	pool, member, _ := strings.Cut(words[0], "/")
	verdict, ok := map[string]health.Verdict{"up": health.Up, "down": health.Down}[words[1]]
	if !ok {
		return fmt.Errorf("%q is not a verdict", words[1])
	}
	turns, err := s.snapshot.Pools.SimulateVerdict(pool, member, verdict)
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		if key == "family" {
			turns = slices.DeleteFunc(turns, func(turn health.Transition) bool { return turn.Target.Addr.Is4() != (value == "ipv4") })
			continue
		}
		share, noShare := strconv.ParseUint(value, 10, 8)
		at, noTime := time.ParseDuration(value)
		for i := range turns {
			switch {
			case key == "share" && noShare == nil:
				turns[i].SlowStartWeight = uint8(share)
			case key == "at" && noTime == nil:
				turns[i].At = noon.Add(at)
			default:
				return fmt.Errorf("%q is none of share=1..255, at=DURATION and family=ipv4|ipv6", w)
			}
		}
	}
	s.snapshot.Pools.Apply(turns)
	return err
}

// tick advances the time to DURATION after noon.
func (s *script) tick(words []string) error {
	if len(words) != 1 {
		return fmt.Errorf("want a duration")
	}
	at, err := time.ParseDuration(words[0])
	s.snapshot.Pools.Tick(noon.Add(at))
	return err
}

// override adds an override of POOL/MEMBER, POOL or region:NAME; kind 0 removes all overrides.
func (s *script) override(kind pools.Kind, words []string) error {
	said := s.snapshot.Pools.Overrides()
	if kind == 0 {
		said = nil
	} else {
		if len(words) != 1 {
			return fmt.Errorf("want POOL/MEMBER, POOL or region:NAME")
		}
		o := pools.Override{Kind: kind}
		var isRegion bool
		if o.Region, isRegion = strings.CutPrefix(words[0], "region:"); !isRegion {
			o.Region = ""
			o.Pool, o.Member, _ = strings.Cut(words[0], "/")
		}
		said = append(slices.Clone(said), o)
	}
	if _, unknown := s.snapshot.Pools.SetOverrides(said); len(unknown) > 0 {
		return fmt.Errorf("there is nothing that %+v names", unknown)
	}
	return nil
}

// elsewhere reports whether the command is for a transport that this run does not use.
func (s *script) elsewhere(words []string) bool {
	for _, w := range words {
		if over, ok := strings.CutPrefix(w, "over="); ok {
			return over == "tcp" != s.stream
		}
	}
	return false
}

// compare queries once and compares the answer with the wanted lines.
func (s *script) compare(words, want []string) error {
	if s.elsewhere(words) {
		return nil
	}
	answer, query, err := s.exchange(words)
	if err != nil {
		return err
	}
	got := describe(answer)
	slices.Sort(got[1:])
	if len(want) > 0 {
		slices.Sort(want[1:])
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if answer.Question[0].Name != query.Question[0].Name {
		return fmt.Errorf("the question came back as %q", answer.Question[0].Name)
	}
	return nil
}

// share queries N times and compares the share of each address: lines of DATA LOW%..HIGH%
func (s *script) share(words, want []string) error {
	times, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	if s.elsewhere(words) {
		return nil
	}
	seen := map[string]int{}
	for range times {
		answer, _, err := s.exchange(words[1:])
		if err != nil {
			return err
		}
		for _, rr := range answer.Answer {
			seen[fieldsOf(rr)[4]]++
		}
	}
	for _, line := range want {
		var low, high float64
		end := max(0, strings.LastIndexByte(line, ' '))
		address, bounds := line[:end], strings.TrimSpace(line[end:])
		if _, err := fmt.Sscanf(bounds, "%f%%..%f%%", &low, &high); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		if share := 100 * float64(seen[address]) / float64(times); share < low || share > high {
			return fmt.Errorf("%s came in %.1f %% of the answers, want %s", address, share, bounds)
		}
		delete(seen, address)
	}
	if len(seen) > 0 {
		return fmt.Errorf("also came: %v", seen)
	}
	return nil
}

// exchange asks NAME TYPE [ecs=NETWORK] [source=ADDRESS] [size=BYTES] [edns] [do] [nsid] [zoneversion]
// [class=CH] [over=udp|tcp].
func (s *script) exchange(words []string) (answer, query *dns.Msg, err error) {
	query = new(dns.Msg)
	query.SetQuestion(words[0], recordType(words[1]))
	query.RecursionDesired = false
	source := netip.MustParseAddr("127.0.0.1")
	size := uint16(dns.DefaultMsgSize)
	if s.stream {
		size = dns.MaxMsgSize
	}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "ecs":
			addOption(query, size, clientSubnet(value))
		case "nsid":
			addOption(query, size, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		case "zoneversion":
			addOption(query, size, &dns.EDNS0_LOCAL{Code: dns.EDNS0ZONEVERSION})
		case "edns":
			query.SetEdns0(size, false)
		case "do":
			query.SetEdns0(size, true)
		case "size":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return nil, nil, err
			}
			query.SetEdns0(uint16(n), false)
		case "source":
			source = netip.MustParseAddr(value)
		case "over": // see elsewhere
		case "class":
			query.Question[0].Qclass = dns.StringToClass[value]
		default:
			return nil, nil, fmt.Errorf("unknown word %q", w)
		}
	}
	answer, err = s.ask(query, source)
	return answer, query, err
}

// recordType parses a type by its name or in the form of RFC 3597.
func recordType(s string) uint16 {
	if t, ok := dns.StringToType[s]; ok {
		return t
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "TYPE"), 10, 16)
	if err != nil {
		panic(err)
	}
	return uint16(n)
}

func addOption(query *dns.Msg, size uint16, option dns.EDNS0) {
	if query.IsEdns0() == nil {
		query.SetEdns0(size, false)
	}
	query.IsEdns0().Option = append(query.IsEdns0().Option, option)
}

func clientSubnet(network string) *dns.EDNS0_SUBNET {
	p := netip.MustParsePrefix(network)
	option := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
	if p.Addr().Is6() {
		option.Family = 2
	}
	return option
}

// describe writes an answer in the form of scripts: a header line, then a line for each record.
func describe(m *dns.Msg) []string {
	head := []string{dns.RcodeToString[m.Rcode]}
	if m.Authoritative {
		head = append(head, "aa")
	}
	if m.Truncated {
		head = append(head, "tc")
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			head = append(head, describeOption(option))
		}
	}
	lines := []string{strings.Join(head, " ")}
	for _, rr := range m.Answer {
		lines = append(lines, strings.Join(fieldsOf(rr), " "))
	}
	for _, rr := range m.Ns {
		lines = append(lines, "authority "+strings.Join(fieldsOf(rr), " "))
	}
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			lines = append(lines, "additional "+strings.Join(fieldsOf(rr), " "))
		}
	}
	return lines
}

func describeOption(option dns.EDNS0) string {
	switch o := option.(type) {
	case *dns.EDNS0_SUBNET:
		return fmt.Sprintf("ecs=%s/%d/%d", o.Address, o.SourceNetmask, o.SourceScope)
	case *dns.EDNS0_NSID:
		return "nsid=" + o.Nsid
	case *dns.EDNS0_EDE:
		return "ede=" + strconv.Itoa(int(o.InfoCode))
	case *dns.EDNS0_ZONEVERSION:
		return fmt.Sprintf("zoneversion=%d/%d/%x", o.LabelCount, o.Type, o.Version)
	}
	return "option=" + strconv.Itoa(int(option.Option()))
}

var blanks = regexp.MustCompile(`\s+`)

// fieldsOf returns the name, TTL, class, type and data of a record.
func fieldsOf(rr dns.RR) []string {
	return strings.SplitN(blanks.ReplaceAllString(rr.String(), " "), " ", 5)
}
