// Command flood measures UDP latency while TCP clients pipeline queries as fast as the server reads them.
//
//	flood -connections 64 -seconds 5 127.0.0.1:5300
//
// It starts a second process of itself that asks over UDP, so that the load of the
// TCP clients does not delay the measurement inside one Go scheduler. It prints one line:
// TCP answers a second, UDP queries without an answer, and the p50, p99 and
// longest UDP latency in milliseconds.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// options holds the command line.
type options struct {
	connections int
	duration    time.Duration
	name        string
	probe       bool
	server      string
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("flood", flag.ContinueOnError)
	flags.IntVar(&o.connections, "connections", 64, "TCP connections that pipeline queries")
	seconds := flags.Float64("seconds", 5, "how long to measure")
	flags.StringVar(&o.name, "name", "www.example.com", "the name asked for")
	flags.BoolVar(&o.probe, "probe", false, "only ask over UDP, without TCP clients")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.duration = time.Duration(*seconds * float64(time.Second))
	if flags.NArg() != 1 || o.duration <= 0 || o.duration > 10*time.Minute {
		return o, fmt.Errorf("want one ADDRESS:PORT and up to 600 seconds")
	}
	o.server = flags.Arg(0)
	return o, nil
}

// run measures once.
func run(o options, stdout io.Writer) error {
	if o.probe {
		return probe(o, stdout)
	}
	size, err := answerSize(o)
	if err != nil {
		return err
	}
	received, err := pipeline(o)
	if err != nil {
		return err
	}
	time.Sleep(o.duration / 10) // until all connections are busy
	begin, bytes := time.Now(), received.Load()
	udp, err := exec.Command(os.Args[0], "-probe", "-seconds", fmt.Sprint(o.duration.Seconds()), "-name", o.name, o.server).Output() //nolint:gosec // itself
	if err != nil {
		return fmt.Errorf("the UDP process: %w", err)
	}
	rate := float64(received.Load()-bytes) / float64(size) / time.Since(begin).Seconds()
	_, err = fmt.Fprintf(stdout, "connections %d  tcp_answers_per_s %.0f  %s", o.connections, rate, udp)
	return err
}

// query returns a query for A of name.
func query(name string) []byte {
	q := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, 1, 0, 1)
}

// frame returns a message as TCP carries it.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// pipeline opens the TCP connections, each of which sends and reads without pause until the process ends,
// and returns how many bytes they have received.
func pipeline(o options) (*atomic.Int64, error) {
	received := new(atomic.Int64)
	queries := slices.Repeat(frame(query(o.name)), 1500)
	for range o.connections {
		conn, err := net.Dial("tcp", o.server)
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				if _, err := conn.Write(queries); err != nil {
					return
				}
			}
		}()
		go func() {
			in := make([]byte, 1<<16)
			for {
				n, err := conn.Read(in)
				if err != nil {
					return
				}
				received.Add(int64(n))
			}
		}()
	}
	return received, nil
}

// answerSize returns the size of one framed answer.
func answerSize(o options) (int, error) {
	conn, err := net.Dial("tcp", o.server)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Write(frame(query(o.name))); err != nil {
		return 0, err
	}
	var head [2]byte
	_, err = io.ReadFull(conn, head[:])
	return len(head) + int(binary.BigEndian.Uint16(head[:])), err
}

const (
	probeInterval = 5 * time.Millisecond
	probeTimeout  = 2 * time.Second
)

// probe asks over UDP every probeInterval, one query at a time.
func probe(o options, stdout io.Writer) error {
	conn, err := net.Dial("udp", o.server)
	if err != nil {
		return err
	}
	defer conn.Close()
	var latencies []time.Duration
	lost := 0
	message, in := query(o.name), make([]byte, 4096)
	for id, end := uint16(1), time.Now().Add(o.duration); time.Now().Before(end); id++ {
		binary.BigEndian.PutUint16(message, id)
		if latency, ok := ask(conn, message, in); ok {
			latencies = append(latencies, latency)
		} else {
			lost++
		}
		time.Sleep(probeInterval)
	}
	if len(latencies) == 0 {
		return fmt.Errorf("no answer over UDP")
	}
	slices.Sort(latencies)
	at := func(permille int) float64 {
		return float64(latencies[(len(latencies)-1)*permille/1000].Microseconds()) / 1000
	}
	_, err = fmt.Fprintf(stdout, "udp_lost %d  udp_p50_ms %.2f  udp_p99_ms %.2f  udp_longest_ms %.2f\n", lost, at(500), at(990), at(1000))
	return err
}

// ask sends message and waits for its answer.
func ask(conn net.Conn, message, in []byte) (time.Duration, bool) {
	begin := time.Now()
	_ = conn.SetReadDeadline(begin.Add(probeTimeout))
	if _, err := conn.Write(message); err != nil {
		return 0, false
	}
	for {
		n, err := conn.Read(in)
		if err != nil {
			return 0, false
		}
		if n >= 2 && in[0] == message[0] && in[1] == message[1] {
			return time.Since(begin), true
		}
	}
}
