package server

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/server/answer/answertest"
)

func TestUnsentAnswersAreReportedOnceAMinute(t *testing.T) {
	l, now := unsentLog{}, time.Unix(1e9, 0)
	for i, c := range []struct {
		after time.Duration
		total uint64
		want  uint64
	}{{0, 0, 0}, {time.Second, 5, 5}, {time.Second, 9, 0}, {time.Minute, 9, 4}, {time.Hour, 9, 0}, {0, 10, 1}} {
		now = now.Add(c.after)
		if got := l.due(c.total, now); got != c.want {
			t.Errorf("step %d: %d answers to report, want %d", i, got, c.want)
		}
	}
}

func TestSmallSocketBuffersAreReported(t *testing.T) {
	var log bytes.Buffer
	s := New(answertest.World(t), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	conn, err := listenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l := &listener{server: s, udp: []*udpWorker{{conn: conn}}}
	if receive, send := bufferSizes(conn); min(receive, send) < socketBuffer {
		l.warnOfSmallBuffers()
	} else if l.warnOfSmallBuffers(); log.Len() > 0 {
		t.Errorf("large buffers are reported: %s", &log)
	}
	log.Reset()
	if err := conn.SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	l.warnOfSmallBuffers()
	if text := log.String(); !strings.Contains(text, "UDP socket buffers are smaller than requested") || !strings.Contains(text, "send=65536 requested=4194304") {
		t.Errorf("logged %q", text)
	}
}
