package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestWrongArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"a:1", "b:2"}, {"-seconds", "0", "a:1"}, {"-seconds", "601", "a:1"}, {"-rate", "5", "a:1"}, {"-rate", "-1", "-random", "z", "a:1"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestProbePrintsLatencies asks a server that sends every query back.
func TestProbePrintsLatencies(t *testing.T) {
	server := reflect(t, func([]byte) {})
	var out bytes.Buffer
	o := options{names: []string{"www.example.com"}, server: server, duration: 20 * time.Millisecond, probe: true}
	if err := run(o, &out); err != nil || !strings.HasPrefix(out.String(), "udp_lost 0  udp_p50_ms ") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestTruncatedAnswersAreNone asks a server that truncates all answers.
func TestTruncatedAnswersAreNone(t *testing.T) {
	server := reflect(t, func(answer []byte) { answer[2] |= 2 })
	o := options{names: []string{"www.example.com"}, server: server, duration: 5 * time.Millisecond}
	if found, err := probe(o, time.Millisecond, time.Second); err == nil || found.lost == 0 {
		t.Errorf("%+v, %v; want only lost ones", found, err)
	}
}

// TestRandomFloodCountsItsAnswers has a server that truncates the answers of every second query.
func TestRandomFloodCountsItsAnswers(t *testing.T) {
	n := 0
	server := reflect(t, func(answer []byte) {
		var query dns.Msg
		if err := query.Unpack(answer); err != nil || !query.IsEdns0().Do() || !dns.IsSubDomain("example.com.", query.Question[0].Name) {
			t.Errorf("%v %v; want DO and a name of the zone", err, &query)
		}
		if n++; n%2 == 0 {
			answer[2] |= 2
		}
	})
	o, err := parse([]string{"-random", "example.com", "-rate", "2000", "-seconds", "0.05", server})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(o, &out); err != nil {
		t.Fatal(err)
	}
	var rate, answered, truncated float64
	if _, err := fmt.Sscanf(out.String(), "random_per_s %f  random_answered_percent %f  random_truncated_percent %f", &rate, &answered, &truncated); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if rate <= 0 || answered <= 0 || truncated <= 0 || answered+truncated > 100.1 {
		t.Errorf("%q", out.String())
	}
}

// reflect sends every query back, after change.
func reflect(t *testing.T, change func(answer []byte)) (address string) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(in)
			if err != nil {
				return
			}
			change(in[:n])
			_, _ = server.WriteTo(in[:n], from)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return server.LocalAddr().String()
}
