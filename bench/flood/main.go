// Command flood measures UDP latency next to a flood: TCP clients that pipeline queries as fast as the server reads them,
// or queries with DO for random names of a signed zone, each of which needs a new signature.
//
//	flood -connections 64 -seconds 5 127.0.0.1:5300
//	flood -random example.com -name www.example.com,ftp.example.com 127.0.0.1:5300
//
// It starts a second process of itself, so that the load of the flood does not delay the measurement inside one Go
// scheduler. It prints one line: the rate of the flood, UDP queries without an answer, and the p50, p99 and longest UDP
// latency in milliseconds; for random names, see random.go.
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
	names       []string
	probe       bool
	random      string // the zone of random names; empty: TCP clients
	rate        int    // only send random names, so many a second
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
	names := flags.String("name", "www.example.com", "the names asked for, separated by commas; TCP clients ask for the first")
	flags.BoolVar(&o.probe, "probe", false, "only ask over UDP, without TCP clients")
	flags.StringVar(&o.random, "random", "", "flood with queries for random names of this zone, instead of TCP clients")
	flags.IntVar(&o.rate, "rate", 0, "only send queries for random names, so many a second")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.duration = time.Duration(*seconds * float64(time.Second))
	if flags.NArg() != 1 || o.duration <= 0 || o.duration > 10*time.Minute {
		return o, fmt.Errorf("want one ADDRESS:PORT and up to 600 seconds")
	}
	if o.rate < 0 || o.rate > 0 && o.random == "" {
		return o, fmt.Errorf("-rate is %d, want a positive number and -random ZONE", o.rate)
	}
	o.names, o.server = strings.Split(*names, ","), flags.Arg(0)
	return o, nil
}

// run measures once.
func run(o options, stdout io.Writer) error {
	switch {
	case o.rate > 0:
		return sendRandom(o, stdout)
	case o.random != "":
		return floodRandom(o, stdout)
	case o.probe:
		found, err := probe(o, probeInterval, probeTimeout)
		if err == nil {
			_, err = fmt.Fprintf(stdout, "udp_lost %d  %s\n", found.lost, found.latency("udp"))
		}
		return err
	}
	return floodTCP(o, stdout)
}

// floodTCP measures next to TCP clients.
func floodTCP(o options, stdout io.Writer) error {
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
	udp, err := exec.Command(os.Args[0], "-probe", "-seconds", fmt.Sprint(o.duration.Seconds()), "-name", o.names[0], o.server).Output() //nolint:gosec // itself
	if err != nil {
		return fmt.Errorf("the UDP process: %w", err)
	}
	rate := float64(received.Load()-bytes) / float64(size) / time.Since(begin).Seconds()
	_, err = fmt.Fprintf(stdout, "connections %d  tcp_answers_per_s %.0f  %s", o.connections, rate, udp)
	return err
}

// query returns a query for A of name, with DO in a flood of random names.
func (o *options) query(name string) []byte {
	q := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = append(q, 0, 0, 1, 0, 1)
	if o.random != "" {
		q[11] = 1                                                       // ARCOUNT
		q = append(q, 0, 0, 41, 1232>>8, 1232&255, 0, 0, 0x80, 0, 0, 0) // OPT with DO
	}
	return q
}

// frame returns a message as TCP carries it.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// pipeline opens the TCP connections, each of which sends and reads without pause until the process ends,
// and returns how many bytes they have received.
func pipeline(o options) (*atomic.Int64, error) {
	received := new(atomic.Int64)
	queries := slices.Repeat(frame(o.query(o.names[0])), 1500)
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
	if _, err := conn.Write(frame(o.query(o.names[0]))); err != nil {
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

// probed counts the answers to queries over UDP.
type probed struct {
	latencies []time.Duration // in ascending order
	lost      int
}

// probe asks over UDP, one query at a time, with a pause after each. A query waits for its answer until timeout.
func probe(o options, pause, timeout time.Duration) (found probed, err error) {
	conn, err := net.Dial("udp", o.server)
	if err != nil {
		return found, err
	}
	defer conn.Close()
	in := make([]byte, 4096)
	for id, end := uint16(1), time.Now().Add(o.duration); time.Now().Before(end); id++ {
		message := o.query(o.names[int(id)%len(o.names)])
		binary.BigEndian.PutUint16(message, id)
		if latency, ok := ask(conn, message, in, timeout); ok {
			found.latencies = append(found.latencies, latency)
		} else {
			found.lost++
		}
		time.Sleep(pause)
	}
	if len(found.latencies) == 0 {
		return found, fmt.Errorf("no answer over UDP")
	}
	slices.Sort(found.latencies)
	return found, nil
}

// at returns a quantile of the latencies, in milliseconds.
func (p *probed) at(permille int) float64 {
	return float64(p.latencies[(len(p.latencies)-1)*permille/1000].Microseconds()) / 1000
}

// latency formats the latencies.
func (p *probed) latency(prefix string) string {
	return fmt.Sprintf("%[1]s_p50_ms %.2[2]f  %[1]s_p99_ms %.2[3]f  %[1]s_longest_ms %.2[4]f", prefix, p.at(500), p.at(990), p.at(1000))
}

// ask sends message and waits for its answer. A truncated one is none.
func ask(conn net.Conn, message, in []byte, timeout time.Duration) (time.Duration, bool) {
	begin := time.Now()
	_ = conn.SetReadDeadline(begin.Add(timeout))
	if _, err := conn.Write(message); err != nil {
		return 0, false
	}
	for {
		n, err := conn.Read(in)
		if err != nil {
			return 0, false
		}
		if n >= headerSize && in[0] == message[0] && in[1] == message[1] {
			return time.Since(begin), !isTruncated(in)
		}
	}
}

// headerSize is the size of the header of a message.
const headerSize = 12

// isTruncated reports whether a message has TC set.
func isTruncated(message []byte) bool { return message[2]&2 != 0 }
