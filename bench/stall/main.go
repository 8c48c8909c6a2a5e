// Command stall keeps queries or handshakes of many clients unfinished, over one of the transports of a server. What the
// server ends is begun again. It prints a line when all have begun, and another one when it ends.
//
//	go run ./bench/stall -over dot -count 10000 -seconds 10 127.0.0.1:853
//
// Each connection comes from an address of its own in 127.0.0.0/8, so that the limit of one client does not apply.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// options holds the command line.
type options struct {
	over     string
	count    int
	streams  int // of a connection, over QUIC and HTTP/2
	duration time.Duration
	server   netip.AddrPort
	dialing  chan struct{} // has room for the handshakes of TLS at a time: with more, this program would be too slow for all
}

// dialings is the room of dialing.
const dialings = 256

// stalls holds a way to stall for each value of -over. It opens a connection from an address, stalls in as many streams as
// it can, calls begun with their number, and returns when the connection has ended.
var stalls = map[string]func(ctx context.Context, o options, from net.IP, begun func(int)) error{
	"tcp": stallTCP, "handshake": stallHandshake, "dot": stallTLS, "doh": stallHTTP2, "doq": stallQUIC,
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stall:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (o options, err error) {
	o.dialing = make(chan struct{}, dialings)
	flags := flag.NewFlagSet("stall", flag.ContinueOnError)
	flags.StringVar(&o.over, "over", "tcp", "tcp, handshake (of TLS), dot, doh or doq")
	flags.IntVar(&o.count, "count", 10000, "unfinished queries or handshakes at a time")
	flags.IntVar(&o.streams, "streams", 100, "streams of a connection, over doh and doq")
	seconds := flags.Float64("seconds", 10, "how long to stall once all have begun")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.duration = time.Duration(*seconds * float64(time.Second))
	switch {
	case stalls[o.over] == nil:
		return o, fmt.Errorf("-over is %q, want tcp, handshake, dot, doh or doq", o.over)
	case o.count < 1 || o.count > 60000 || o.streams < 1 || o.duration <= 0 || o.duration > 10*time.Minute:
		return o, fmt.Errorf("want a -count of 1 to 60000, -streams from 1 on, and up to 600 seconds")
	case flags.NArg() != 1:
		return o, fmt.Errorf("want one ADDRESS:PORT")
	}
	o.server, err = netip.ParseAddrPort(flags.Arg(0))
	return o, err
}

// run stalls for the duration.
func run(o options, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	begun := newTally(o.count)
	each := 1
	if o.over == "doh" || o.over == "doq" {
		each = o.streams
	}
	for i := range (o.count + each - 1) / each {
		from := net.IPv4(127, 1+byte(i>>16), byte(i>>8), byte(i))
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := stalls[o.over](ctx, o, from, begun.add); err != nil {
					begun.failed.Add(1)
					pause(ctx, 10*time.Millisecond)
				}
			}
		})
	}
	select {
	case <-begun.all:
	case <-time.After(time.Minute):
		return fmt.Errorf("%d of %d have begun in a minute; %d connections failed", begun.n.Load(), o.count, begun.failed.Load())
	}
	if _, err := fmt.Fprintf(stdout, "begun %d\n", begun.n.Load()); err != nil {
		return err
	}
	pause(ctx, o.duration)
	_, err := fmt.Fprintf(stdout, "again %d  failed %d\n", begun.n.Load()-int64(o.count), begun.failed.Load())
	return err
}

// tally counts what has begun.
type tally struct {
	n, failed atomic.Int64
	want      int64
	all       chan struct{} // closed when as many as wanted have begun
	once      sync.Once
}

func newTally(want int) *tally { return &tally{want: int64(want), all: make(chan struct{})} }

func (t *tally) add(n int) {
	if t.n.Add(int64(n)) >= t.want {
		t.once.Do(func() { close(t.all) })
	}
}

