package main

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

const (
	asyncLines        = 4096        // that wait, at most
	asyncFlushTimeout = time.Second // for what waits at the end
)

// asyncWriter writes what it is given to a stream that may take it late or never, such as
// a pipe that nobody reads: whoever logs, be it a verdict that turned or an
// operator's word, must not wait for whoever reads the log. What finds no room is
// dropped, and counted in a line of its own when there is room again. Its methods
// are safe for concurrent use.
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

// Write takes a line, or drops it. It never waits and never fails.
func (s *asyncWriter) Write(line []byte) (int, error) {
	select {
	case s.lines <- slices.Clone(line):
	default:
		s.lost.Add(1)
	}
	return len(line), nil
}

// run writes lines until close, then those that are left.
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

// pass writes a line, and before it how many were dropped while the one before
// it was being written. A stream that takes nothing has nobody to tell.
func (s *asyncWriter) pass(line []byte) {
	if n := s.lost.Swap(0); n > 0 {
		fmt.Fprintf(s.to, "time=%s level=ERROR msg=\"log lines dropped: stderr was not read\" dropped=%d\n",
			time.Now().Format("2006-01-02T15:04:05.000Z07:00"), n)
	}
	s.to.Write(line) //nolint:errcheck // see above
}

// close waits until what was taken is written, for spoolEnd at most. Nothing that
// is to be seen is written after it.
func (s *asyncWriter) close() {
	close(s.stop)
	select {
	case <-s.ended:
	case <-time.After(asyncFlushTimeout):
	}
}
