package server

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// TestAcceptErrorsAreRetriedWithBackOff lets accepting fail as it does without a free file
// descriptor: it is tried again, ever more slowly, and logged at the beginning and the end.
func TestAcceptErrorsAreRetriedWithBackOff(t *testing.T) {
	var log bytes.Buffer
	s := New(answertest.World(t), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	l, at, err := s.listenTCP(handover.TCP, s.Settings().Listen[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.listener.Close()
	client, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.next()
	if err != nil {
		t.Fatal(err)
	}
	const failures = 20
	synctest.Test(t, func(t *testing.T) {
		l.closing, l.done = make(chan struct{}), make(chan struct{})
		l.conns.close(func(*openConn) {}) // the accepted connection is closed at once
		var attempts []time.Time
		l.next = func() (*net.TCPConn, error) {
			switch attempts = append(attempts, time.Now()); {
			case len(attempts) <= failures:
				return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
			case len(attempts) == failures+1:
				return conn, nil
			}
			return nil, net.ErrClosed
		}
		l.run()
		for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			if got := attempts[i+1].Sub(attempts[i]); got != want*time.Millisecond {
				t.Errorf("pause %d is %v, want %v", i, got, want*time.Millisecond)
			}
		}
	})
	if got := s.Counters().Connections[answer.TCP].AcceptErrors; got != failures {
		t.Errorf("%d counted, want %d", got, failures)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "too many open files") || !strings.Contains(log.String(), `msg="TCP connections are accepted again"`) {
		t.Errorf("log of %d lines:\n%s", n, log.String())
	}
}
