package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	waitingClients = 64                     // in the measurement of the capacity; fewer than a server has room for
	overload       = 3                      // the rate of the flood, relative to the capacity
	randomPause    = time.Millisecond       // between two queries for known names
	randomTimeout  = 200 * time.Millisecond // after which one is lost
	drain          = 50 * time.Millisecond  // for the answers to the last queries of the flood
	warmUp         = 64                     // queries for each known name, so that its answers are in the cache
)

// floodRandom measures in three phases, of which it prints one line:
//
//	signatures_per_s       answers to random names, by clients that wait for each: the capacity
//	quiet_...              queries for known names alone
//	flood_...              the same next to queries for random names, at three times the capacity
//
// answered_percent counts answers without TC. The flood runs at the lowest priority: what it keeps from this process
// would be counted as latency of the server.
func floodRandom(o options, stdout io.Writer) error {
	capacity, err := signingCapacity(o)
	if err != nil {
		return err
	}
	if err := warm(o); err != nil {
		return err
	}
	quiet, err := probe(o, randomPause, randomTimeout)
	if err != nil {
		return err
	}
	var sent strings.Builder
	rate := overload * int(capacity)
	args := []string{"-n", "19", os.Args[0], "-random", o.random, "-rate", fmt.Sprint(rate), "-seconds", fmt.Sprint(o.duration.Seconds() * 1.2), o.server}
	flood := exec.Command("nice", args...) //nolint:gosec // itself
	flood.Stdout, flood.Stderr = &sent, os.Stderr
	if err := flood.Start(); err != nil {
		return err
	}
	time.Sleep(o.duration / 10) // until the queue for signatures is full
	flooded, err := probe(o, randomPause, randomTimeout)
	if waited := flood.Wait(); err == nil && waited != nil {
		err = fmt.Errorf("the process that floods: %w", waited)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "signatures_per_s %.0f  quiet_answered_percent %.2f  %s  flood_answered_percent %.2f  %s  %s\n",
		capacity, quiet.answered(), quiet.latency("quiet"), flooded.answered(), flooded.latency("flood"), strings.TrimSpace(sent.String()))
	return err
}

// answered returns the share of queries with an answer, in percent.
func (p *probed) answered() float64 {
	return 100 * float64(len(p.latencies)) / float64(len(p.latencies)+p.lost)
}

// randomName returns a name that is not in the zone, and was probably never asked for.
func (o *options) randomName() string { return fmt.Sprintf("r%016x.%s", rand.Uint64(), o.random) }

// signingCapacity returns the answers a second to clients that ask for random names and wait for each answer.
func signingCapacity(o options) (float64, error) {
	var answers atomic.Int64
	var clients sync.WaitGroup
	begin := time.Now()
	for range waitingClients {
		conn, err := net.Dial("udp", o.server)
		if err != nil {
			return 0, err
		}
		clients.Go(func() {
			defer conn.Close()
			in := make([]byte, 4096)
			for time.Since(begin) < o.duration/2 {
				if _, ok := ask(conn, o.query(o.randomName()), in, probeTimeout); ok {
					answers.Add(1)
				}
			}
		})
	}
	clients.Wait()
	if answers.Load() == 0 {
		return 0, fmt.Errorf("no answer to random names of %s", o.random)
	}
	return float64(answers.Load()) / time.Since(begin).Seconds(), nil
}

// warm asks for the known names until their answers are in the cache.
func warm(o options) error {
	conn, err := net.Dial("udp", o.server)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := make([]byte, 4096)
	for _, name := range o.names {
		for range warmUp {
			if _, ok := ask(conn, o.query(name), in, probeTimeout); !ok {
				return fmt.Errorf("no answer for %s", name)
			}
		}
	}
	return nil
}

// sendRandom sends queries for random names at a rate, and prints how many a second it has sent, and the shares of them
// that were answered and answered with TC.
func sendRandom(o options, stdout io.Writer) error {
	conn, err := net.Dial("udp", o.server)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.(*net.UDPConn).SetReadBuffer(4 << 20)
	var answers, truncated atomic.Int64
	go func() {
		in := make([]byte, 4096)
		for {
			n, err := conn.Read(in)
			switch {
			case err != nil:
				return
			case n >= headerSize && isTruncated(in):
				truncated.Add(1)
			default:
				answers.Add(1)
			}
		}
	}()
	sent, begin := 0, time.Now()
	for elapsed := time.Duration(0); elapsed < o.duration; elapsed = time.Since(begin) {
		for due := int(elapsed.Seconds() * float64(o.rate)); sent < due; sent++ {
			message := o.query(o.randomName())
			binary.BigEndian.PutUint16(message, uint16(sent))
			_, _ = conn.Write(message) // a full buffer loses it
		}
		time.Sleep(time.Millisecond)
	}
	rate := float64(sent) / time.Since(begin).Seconds()
	time.Sleep(drain)
	share := func(n int64) float64 { return 100 * float64(n) / float64(max(1, sent)) }
	_, err = fmt.Fprintf(stdout, "random_per_s %.0f  random_answered_percent %.1f  random_truncated_percent %.1f\n",
		rate, share(answers.Load()), share(truncated.Load()))
	return err
}