// pause waits for a time or the end of a context.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// dial connects by TCP from an address. The connection is closed when the context ends.
func dial(ctx context.Context, o options, from net.IP) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", o.server.String())
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// hold sends the beginning of something, and reads until the server ends the connection.
func hold(conn net.Conn, beginning []byte, begun func(int)) error {
	defer conn.Close()
	if _, err := conn.Write(beginning); err != nil {
		return err
	}
	begun(1)
	_, _ = io.Copy(io.Discard, conn)
	return nil
}

// partOfQuery is the length of a query, and its first octet.
var partOfQuery = []byte{0, 40, 1}

func stallTCP(ctx context.Context, o options, from net.IP, begun func(int)) error {
	conn, err := dial(ctx, o, from)
	if err != nil {
		return err
	}
	return hold(conn, partOfQuery, begun)
}

func stallHandshake(ctx context.Context, o options, from net.IP, begun func(int)) error {
	conn, err := dial(ctx, o, from)
	if err != nil {
		return err
	}
	return hold(conn, []byte{22, 3, 1, 2, 0, 1}, begun) // the head of a ClientHello of 512 octets, and its first one
}

// settings are those of clients, which trust any certificate: this measures the server.
func settings(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}} //nolint:gosec // see above
}

// dialTLS connects and completes the handshake.
func dialTLS(ctx context.Context, o options, from net.IP, protocol string) (net.Conn, error) {
	o.dialing <- struct{}{}
	defer func() { <-o.dialing }()
	conn, err := dial(ctx, o, from)
	if err != nil {
		return nil, err
	}
	over := tls.Client(conn, settings(protocol))
	if err := over.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return over, nil
}

func stallTLS(ctx context.Context, o options, from net.IP, begun func(int)) error {
	conn, err := dialTLS(ctx, o, from, "dot")
	if err != nil {
		return err
	}
	return hold(conn, partOfQuery, begun)
}

// stallHTTP2 begins requests without their bodies.
func stallHTTP2(ctx context.Context, o options, from net.IP, begun func(int)) error {
	conn, err := dialTLS(ctx, o, from, "h2")
	if err != nil {
		return err
	}
	defer conn.Close()
	var out, header bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer, encoder := http2.NewFramer(&out, conn), hpack.NewEncoder(&header)
	_ = framer.WriteSettings() // a buffer takes all
	begin := func(stream uint32) {
		header.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: "dns.example"},
			{Name: ":path", Value: "/dns-query"},
			{Name: "content-type", Value: "application/dns-message"},
			{Name: "content-length", Value: "40"},
		} {
			_ = encoder.WriteField(f)
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: header.Bytes(), EndHeaders: true})
	}
	next := uint32(1)
	for ; next < uint32(2*o.streams); next += 2 {
		begin(next)
	}
	for added := o.streams; ; added = 1 {
		if _, err := conn.Write(out.Bytes()); err != nil {
			return err
		}
		begun(added)
		out.Reset()
		for ended := false; !ended; {
			frame, err := framer.ReadFrame()
			if err != nil {
				return nil //nolint:nilerr // the server has ended the connection
			}
			_, ended = frame.(*http2.RSTStreamFrame)
		}
		begin(next)
		next += 2
	}
}

// stallQUIC begins queries without their ends.
func stallQUIC(ctx context.Context, o options, from net.IP, begun func(int)) error {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: from})
	if err != nil {
		return err
	}
	defer socket.Close()
	conn, err := quic.Dial(ctx, socket, net.UDPAddrFromAddrPort(o.server), settings("doq"), &quic.Config{HandshakeIdleTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseWithError(0, "") }()
	for {
		stream, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return nil //nolint:nilerr // the server has ended the connection
		}
		if _, err := stream.Write(partOfQuery); err != nil {
			continue
		}
		begun(1)
		go func() {
			_, _ = io.Copy(io.Discard, stream) // until the server resets it, which gives room for another one
			stream.CancelWrite(0)
		}()
	}
}
