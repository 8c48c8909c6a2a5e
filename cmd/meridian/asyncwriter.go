package main

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

const (
	asyncLines        = 4096        // maximum number of queued lines
	asyncFlushTimeout = time.Second // for the queue at the end
)

// asyncWriter queues lines for a stream that may block, such as a pipe without a
// reader: logging a health state change or an override must not wait for the log's
// reader. If the queue is full, it drops the line, and later writes the number of
// dropped lines. Its methods are safe for concurrent use.
type asyncWriter struct {
	to    io.Writer
	lines chan []byte
	lost  atomic.Uint64
	stop  chan struct{} // closed when no more lines come
	ended chan struct{} // closed when they are written
}

func newAsyncWriter(to io.Writer) *asyncWriter {
	s := &asyncWriter{to: to, lines: make(chan []byte, asyncLines), stop: make(chan struct{}), ended: make(chan struct{})}
	go s.run()
	return s
}

// Write queues a line, or drops it. It never waits and never fails.
func (s *asyncWriter) Write(line []byte) (int, error) {
	select {
	case s.lines <- slices.Clone(line):
	default:
		s.lost.Add(1)
	}
	return len(line), nil
}

// run writes queued lines until close, then the rest of the queue.
func (s *asyncWriter) run() {
	defer close(s.ended)
	for {
		select {
		case line := <-s.lines:
			s.pass(line)
			continue
		default:
		}
		select {
		case line := <-s.lines:
			s.pass(line)
		case <-s.stop:
			if len(s.lines) == 0 {
				return
			}
		}
	}
}

// pass writes a line, preceded by the number of lines dropped since the last one.
// It ignores write errors: there is no other stream to report them to.
func (s *asyncWriter) pass(line []byte) {
	if n := s.lost.Swap(0); n > 0 {
		fmt.Fprintf(s.to, "time=%s level=ERROR msg=\"log lines dropped: stderr was not read\" dropped=%d\n",
			time.Now().Format("2006-01-02T15:04:05.000Z07:00"), n)
	}
	s.to.Write(line) //nolint:errcheck // see above
}

// close waits until the queue is written, for asyncFlushTimeout at most. Lines written
// after close may be lost.
func (s *asyncWriter) close() {
	close(s.stop)
	select {
	case <-s.ended:
	case <-time.After(asyncFlushTimeout):
	}
}
