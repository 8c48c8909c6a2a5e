package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Predecessor is the process that has started this one, and ends when this one answers queries. The methods of nil do
// nothing: this process was not started by another one.
type Predecessor struct {
	Sockets     *Sockets
	channel     net.Conn
	in          *json.Decoder // of channel
	connections *net.UnixConn
	done        bool // the predecessor knows the outcome
}

// Inherit returns the predecessor of this process; nil: there is none.
func Inherit() (*Predecessor, error) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	_ = os.Unsetenv(variable) // its name is valid; programs that this process starts have no predecessor
	channel, err := inheritedChannel(channelFD)
	if err != nil {
		return nil, err
	}
	p := &Predecessor{channel: channel, in: json.NewDecoder(channel)}
	m, err := parseManifest(text)
	if err == nil {
		p.connections, err = inheritedChannel(connectionsFD)
	}
	if err != nil {
		p.Fail(err)
		return nil, err
	}
	p.Sockets = m.open()
	return p, nil
}

// inheritedChannel returns the channel of a descriptor.
func inheritedChannel(fd int) (*net.UnixConn, error) {
	closeOnExec(fd)
	file := os.NewFile(uintptr(fd), "predecessor")
	defer file.Close()
	conn, err := net.FileConn(file)
	channel, ok := conn.(*net.UnixConn)
	if err == nil && !ok {
		err = errors.Join(errors.New("it is not a channel"), conn.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("%s is set, and there is no process to take over from: %w", variable, err)
	}
	return channel, nil
}

// Loaded reports that the configuration is loaded, and waits for the state.
func (p *Predecessor) Loaded(l Loaded) (state []byte, err error) {
	if err := p.send(message{Loaded: &l}); err != nil {
		return nil, err
	}
	var m message
	if err := p.in.Decode(&m); err != nil {
		return nil, fmt.Errorf("the process to take over from has ended, or gave up: %w", err)
	}
	if len(m.State) == 0 {
		return nil, errors.New("the process to take over from sent no state: is it another version?")
	}
	return m.State, nil
}

// finishTime is the time in which the predecessor must report that the service manager knows this process.
const finishTime = 5 * time.Second

// Ready reports that this process answers queries, and waits until the service manager knows it: that ignores messages
// of other processes.
func (p *Predecessor) Ready() error {
	if p == nil {
		return nil
	}
	p.done = true
	defer p.channel.Close()
	if err := p.send(message{Ready: true}); err != nil {
		return err
	}
	var m message
	return errors.Join(p.channel.SetReadDeadline(time.Now().Add(finishTime)), p.in.Decode(&m))
}

// Fail reports why this process does not take over, unless it has done so.
func (p *Predecessor) Fail(why error) {
	if p == nil || p.done {
		return
	}
	p.done = true
	_ = p.send(message{Failed: why.Error()}) // the predecessor sees the end of this process
	_ = p.channel.Close()
}

func (p *Predecessor) send(m message) error { return json.NewEncoder(p.channel).Encode(m) }
