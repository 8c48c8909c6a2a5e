package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"
)

func TestWrongArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"a:1", "b:2"}, {"-seconds", "0", "a:1"}, {"-seconds", "601", "a:1"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestProbePrintsLatencies asks a server that sends every query back.
func TestProbePrintsLatencies(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		in := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(in)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(in[:n], from)
		}
	}()
	var out bytes.Buffer
	o := options{name: "www.example.com", server: server.LocalAddr().String(), duration: 20 * time.Millisecond}
	if err := probe(o, &out); err != nil || !strings.HasPrefix(out.String(), "udp_lost 0  udp_p50_ms ") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
