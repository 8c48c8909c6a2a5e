package main

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"
)

func TestWrongArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"127.0.0.1:1", "127.0.0.1:2"}, {"name:1"}, {"-over", "udp", "127.0.0.1:1"}, {"-count", "0", "127.0.0.1:1"}, {"-seconds", "601", "127.0.0.1:1"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestStallBeginsAgain stalls at a server that closes each connection once it has received something.
func TestStallBeginsAgain(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 10))
			_ = conn.Close()
		}
	}()
	for _, over := range []string{"tcp", "handshake"} {
		o, err := parse([]string{"-over", over, "-count", "3", "-seconds", "0.05", server.Addr().String()})
		if err != nil {
			t.Fatal(err)
		}
		o.duration = 50 * time.Millisecond
		var out bytes.Buffer
		if err := run(o, &out); err != nil {
			t.Fatal(err)
		}
		var begun, again, failed int
		if n, err := fmt.Sscanf(out.String(), "begun %d\nagain %d  failed %d\n", &begun, &again, &failed); n != 3 || err != nil || begun < 3 {
			t.Errorf("%s: %q, %v", over, out.String(), err)
		}
	}
}
