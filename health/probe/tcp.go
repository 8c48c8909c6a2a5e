package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// maxExpect is the part of an answer that a tcp check examines, in bytes.
const maxExpect = 16 << 10

// probeTCP passes if the peer accepts a connection and, if the check has send and expect, answers with a match.
func probeTCP(ctx context.Context, t *attempt) (string, error) {
	conn, hangUp, err := t.connect(ctx, "tcp", t.check.Port)
	if err != nil {
		return "", err
	}
	defer hangUp()
	if t.check.Send != "" {
		t.begin("request", "sending")
		traceData(t, t.check.Send)
		if _, err := io.WriteString(conn, t.check.Send); err != nil {
			return "", err
		}
	}
	if t.check.Expect == nil {
		return "connected", nil
	}
	return t.expect(conn)
}

// expect reads until the data matches. It checks after each read: a peer need not send more than the match, nor close the
// connection.
func (t *attempt) expect(conn net.Conn) (string, error) {
	want := t.check.Expect
	t.begin("response", fmt.Sprintf("waiting for an answer that matches %q", want))
	answer := make([]byte, 0, 512)
	for {
		if len(answer) == cap(answer) {
			answer = append(make([]byte, 0, min(2*cap(answer), maxExpect)), answer...)
		}
		n, err := conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		traceData(t, answer)
		if n > 0 && want.Match(answer) {
			return fmt.Sprintf("answer matches %q", want), nil
		}
		if err == nil && len(answer) == maxExpect {
			return "", fmt.Errorf("%d bytes of answer do not match %q; they begin %s", maxExpect, want, excerpt(string(answer)))
		}
		if errors.Is(err, io.EOF) && len(answer) > 0 {
			return "", fmt.Errorf("answer does not match %q; it is %s", want, excerpt(string(answer)))
		}
		if err != nil {
			if len(answer) > 0 {
				t.doing += ", after " + excerpt(string(answer))
			}
			return "", err
		}
	}
}
