// Command quicload sends queries over QUIC as fast as a server answers them, and prints how many were answered.
//
//	go run ./bench/quicload -connections 16 -outstanding 256 -seconds 2 -queries queries.txt 127.0.0.1:853
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// options holds the command line.
type options struct {
	connections, outstanding int
	duration                 time.Duration
	queries, server          string
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quicload:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("quicload", flag.ContinueOnError)
	flags.IntVar(&o.connections, "connections", 16, "connections that stay open")
	flags.IntVar(&o.outstanding, "outstanding", 256, "queries without an answer, of all connections")
	seconds := flags.Float64("seconds", 2, "how long to ask")
	flags.StringVar(&o.queries, "queries", "", "file with a NAME and a TYPE in each line")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.duration, o.server = time.Duration(*seconds*float64(time.Second)), flags.Arg(0)
	if flags.NArg() != 1 || o.queries == "" || o.connections < 1 || o.outstanding < o.connections || o.duration <= 0 || o.duration > 10*time.Minute {
		return o, fmt.Errorf("want -queries FILE, one ADDRESS:PORT, at least one query for each connection, and up to 600 seconds")
	}
	return o, nil
}

// run asks for the duration.
func run(o options, stdout io.Writer) error {
	frames, err := readQueries(o.queries)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var answered, failed, next atomic.Int64
	var clients sync.WaitGroup
	var conns []*quic.Conn
	for range o.connections {
		conn, err := quic.DialAddr(ctx, o.server, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"doq"}}, nil) //nolint:gosec // this measures the server
		if err != nil {
			return err
		}
		conns = append(conns, conn)
	}
	begin := time.Now()
	for i := range o.outstanding {
		conn := conns[i%len(conns)]
		clients.Go(func() {
			for time.Since(begin) < o.duration {
				frame := frames[int(next.Add(1))%len(frames)]
				if err := ask(ctx, conn, frame); err != nil {
					failed.Add(1)
					return
				}
				answered.Add(1)
			}
		})
	}
	clients.Wait()
	took := time.Since(begin)
	for _, conn := range conns {
		_ = conn.CloseWithError(0, "")
	}
	_, err = fmt.Fprintf(stdout, "answered %d  failed %d  per_s %.0f\n", answered.Load(), failed.Load(), float64(answered.Load())/took.Seconds())
	return err
}

// ask sends a query in a stream, and reads its answer.
func ask(ctx context.Context, conn *quic.Conn, frame []byte) error {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	_ = stream.SetDeadline(time.Now().Add(10 * time.Second)) // it never fails
	if _, err := stream.Write(frame); err != nil {
		return err
	}
	_ = stream.Close() // fails only if the server has cancelled it
	answer, err := io.ReadAll(stream)
	if err == nil && len(answer) < len(frame) {
		err = fmt.Errorf("an answer of %d octets", len(answer))
	}
	return err
}

// readQueries returns the queries of a file, with the ID 0 and their length before them.
func readQueries(file string) (frames [][]byte, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 2 || dns.StringToType[words[1]] == 0 {
			return nil, fmt.Errorf("%s has the line %q, want NAME TYPE", file, lines.Text())
		}
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(words[0]), dns.StringToType[words[1]])
		m.Id, m.RecursionDesired = 0, false
		packed, err := m.Pack()
		if err != nil {
			return nil, err
		}
		frames = append(frames, append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	}
	if len(frames) == 0 {
		return nil, fmt.Errorf("%s has no queries", file)
	}
	return frames, nil
}
