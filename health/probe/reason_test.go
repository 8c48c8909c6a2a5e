package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func TestReasonsOfErrors(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	sandboxed := func(call string, err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, err)}
	}
	cases := []struct {
		name   string
		err    error
		want   Outcome
		reason string
	}{
		{"refused", dial(syscall.ECONNREFUSED), Failed, "connect: connection refused"},
		{"unreachable", dial(syscall.ENETUNREACH), Failed, "connect: network is unreachable"},
		{"the dialer's own timeout", dial(os.ErrDeadlineExceeded), Failed, "timeout after 2s while testing"},
		{"the context's timeout", fmt.Errorf("dialling: %w", context.DeadlineExceeded), Failed, "timeout after 2s while testing"},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, Failed, "read: connection reset by peer while testing"},
		{"end", io.EOF, Failed, "connection closed while testing"},
		{"early end", fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), Failed, "connection closed while testing"},
		{"finding", errors.New("status 500, want 200"), Failed, "status 500, want 200"},
		{"finding with an escape sequence", errors.New("said \x1b[31m"), Failed, `said \x1b[31m`},
		{"no file descriptors", dial(syscall.EMFILE), Inconclusive, "this machine cannot probe: connect: too many open files"},
		{"no ports", dial(syscall.EADDRNOTAVAIL), Inconclusive, "this machine cannot probe: connect: cannot assign requested address"},
		{"no ports of a source address", dial(syscall.EADDRINUSE), Inconclusive, "this machine cannot probe: connect: address already in use"},
		{"a firewall of this machine", dial(syscall.EPERM), Inconclusive, "this machine cannot probe: connect: operation not permitted"},
		{"a firewall on the way", dial(syscall.EACCES), Failed, "connect: permission denied"},
		{"a sandbox without the family", sandboxed("socket", syscall.EAFNOSUPPORT), Inconclusive, "this machine cannot probe: socket: address family not supported by protocol"},
		{"a sandbox that forbids sockets", sandboxed("socket", syscall.EACCES), Inconclusive, "this machine cannot probe: socket: permission denied"},
		{"a source address of another machine", sandboxed("bind", syscall.EADDRNOTAVAIL), Inconclusive, "this machine cannot probe: bind: cannot assign requested address"},
		{"an interface that is off", dial(syscall.ENETDOWN), Inconclusive, "this machine cannot probe: connect: network is down"},
		{"no memory for sockets", dial(syscall.ENOBUFS), Inconclusive, "this machine cannot probe: connect: no buffer space available"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tr := &attempt{Check: &Check{check: tcpCheck()}, doing: "testing"}
			want(t, tr.result(t.Context(), "", c.err), c.want, c.reason)
		})
	}
}

func TestPrintable(t *testing.T) {
	long := strings.Repeat("é", maxReason)
	for in, want := range map[string]string{
		"status 200":    "status 200",
		"naïve – 東京":    "naïve – 東京",
		"a\x00b\nc\x7f": `a\x00b\nc\x7f`,
		"bad \xff utf8": `bad \xff utf8`,
		"\u202egnp.exe": `\u202egnp.exe`,
		long:            strings.Repeat("é", maxReason/2) + "...",
		"x" + long:      "x" + strings.Repeat("é", maxReason/2-1) + `\xc3...`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("status 500")
	f.Add("\x1b[31m\xff\xfe\u2028")
	f.Fuzz(func(t *testing.T, s string) { wantPrintable(t, Printable(s)) })
}

func wantPrintable(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || len(s) > 10*maxReason {
		t.Errorf("%q: %d bytes", s, len(s))
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			t.Errorf("%q holds %q", s, r)
		}
	}
}
