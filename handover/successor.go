package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// message is what the two processes send each other, in this order:
//
//	successor     loaded    it has loaded the configuration, and needs the state
//	predecessor   state     it changes nothing any more until the outcome
//	successor     ready     it answers queries
//	predecessor   ended     it is about to end, and the service manager knows the successor
//
// Instead of loaded or ready, the successor sends why it failed.
type message struct {
	Loaded *Loaded         `json:"loaded,omitempty"`
	State  json.RawMessage `json:"state,omitempty"`
	Ready  bool            `json:"ready,omitempty"`
	Ended  bool            `json:"ended,omitempty"`
	Failed string          `json:"failed,omitempty"`
}

// Loaded describes a successor that has loaded its configuration.
type Loaded struct {
	Version string `json:"version"`
	Hash    string `json:"hash"` // of the configuration
}

// Successor is a process that this one has started to take its place.
type Successor struct {
	channel     net.Conn
	connections *net.UnixConn
	in          *json.Decoder
	command     *exec.Cmd
	ended       chan struct{} // closed when the process has ended
	ending      error         // how; set before ended is closed
}

// Start starts program with the arguments of this process, and passes the sockets.
func Start(program string, sockets []Open) (*Successor, error) {
	ours, theirs, err := channel(false)
	if err != nil {
		return nil, err
	}
	connections, receiver, err := channel(true)
	if err != nil {
		closeAll([]*os.File{theirs})
		return nil, errors.Join(err, ours.Close())
	}
	files, err := duplicateAll(sockets)
	files = append([]*os.File{theirs, receiver}, files...)
	defer closeAll(files)
	s := &Successor{channel: ours, connections: connections, in: json.NewDecoder(ours), ended: make(chan struct{})}
	if err == nil {
		err = s.start(program, describe(sockets), files)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// duplicateAll returns a descriptor for each socket, also with an error.
func duplicateAll(sockets []Open) (files []*os.File, err error) {
	for _, s := range sockets {
		for _, conn := range s.Conns {
			file, err := duplicate(conn)
			if err != nil {
				return files, fmt.Errorf("descriptor of %s %s for the new process: %w", s.Use, s.Address, err)
			}
			files = append(files, file)
		}
	}
	return files, nil
}

// start starts the process with these descriptors.
func (s *Successor) start(program string, m *manifest, files []*os.File) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	s.command = exec.Command(program, os.Args[1:]...)
	s.command.Args[0] = os.Args[0]
	s.command.Env = append(inheritable(os.Environ()), variable+"="+string(text))
	s.command.Stdin, s.command.Stdout, s.command.Stderr = os.Stdin, os.Stdout, os.Stderr
	s.command.ExtraFiles = files
	if err := s.command.Start(); err != nil {
		return err
	}
	go func() {
		defer close(s.ended)
		s.ending = s.command.Wait()
	}()
	return nil
}

// inheritable returns the variables of an environment that are not about this process only: a service manager names
// the process that its descriptors and its watchdog are for.
func inheritable(environment []string) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{variable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"}, name)
	})
}

// PID returns the process id.
func (s *Successor) PID() int { return s.command.Process.Pid }

// AwaitLoaded waits until the successor has loaded its configuration.
func (s *Successor) AwaitLoaded(ctx context.Context) (*Loaded, error) {
	m, err := s.receive(ctx)
	if err == nil && m.Loaded == nil {
		err = errUnexpected
	}
	return m.Loaded, err
}

// Continue sends the state, which is JSON, and waits until the successor answers queries.
func (s *Successor) Continue(ctx context.Context, state []byte) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = s.channel.SetWriteDeadline(deadline) // fails on a closed channel only, as the write does
	}
	if err := json.NewEncoder(s.channel).Encode(message{State: state}); err != nil {
		return s.explain(ctx, err)
	}
	m, err := s.receive(ctx)
	if err == nil && !m.Ready {
		err = errUnexpected
	}
	return err
}

// Finish reports that this process is about to end, and that the service manager knows the successor.
func (s *Successor) Finish() error { return json.NewEncoder(s.channel).Encode(message{Ended: true}) }

var errUnexpected = errors.New("the new process sent an unexpected message: is it another version?")

// receive waits for a message, until ctx ends.
func (s *Successor) receive(ctx context.Context) (m message, err error) {
	stop := context.AfterFunc(ctx, func() { _ = s.channel.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := s.in.Decode(&m); err != nil {
		return m, s.explain(ctx, err)
	}
	if m.Failed != "" {
		return m, errors.New(m.Failed)
	}
	return m, nil
}

// explain returns why the channel failed.
func (s *Successor) explain(ctx context.Context, failed error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-s.ended:
	case <-time.After(time.Second): // a process that closes the channel is about to end
		return fmt.Errorf("the new process does not reply: %w", failed)
	}
	if s.ending == nil {
		return errors.New("the new process ended before it answered queries: is it a Meridian of a version that can upgrade?")
	}
	return fmt.Errorf("the new process ended before it answered queries: %w; its messages are in the log of this server", s.ending)
}

// Kill ends the process and waits for its end.
func (s *Successor) Kill() {
	_ = s.command.Process.Kill() // fails if it has ended
	<-s.ended
	s.Close()
}

// Signal sends a signal to the process.
func (s *Successor) Signal(signal os.Signal) error { return s.command.Process.Signal(signal) }

// Close closes the channels to the process.
func (s *Successor) Close() {
	_ = s.channel.Close()
	_ = s.connections.Close()
}
