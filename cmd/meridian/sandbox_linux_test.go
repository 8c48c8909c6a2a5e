package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// families holds the kernel's numbers of the address families of a unit.
var families = map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK}

// unitSetting returns the value of a setting of the unit in deploy.
func unitSetting(t *testing.T, name string) string {
	t.Helper()
	unit, err := os.ReadFile("../../deploy/systemd/meridian.service")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindSubmatch(unit)
	if found == nil {
		t.Fatalf("the unit has no %s", name)
	}
	return string(found[1])
}

// restrictFamilies forbids sockets of other families to all threads, as systemd does for
// RestrictAddressFamilies: socket(2) fails with EAFNOSUPPORT.
func restrictFamilies(allowed []uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // its first argument
	}
	for _, family := range allowed {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: family, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

const sandboxConfig = `
server: {listen: ["127.0.0.1:0"]}
admin: {listen: 127.0.0.1:0}
checks: {side: {type: http, unix: side.sock, interval: 400ms, timeout: 400ms}}
pools: {web: {policy: failover, check: side, members: [{name: a, addresses: [127.0.0.1]}]}}
zones:
  example.net: {nameservers: {ns1.example.org: []}, contact: h@example.net, names: {www: {pool: web}}}
`

// serveInSandbox runs in the process that TestServeInUnitSandbox starts.
func serveInSandbox(t *testing.T) {
	var allowed []uint32
	for _, name := range strings.Fields(unitSetting(t, "RestrictAddressFamilies")) {
		allowed = append(allowed, families[name])
	}
	if err := restrictFamilies(allowed); err != nil {
		fmt.Println("SKIPPED:", err)
		return
	}
	if _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != unix.EAFNOSUPPORT {
		t.Fatalf("a packet socket: %v, want it forbidden", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if code := run(ctx, []string{"serve", "-c", os.Getenv("MERIDIAN_TEST_SANDBOX")}, os.Stdout, os.Stderr); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestServeInUnitSandbox runs serve under the address families that the unit allows:
// a check of a unix socket passes, and the service manager is notified.
func TestServeInUnitSandbox(t *testing.T) {
	if os.Getenv("MERIDIAN_TEST_SANDBOX") != "" {
		serveInSandbox(t)
		return
	}
	folder := t.TempDir()
	side, err := net.Listen("unix", filepath.Join(folder, "side.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	go http.Serve(side, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) //nolint:errcheck // ends with the test
	manager, err := net.ListenPacket("unixgram", filepath.Join(folder, "notify.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	file := filepath.Join(folder, "meridian.yaml")
	if err := os.WriteFile(file, []byte(sandboxConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "MERIDIAN_TEST_SANDBOX="+file, "NOTIFY_SOCKET="+manager.LocalAddr().String(), "WATCHDOG_USEC=300000")
	out := new(transcript)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); manager.Close() }()
	defer cmd.Process.Kill()
	manager.SetReadDeadline(time.Now().Add(time.Minute))
	awaitState := func(pattern string) {
		t.Helper()
		buffer := make([]byte, 512)
		for {
			n, _, err := manager.ReadFrom(buffer)
			if err != nil {
				t.Fatalf("no %q came; printed:\n%s", pattern, out)
			}
			if regexp.MustCompile(`^(?:` + pattern + `)$`).Match(buffer[:n]) {
				return
			}
		}
	}
	awaitState("READY=1")
	api := "--server=http://" + out.await(t, `msg=serving .* admin=(\S+)`)[1]
	expectMatch(t, said(t, 0, "status", api), `a +- +up .*status 200`)
	awaitState("WATCHDOG=1")
	cmd.Process.Signal(syscall.SIGHUP)
	awaitState(`RELOADING=1\nMONOTONIC_USEC=\d+\n?`)
	awaitState("READY=1")
	cmd.Process.Signal(syscall.SIGTERM)
	awaitState("STOPPING=1")
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
