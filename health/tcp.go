package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// maxExpect is how much of an answer a tcp check looks at, in bytes.
const maxExpect = 16 << 10

// probeTCP passes when the peer accepts a connection and, where the check
// expects something, says it after it was sent what the check sends.
func probeTCP(ctx context.Context, t *attempt) (string, error) {
	conn, hangUp, err := t.connect(ctx, "tcp", t.check.Port)
	if err != nil {
		return "", err
	}
	defer hangUp()
	if t.check.Send != "" {
		t.doing = "sending"
		if _, err := io.WriteString(conn, t.check.Send); err != nil {
			return "", err
		}
	}
	if t.check.Expect == nil {
		return "connected", nil
	}
	return t.expect(conn)
}

// expect reads until what came matches. It looks again after each read: a peer
// that has said enough need not say more, nor hang up.
func (t *attempt) expect(conn net.Conn) (string, error) {
	want := t.check.Expect
	t.doing = fmt.Sprintf("waiting for an answer that matches %q", want)
	answer := make([]byte, 0, 512)
	for {
		if len(answer) == cap(answer) {
			answer = append(make([]byte, 0, min(2*cap(answer), maxExpect)), answer...)
		}
		n, err := conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
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
