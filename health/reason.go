package health

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

// The most bytes of what a peer sent that a reason quotes, and of a reason in all.
const (
	maxExcerpt = 80
	maxReason  = 300
)

// result is the outcome of a trial and its reason.
func (t *attempt) result(ctx context.Context, evidence string, err error) Result {
	switch {
	case err == nil:
		return Result{Outcome: Passed, Reason: printable(evidence)}
	case isLocal(err):
		return Result{Outcome: Inconclusive, Reason: printable("this machine cannot probe: " + t.reason(ctx, err))}
	}
	return Result{Outcome: Failed, Reason: printable(t.reason(ctx, err))}
}

// reason says in a sentence why a trial ended with err.
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

// timedOut reports whether err came of the end of the check's time. The
// dialer's own clock may be a moment ahead of the context's, so both count.
func timedOut(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, os.ErrDeadlineExceeded)
}

// excerpt quotes the beginning of what a peer sent.
func excerpt(data string) string { return excerptOf(data, maxExcerpt) }

// excerptOf quotes at most so many bytes of data.
func excerptOf(data string, most int) string {
	if len(data) <= most {
		return strconv.Quote(data)
	}
	return strconv.Quote(data[:most]) + "..."
}

// printable is s cut to maxReason bytes and without control characters: peers
// choose part of what a reason says, and reasons go to logs and terminals.
func printable(s string) string {
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
