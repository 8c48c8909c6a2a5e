package server

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"meridian/server/answer/answertest"
)

func TestMain(m *testing.M) { answertest.TestMain(m) }

func TestSmallSocketBuffersAreReported(t *testing.T) {
	var log bytes.Buffer
	s := New(answertest.World(t), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	conn, err := listenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	warn := func() { s.warnOfSmallBuffers(conn, netip.MustParseAddrPort("127.0.0.1:0")) }
	if receive, send := bufferSizes(conn); min(receive, send) < socketBuffer {
		warn()
	} else if warn(); log.Len() > 0 {
		t.Errorf("large buffers are reported: %s", &log)
	}
	log.Reset()
	if err := conn.SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	warn()
	if text := log.String(); !strings.Contains(text, "UDP socket buffers are smaller than requested") || !strings.Contains(text, "send=65536 requested=4194304") {
		t.Errorf("logged %q", text)
	}
}
