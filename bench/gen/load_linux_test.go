package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/counterpart"
)

// asIs returns an answer unchanged: a correct one.
func asIs(_ int, answer []byte) []byte { return answer }

func TestLoadAcceptsRightAnswers(t *testing.T) {
	got := loaded(t, "queries.ecs", asIs)
	if got[answersColumn] == 0 || got[wrongColumn] != 0 || got[recordsColumn] != 100 {
		t.Errorf("%v: want answers, no wrong ones, and records in all", got)
	}
}

func TestLoadCountsWrongAnswers(t *testing.T) {
	const questionEnd = 12 + len("\x07app0010\x04gslb\x07example\x03com\x00") + 4
	for fault, damage := range map[string]func([]byte){
		"another name":   func(answer []byte) { answer[13] ^= 1 },
		"another type":   func(answer []byte) { answer[questionEnd-3] ^= 1 },
		"another class":  func(answer []byte) { answer[questionEnd-1] ^= 2 },
		"no question":    func(answer []byte) { answer[5] = 0 },
		"not an answer":  func(answer []byte) { answer[2] &^= 0x80 },
		"truncated":      func(answer []byte) { answer[2] |= 2 },
		"server failure": func(answer []byte) { answer[3] |= 2 },
		"header alone":   nil,
	} {
		got := loaded(t, "queries.first", func(n int, answer []byte) []byte {
			switch {
			case n%2 == 0:
				return answer
			case damage == nil:
				return answer[:12]
			}
			damage(answer)
			return answer
		})
		if answers, wrong := got[answersColumn], got[wrongColumn]; wrong == 0 || wrong == answers {
			t.Errorf("%s: %v of %v answers are wrong, want about half", fault, wrong, answers)
		}
	}
}

func TestLoadWaitsForTheFirstRightAnswer(t *testing.T) {
	load, first := buildLoad(t), filepath.Join(askedOf(t), "queries.first")
	if err := exec.Command(load, answering(t, asIs), first, "60", "first").Run(); err != nil {
		t.Errorf("of a server that answers load says %v", err)
	}
	other := func(_ int, answer []byte) []byte {
		answer[13] ^= 1
		return answer
	}
	if err := exec.Command(load, answering(t, other), first, "0.1", "first").Run(); err == nil {
		t.Error("an answer to another question is taken for the first")
	}
}

// TestLoadTellsItsOwnPausesApart stops load for a while: the answers of that time are not in the second line. A run that ends before
// it was stopped for so long is repeated.
func TestLoadTellsItsOwnPausesApart(t *testing.T) {
	load, queries := buildLoad(t), filepath.Join(askedOf(t), "queries.first")
	counterpart.Await(t, func() error {
		out, err := outputOfStopped(t, load, queries)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		first, second, _ := strings.Cut(out, "\n")
		all, own := fields(t, first, columns-1), fields(t, second, secondColumns)
		if all[pauseColumn] < float64(stopTime.Microseconds()) {
			t.Errorf("longest pause %v µs, want %v or more", all[pauseColumn], stopTime)
		}
		if quantiles := own[1:4]; !slices.IsSorted(quantiles) {
			t.Errorf("quantiles %v", quantiles)
		}
		if shares := own[4:]; !slices.IsSorted(shares) || own[0] > 100 || shares[len(shares)-1] > 100 {
			t.Errorf("%v %% disturbed, shares %v", own[0], shares)
		}
		if own[0] < 10 {
			return fmt.Errorf("%v %% of the answers are disturbed, want those of %v of 1 s at least", own[0], stopTime)
		}
		return nil
	})
}

// stopTime is how long TestLoadTellsItsOwnPausesApart stops load.
const stopTime = 200 * time.Millisecond

// outputOfStopped runs load for a second, and stops it at the tenth answer for a while.
func outputOfStopped(t *testing.T, load, queries string) (out string, err error) {
	t.Helper()
	running, stopped := make(chan *os.Process, 1), make(chan error, 1)
	port := answering(t, func(n int, answer []byte) []byte {
		if n == 10 {
			p := <-running
			err := p.Signal(syscall.SIGSTOP)
			time.Sleep(stopTime) // not a wait: the length of the pause
			stopped <- errors.Join(err, p.Signal(syscall.SIGCONT))
		}
		return answer
	})
	var text bytes.Buffer
	c := exec.Command(load, port, queries, "1", "1000")
	c.Stdout, c.Stderr = &text, &text
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	running <- c.Process
	err = c.Wait()
	select {
	case failed := <-stopped:
		err = errors.Join(err, failed)
	default:
		err = errors.Join(err, errors.New("it ended before it was stopped"))
	}
	return text.String(), err
}

// The columns of the output of load.
const (
	answersColumn = 0
	pauseColumn   = 7
	recordsColumn = 8
	wrongColumn   = 9
	columns       = 11 // with a core
	secondColumns = 10
)

// loaded returns the output of load for a server that answers each query with a record, after
// change was applied to the n-th answer. It repeats a run that ended before an answer came,
// because machines stall.
func loaded(t *testing.T, queries string, change func(n int, answer []byte) []byte) (numbers []float64) {
	t.Helper()
	load, folder := buildLoad(t), askedOf(t)
	port := answering(t, change)
	for range 50 {
		out, err := exec.Command(load, port, filepath.Join(folder, queries), "0.05", "0", "0").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if numbers = fields(t, string(out), columns); numbers[answersColumn] >= 16 {
			return numbers
		}
	}
	t.Fatalf("hardly an answer in 50 runs: %v", numbers)
	return nil
}

// fields reads a line of numbers.
func fields(t *testing.T, line string, columns int) (numbers []float64) {
	t.Helper()
	for field := range strings.FieldsSeq(line) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) != columns {
		t.Fatalf("load prints %q, want %d numbers", line, columns)
	}
	return numbers
}

// askedOf returns a folder with the queries for ten names.
func askedOf(t *testing.T) string {
	t.Helper()
	m := newModel(t.TempDir(), "", 5300, 10)
	if err := writeQueries(m, 100); err != nil {
		t.Fatal(err)
	}
	return m.Data
}

// buildLoad compiles the load generator.
func buildLoad(t *testing.T) string {
	t.Helper()
	load := filepath.Join(t.TempDir(), "load")
	counterpart.Output(t, "cc", "-O1", "-Wall", "-Werror", "-o", load, "../load.c")
	return load
}

// answering listens on the port it returns until the test ends.
func answering(t *testing.T, change func(n int, answer []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			answer := buffer[:size]
			answer[2] |= 0x80                                       // QR
			answer[7] = 1                                           // ANCOUNT
			_, _ = conn.WriteToUDPAddrPort(change(n, answer), from) // fails after load has ended
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
}
