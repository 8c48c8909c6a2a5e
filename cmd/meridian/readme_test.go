package main

import (
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// onLoopback replaces the addresses of a documented configuration with loopback ones.
var onLoopback = strings.NewReplacer(
	"127.0.0.1:5300", "127.0.0.1:0",
	"192.0.2.", "127.0.2.",
	"198.51.100.", "127.51.100.",
	"2001:db8:1::10", "::1",
	"2001:db8:2::10", "::1",
)

// TestReadme runs every command of the README, and compares the output with the README.
// .ci/run runs the `go test` line.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	r := &readme{t: t}
	blocks := regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	for _, block := range blocks {
		switch block[1] {
		case "yaml":
			if err := os.WriteFile("meridian.yaml", []byte(strings.ReplaceAll(onLoopback.Replace(block[2]), "127.0.0.1:8053", "127.0.0.1:0")), 0o600); err != nil {
				t.Fatal(err)
			}
		case "console":
			r.play(strings.Split(block[2], "\n"))
		default:
			t.Errorf("a block in %q: nothing runs it", block[1])
		}
	}
	if r.ran < 9 {
		t.Errorf("only %d commands were found", r.ran)
	}
}

type readme struct {
	t        *testing.T
	ran      int
	dns, web string // the listeners of the demo, ADDRESS:PORT and :PORT
	api      string // of the server, a URL
}

// play runs the lines that begin with "$ " and compares their output with the lines below.
func (r *readme) play(lines []string) {
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		r.ran++
		command, _, _ = strings.Cut(command, "#")
		want := ""
		if !strings.HasPrefix(lines[i+1], "$ ") {
			want = lines[i+1]
		}
		r.run(strings.Fields(command), want)
	}
}

func (r *readme) run(argv []string, want string) {
	r.t.Helper()
	switch argv[0] {
	case "go":
		if argv[1] == "run" {
			r.demo(argv[3:])
		}
	case "dig":
		r.dig(argv[1:], want)
	case "curl":
		r.curl(strings.Replace(argv[1], ":8080", r.web, 1))
	case "meridian":
		r.meridian(argv[1:])
	default:
		r.t.Errorf("%v: nothing runs it", argv)
	}
}

func (r *readme) demo(args []string) {
	stdout, _ := background(r.t, append(args, "--dns-port", "0", "--http-port", "0", "--admin-port", "0")...)
	stdout.await(r.t, "Health state changes")
	r.dns = stdout.await(r.t, `gslb.example.com on (\S+),`)[1]
	r.web = stdout.await(r.t, `curl http://[\d.]+(:\d+)/`)[1]
}

// dig queries as `dig NAME +subnet=NETWORK` does, until the answer is the one shown.
func (r *readme) dig(args []string, want string) {
	r.t.Helper()
	m := new(dns.Msg)
	for _, arg := range args {
		if subnet, ok := strings.CutPrefix(arg, "+subnet="); ok {
			p := netip.MustParsePrefix(subnet)
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{
				Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice(),
			}}
		} else if strings.HasSuffix(arg, ".com") {
			m.Question = []dns.Question{{Name: arg + ".", Qtype: dns.TypeA, Qclass: dns.ClassINET}}
		}
	}
	got := ""
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		answer, err := counterpart.Exchange(m, r.dns)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(answer.Answer) == 1 {
			got = answer.Answer[0].(*dns.A).A.String()
		}
		if got == want {
			return
		}
	}
	r.t.Errorf("dig %v: got %q, want %q", args, got, want)
}

func (r *readme) curl(url string) {
	r.t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		r.t.Errorf("curl %s: %s", url, answer.Status)
	}
}

func (r *readme) meridian(args []string) {
	r.t.Helper()
	if args[0] == "serve" {
		_, stderr := background(r.t, args...)
		r.api = "http://" + stderr.await(r.t, `msg=serving.* admin=(\S+)`)[1]
		return
	}
	if isAPICommand := args[0] == "status" || args[0] == "drain"; isAPICommand {
		args = append(args, "--server", r.api)
	}
	var stdout, stderr transcript
	if code := run(r.t.Context(), args, &stdout, &stderr); code != exitOK {
		r.t.Errorf("meridian %v: exit %d\n%s", args, code, stderr.String())
	}
}
