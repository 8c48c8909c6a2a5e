package dnstap

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// connectTimeout limits connecting and the handshake.
	connectTimeout = 2 * time.Second
	// writeTimeout is how long a reader may take no data before it counts as stalled.
	writeTimeout = time.Second
	// finishTimeout is how long Close waits for the reader to have read everything.
	finishTimeout = time.Second
	// The pauses between attempts to connect double from the first to the last.
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
	// bufferSize is the amount of frames written at once.
	bufferSize = 64 << 10
	// renameCheck is the interval at which a file is checked for having been renamed or removed.
	renameCheck = 10 * time.Second
)

// Destination is where messages are written to.
type Destination struct {
	Network string // unix, tcp or file
	Address string // the path of a socket or a file, or HOST:PORT
}

func (t Destination) String() string { return t.Network + ":" + t.Address }

// Sink delivers messages to a destination.
type Sink struct {
	to  Destination
	log *slog.Logger
	// connect opens the destination, up to and with START.
	connect func() (io.WriteCloser, error)

	stream   io.WriteCloser // nil: not connected
	buffer   []byte         // frames to be written
	buffered uint64         // messages in buffer
	frame    []byte
	inner    []byte

	attempt time.Time     // earliest time of the next attempt to connect
	pause   time.Duration // after a failed attempt
	failing bool          // logged
	checked time.Time     // when a file was last checked for a new name

	delivered, lost atomic.Uint64
	lostBefore      uint64 // the losses that were logged
}

// NewSink returns a sink that connects at the first message.
func NewSink(to Destination, log *slog.Logger) *Sink {
	s := &Sink{to: to, log: log, pause: firstPause}
	s.connect = s.open
	return s
}

// Lost returns how many messages could not be delivered.
func (s *Sink) Lost() uint64 { return s.lost.Load() }

// Delivered returns how many messages were written to the destination.
func (s *Sink) Delivered() uint64 { return s.delivered.Load() }

// Write adds a message to the buffer. It is lost if there is no connection.
func (s *Sink) Write(m *Message) {
	if s.stream == nil && !s.reconnect() {
		s.lost.Add(1)
		return
	}
	s.frame, s.inner = m.append(s.frame[:0], s.inner)
	s.buffer = appendFrame(s.buffer, s.frame)
	s.buffered++
	if len(s.buffer) >= bufferSize {
		s.Flush()
	}
}

// Flush writes the buffer. After an error, its messages are lost and the next message connects again.
func (s *Sink) Flush() {
	if s.stream == nil {
		return
	}
	if len(s.buffer) > 0 {
		s.setDeadline(writeTimeout)
		if _, err := s.stream.Write(s.buffer); err != nil {
			s.fail(err)
			return
		}
		s.delivered.Add(s.buffered)
		s.buffer, s.buffered = s.buffer[:0], 0
	}
	s.followRename()
}

// Reopen follows a renamed file at once, and lets the next message connect at once after an error.
func (s *Sink) Reopen() {
	s.checked, s.attempt = time.Time{}, time.Time{}
	s.Flush()
}

// Close writes the buffer, ends the stream and closes it.
func (s *Sink) Close() {
	s.Flush()
	if s.stream == nil {
		return
	}
	s.setDeadline(finishTimeout)
	_, _ = s.stream.Write(appendControl(nil, stop)) // the reader has got all messages, or it never will
	if peer, ok := s.stream.(io.Reader); ok && s.to.Network != "file" {
		_ = readControl(peer, finish)
	}
	_ = s.stream.Close()
	s.stream = nil
}

// reconnect connects if it is time to, and reports whether there is a connection.
func (s *Sink) reconnect() bool {
	now := time.Now()
	if now.Before(s.attempt) {
		return false
	}
	stream, err := s.connect()
	if err != nil {
		s.fail(err)
		return false
	}
	s.stream, s.pause, s.checked = stream, firstPause, now
	if s.failing {
		s.log.Info("query log destination reached again", "destination", s.to.String(), "lost", s.lost.Load()-s.lostBefore)
	}
	s.failing, s.lostBefore = false, s.lost.Load()
	return true
}

// fail closes the stream after an error. It logs the first error in a row.
func (s *Sink) fail(err error) {
	if s.stream != nil {
		_ = s.stream.Close()
	}
	s.stream = nil
	s.lost.Add(s.buffered)
	s.buffer, s.buffered = s.buffer[:0], 0
	s.attempt = time.Now().Add(s.pause)
	s.pause = min(2*s.pause, lastPause)
	if !s.failing {
		s.log.Warn("query log destination failed; queries are not logged until it works", "destination", s.to.String(), "error", describe(err))
	}
	s.failing = true
}

// describe returns an error in words; a timeout means that the reader is stalled.
func describe(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "the reader takes no data"
	}
	return err.Error()
}

// setDeadline limits the next operations of a connection.
func (s *Sink) setDeadline(limit time.Duration) {
	if conn, ok := s.stream.(net.Conn); ok {
		_ = conn.SetDeadline(time.Now().Add(limit)) // fails only if closed, as Write will
	}
}

// open connects to the destination.
func (s *Sink) open() (io.WriteCloser, error) {
	if s.to.Network == "file" {
		return openFile(s.to.Address)
	}
	conn, err := net.DialTimeout(s.to.Network, s.to.Address, connectTimeout)
	if err != nil {
		return nil, err
	}
	return greet(conn)
}

// greet performs the handshake on a new connection.
func greet(conn net.Conn) (io.WriteCloser, error) {
	_ = conn.SetDeadline(time.Now().Add(connectTimeout)) // fails only if closed
	if err := handshake(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// followRename opens a file again after it was renamed or removed, as log rotation does.
func (s *Sink) followRename() {
	now := time.Now()
	f, ok := s.stream.(*os.File)
	if !ok || now.Sub(s.checked) < renameCheck {
		return
	}
	s.checked = now
	if Moved(f, s.to.Address) {
		s.Close()
	}
}

// Moved reports whether another file, or none, is at the path of an open file.
func Moved(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return true
	}
	present, err := os.Stat(path)
	return err != nil || !os.SameFile(opened, present)
}
