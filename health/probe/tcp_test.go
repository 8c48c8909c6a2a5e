package probe

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

func TestTCPProbeReasons(t *testing.T) {
	expect := func(re string) func(*config.Check) {
		return func(c *config.Check) { c.Expect = regexp.MustCompile(re) }
	}
	hurried := func(change func(*config.Check)) func(*config.Check) {
		return func(c *config.Check) { change(c); hurry(c) }
	}
	sayFirst := func(text string) func(net.Conn) {
		return func(conn net.Conn) { io.WriteString(conn, text) }
	}
	cases := []struct {
		name   string
		handle func(net.Conn)
		change func(*config.Check)
		want   Outcome
		reason string
	}{
		{name: "accepts", handle: silent, want: Passed, reason: "connected"},
		{name: "greets as expected and waits", handle: then(sayFirst("220 ready\r\n"), silent), change: expect("^220 "), want: Passed, reason: `answer matches "^220 "`},
		{name: "greets in pieces", handle: then(sayFirst("22"), sayFirst("0 ready"), silent), change: expect("^220 "), want: Passed, reason: `answer matches "^220 "`},
		{name: "another greeting, then closes", handle: sayFirst("554 no\n"), change: expect("^220 "), want: Failed, reason: `answer does not match "^220 "; it is "554 no\n"`},
		{name: "greets otherwise and waits", handle: then(sayFirst("554 no"), silent), change: hurried(expect("^220 ")), want: Failed, reason: `timeout after 750ms while waiting for an answer that matches "^220 ", after "554 no"`},
		{name: "hangs", handle: silent, change: hurried(expect("x")), want: Failed, reason: `timeout after 750ms while waiting for an answer that matches "x"`},
		{name: "drips", handle: drips("z"), change: hurried(expect("x")), want: Failed},
		{name: "closes", handle: func(net.Conn) {}, change: expect("x"), want: Failed, reason: `connection closed while waiting for an answer that matches "x"`},
		{
			name: "resets", handle: then(func(conn net.Conn) { conn.Read(make([]byte, 1)) }, resets), want: Failed,
			reason: `read: connection reset by peer while waiting for an answer that matches "x"`,
			change: func(c *config.Check) { c.Send, c.Expect = "?", regexp.MustCompile("x") },
		},
		{name: "never ends", handle: endless(strings.Repeat("z", 4096)), change: expect("x"), want: Failed, reason: `16384 bytes of answer do not match "x"; they begin "` + strings.Repeat("z", maxExcerpt) + `"...`},
		{
			name: "answers what it was sent", handle: func(conn net.Conn) { io.Copy(conn, conn) }, want: Passed, reason: `answer matches "^PING$"`,
			change: func(c *config.Check) { c.Send, c.Expect = "PING", regexp.MustCompile("^PING$") },
		},
		{
			name: "takes what it is sent, and nothing is expected", handle: silent, want: Passed, reason: "connected",
			change: func(c *config.Check) { c.Send = "QUIT\r\n" },
		},
		{
			name: "reads nothing", handle: func(conn net.Conn) { <-time.After(2 * shortTimeout) }, want: Failed, reason: "timeout after 750ms while sending",
			change: func(c *config.Check) { c.Send, c.Timeout = strings.Repeat("x", 16<<20), shortTimeout },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, c.handle)
			check := tcpCheck()
			check.Timeout = 5 * time.Second
			check.Port = int(e.Port())
			if c.change != nil {
				c.change(check)
			}
			r := probeOnce(t, *check, e)
			if c.reason == "" {
				c.reason = r.Reason // any
			}
			want(t, r, c.want, c.reason)
		})
	}
}

// FuzzTCPAnswer compares the piecewise matching with a match of the whole answer: it either matches at some point or fails.
func FuzzTCPAnswer(f *testing.F) {
	f.Add([]byte("220 ready\r\n"))
	f.Add([]byte{})
	f.Add([]byte("\xff\x00\x1b]0;x\x07"))
	check := tcpCheck()
	check.Expect = regexp.MustCompile("o[^x]*k")
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := probePiped(t, *check, answer)
		matches := check.Expect.Match(answer[:min(len(answer), maxExpect)])
		if (r.Outcome == Passed) != matches {
			t.Errorf("%v: %s, but a match of the whole is %v", r.Outcome, r.Reason, matches)
		}
		wantPrintable(t, r.Reason)
	})
}

// probePiped probes a peer that sends the given bytes, then closes.
func probePiped(t *testing.T, check config.Check, answer []byte) Result {
	t.Helper()
	c, flaws := New(&check)
	if len(flaws) > 0 {
		t.Fatal(flaws)
	}
	dial := func(context.Context, netip.Addr, string, string) (net.Conn, error) {
		return &canned{answer: answer}, nil
	}
	r, _ := c.Probe(t.Context(), netip.MustParseAddr("192.0.2.1"), dial, slog.New(slog.DiscardHandler))
	return r
}

// canned is a connection with a fixed answer.
type canned struct {
	net.Conn
	answer []byte
}

func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) Close() error                { return nil }

func (c *canned) Read(p []byte) (int, error) {
	if len(c.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.answer)
	c.answer = c.answer[n:]
	return n, nil
}
