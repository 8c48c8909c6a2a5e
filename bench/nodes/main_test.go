//go:build linux

package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
)

func TestTableMarksWhatMisses(t *testing.T) {
	var out strings.Builder
	r := &report{out: &out}
	r.atMost("fast", time.Second, 900*time.Millisecond, "")
	r.atMost("slow", time.Second, 1100*time.Millisecond, " of two")
	r.atMost("not asked", 0, time.Hour, "")
	r.countAtMost("lost", 0, 1, " of 7")
	r.print()
	_, table, _ := strings.Cut(out.String(), "figure")
	for line, want := range map[string]bool{"fast": false, "slow": true, "not asked": false, "lost": true} {
		i := strings.Index(table, line)
		if i < 0 {
			t.Fatalf("no %s in\n%s", line, table)
		}
		text, _, _ := strings.Cut(table[i:], "\n")
		if got := strings.Contains(text, "MISSED"); got != want {
			t.Errorf("%q: missed %v, want %v", text, got, want)
		}
	}
	if !strings.Contains(table, "1.1s of two") || !strings.Contains(table, "1 of 7") {
		t.Errorf("the table lacks details:\n%s", table)
	}
}

// The configuration that is pushed is valid, and as large as asked.
func TestSharedTextIsValid(t *testing.T) {
	for _, size := range []int{0, 200 << 10} {
		text := sharedText(size, "192.0.2.7")
		cfg, _, err := config.Parse("m.yaml", []byte(text))
		if err != nil || len(text) < size || len(text) > size+size/2+1000 {
			t.Errorf("size %d for %d: %v", len(text), size, err)
			continue
		}
		if len(cfg.Zones) != 1 {
			t.Errorf("%d zones", len(cfg.Zones))
		}
	}
	if _, _, err := config.Parse("m.yaml", []byte(strings.TrimPrefix(balanced, "\n"))); err != nil {
		t.Error(err)
	}
}

// A relay passes all octets on in both directions, and the end of one side.
func TestRelayPassesAllOn(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() {
		c, err := far.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.CopyN(c, c, 1<<20)
	}()
	near, client := net.Pipe()
	n := new(network)
	n.delay.Store(int64(time.Millisecond))
	go n.pass(near, far.Addr().String())
	sent := bytes.Repeat([]byte("meridian"), 1<<17)
	go func() { _, _ = client.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%v, or other octets", err)
	}
}

func TestVantageCountsWhatIsAgreed(t *testing.T) {
	v := &vantage{agreed: map[health.ProbeID]health.Verdict{}}
	v.agree([]health.Agreement{{ID: 1, Verdict: health.Up}, {ID: 2, Verdict: health.Up}, {ID: 3, Uncertain: true}})
	v.agree([]health.Agreement{{ID: 2, Verdict: health.Down}, {ID: 1, Uncertain: true}})
	if v.up.Load() != 1 || v.down.Load() != 1 {
		t.Errorf("%d up, %d down, want one of each", v.up.Load(), v.down.Load())
	}
}
