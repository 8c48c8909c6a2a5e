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
	"unicode/utf8"
)

// The maximum number of bytes of a peer's data in a reason, and of a reason in all.
const (
	maxExcerpt = 80
	maxReason  = 300
)

// result converts the end of an attempt to an outcome and its reason.
func (t *attempt) result(ctx context.Context, evidence string, err error) Result {
	switch {
	case err == nil:
		return Result{Outcome: Passed, Reason: Printable(evidence)}
	case isLocal(err):
		return Result{Outcome: Inconclusive, Reason: Printable("this machine cannot probe: " + t.reason(ctx, err))}
	}
	return Result{Outcome: Failed, Reason: Printable(t.reason(ctx, err)), TimedOut: timedOut(ctx, err)}
}

// reason describes in a sentence why an attempt ended with err.
func (t *attempt) reason(ctx context.Context, err error) string {
	if timedOut(ctx, err) {
		return fmt.Sprintf("timeout after %v while %s", t.check.Timeout, t.doing)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return "connection closed while " + t.doing
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		return err.Error()
	}
	if op.Op == "dial" {
		return op.Err.Error() // e.g. connect: connection refused
	}
	return op.Err.Error() + " while " + t.doing // e.g. read: connection reset by peer while ...
}

// timedOut reports whether err is the end of the check's timeout. The dialer's own clock may be slightly ahead of the
// context's, so both count.
func timedOut(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, os.ErrDeadlineExceeded)
}

// excerpt quotes the beginning of a peer's data.
func excerpt(data string) string { return excerptOf(data, maxExcerpt) }

// excerptOf quotes at most that many bytes of data.
func excerptOf(data string, most int) string {
	if len(data) <= most {
		return strconv.Quote(data)
	}
	return strconv.Quote(data[:most]) + "..."
}

// Printable limits s to maxReason bytes and escapes control characters: peers choose part of a reason, and reasons go to
// logs and terminals.
func Printable(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason] + "..."
	}
	clean := func(r rune) bool { return r != utf8.RuneError && strconv.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if clean(r) {
			b.WriteRune(r)
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		quoted := strconv.Quote(s[i : i+size])
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
