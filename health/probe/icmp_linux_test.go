package probe

import (
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"meridian/config"
	"meridian/counterpart"
)

// These tests run in their own network namespace, so that they can change its loopback and settings.

func icmpCheck() config.Check {
	return config.Check{
		Name: "router", Type: config.ICMP, Pos: config.Pos{Line: 3, Column: 5},
		Interval: 5 * time.Second, Timeout: 5 * time.Second, Rise: 2, Fall: 3,
	}
}

func TestICMPProbesWithEitherSocket(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	for kind, groups := range map[string]string{"datagram": "0 0", "raw": "1 0"} {
		set(t, "ipv4/ping_group_range", groups)
		for _, addr := range []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"} {
			t.Run(kind+" "+addr, func(t *testing.T) {
				conn, raw, err := pingOf(netip.MustParseAddr(addr)).socket(netip.Addr{})
				if err != nil || raw != (kind == "raw") {
					t.Fatalf("raw %v, %v", raw, err)
				}
				conn.Close()
				want(t, probeAddr(t, icmpCheck(), netip.MustParseAddr(addr)), Passed, "echo reply")
			})
		}
		t.Run(kind+" without a route", func(t *testing.T) {
			r := probeAddr(t, icmpCheck(), netip.MustParseAddr("192.0.2.1"))
			if r.Outcome != Inconclusive || !strings.Contains(r.Reason, "network is unreachable while sending the echo request") {
				t.Errorf("%v: %s", r.Outcome, r.Reason)
			}
		})
	}
}

func TestICMPProbesOfSilentAddress(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	set(t, "ipv4/icmp_echo_ignore_all", "1")
	check := icmpCheck()
	hurry(&check)
	for kind, groups := range map[string]string{"datagram": "0 0", "raw": "1 0"} {
		set(t, "ipv4/ping_group_range", groups)
		t.Run(kind, func(t *testing.T) {
			want(t, probeAddr(t, check, loopback), Failed, "timeout after 750ms while waiting for the echo reply")
		})
	}
}

// TestICMPProbesSkipRepliesToOthers answers each request in place of the kernel, at first with replies that do not match.
func TestICMPProbesSkipRepliesToOthers(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	set(t, "ipv4/icmp_echo_ignore_all", "1")
	conn, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		answerWrongFirst(conn)
	}()
	defer func() { conn.Close(); <-done }()
	for kind, groups := range map[string]string{"datagram": "0 0", "raw": "1 0"} {
		set(t, "ipv4/ping_group_range", groups)
		t.Run(kind, func(t *testing.T) {
			want(t, probeAddr(t, icmpCheck(), loopback), Passed, "echo reply")
		})
	}
}

// answerWrongFirst answers echo requests until conn closes.
func answerWrongFirst(conn *icmp.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		request, err := icmp.ParseMessage(1, buffer[:n])
		if err != nil || request.Type != ipv4.ICMPTypeEcho {
			continue
		}
		right := request.Body.(*icmp.Echo)
		for _, e := range []icmp.Echo{
			{ID: right.ID ^ 1, Seq: right.Seq, Data: right.Data},
			{ID: right.ID, Seq: right.Seq + 1, Data: right.Data},
			{ID: right.ID, Seq: right.Seq, Data: []byte("something else")},
			{ID: right.ID, Seq: right.Seq},
			*right,
		} {
			reply, err := (&icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &e}).Marshal(nil)
			if err != nil {
				panic(err)
			}
			conn.WriteTo(reply, from)
		}
	}
}

// TestPingWithoutPermissionIsConfigError runs as a user that may open neither kind of socket: the configuration is
// rejected, and a probe is inconclusive.
func TestPingWithoutPermissionIsConfigError(t *testing.T) {
	if os.Getuid() == 0 && os.Getenv("MERIDIAN_TEST_NETWORK") == "nobody" {
		t.Fatal("still root")
	}
	if os.Getuid() == 0 {
		asNobody(t)
		return
	}
	if conn, _, err := pingOf(loopback).socket(netip.Addr{}); err == nil {
		conn.Close()
		counterpart.Missing(t, "anybody may ping on this machine")
	}
	check := icmpCheck()
	err := Verify(&config.Config{File: "m.yaml", Checks: []config.Check{check}})
	wantFault := "m.yaml:3:5: checks.router.type: cannot ping: this process may open neither a datagram socket for ICMP (socket: permission denied)" +
		" nor a raw one (socket: operation not permitted); on Linux grant it CAP_NET_RAW, or include its group in net.ipv4.ping_group_range"
	if got := errorLines(t, err); got != wantFault {
		t.Errorf("%s\nwant %s", got, wantFault)
	}
	c := &Check{check: &check, run: probeICMP}
	r, _ := c.Probe(t.Context(), loopback, nil, nil)
	want(t, r, Inconclusive, "this machine cannot probe: neither a datagram socket for ICMP (socket: permission denied) nor a raw one (socket: operation not permitted)")
}

// asNobody reruns the test in a new network namespace as an unprivileged user.
func asNobody(t *testing.T) {
	t.Helper()
	counterpart.Again(t, "nobody", &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET,
		Credential: &syscall.Credential{Uid: 65534, Gid: 65534},
	})
}

// set writes a setting of the namespace.
func set(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
		counterpart.Missing(t, "this machine does not let its network be set: "+err.Error())
	}
}
