package probe

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meridian/config"
	"meridian/counterpart"
)

func execCheck(argv ...string) config.Check {
	return config.Check{
		Name: "replica", Type: config.Exec, Command: argv, CommandPos: config.Pos{Line: 4, Column: 9},
		Interval: 5 * time.Second, Timeout: 5 * time.Second, Rise: 2, Fall: 3,
	}
}

func shell(script string) config.Check { return execCheck("/bin/sh", "-c", script) }

func TestExecProbeReasons(t *testing.T) {
	cases := []struct {
		name   string
		script string
		hurry  bool
		want   Outcome
		reason string
	}{
		{"well", "echo all ok", false, Passed, `exit status 0: "all ok"`},
		{"well and silent", "exit 0", false, Passed, `exit status 0: ""`},
		{"badly", "echo lag is 50 s >&2; exit 3", false, Failed, `exit status 3: "lag is 50 s"`},
		{"by a signal", "kill -KILL $$", false, Failed, `signal: killed: ""`},
		{"with control characters", `printf '\033[2J\0\377'; exit 1`, false, Failed, `exit status 1: "\x1b[2J\x00\xff"`},
		{"with a long line", "printf '%01000d' 0", false, Passed, `exit status 0: "` + strings.Repeat("0", maxQuoted) + `"...`},
		{"after it read its input, of which there is none", "cat", false, Passed, `exit status 0: ""`},
		{"with output as long as is allowed", "head -c 1048576 /dev/zero | tr '\\0' x", false, Passed, `exit status 0: "` + strings.Repeat("x", maxQuoted) + `"...`},
		{"with output without end", "yes", false, Failed, "output longer than 1024 KiB"},
		{"with output without end, whatever becomes of it", `trap "" PIPE; while :; do echo yes; done 2>/dev/null`, true, Failed, ""},
		{"never", "echo waiting; exec sleep 1000", true, Failed, `timeout after 750ms while running /bin/sh with output "waiting"`},
		{"never, and it drips", "while :; do echo x; sleep 0.01; done", true, Failed, ""},
		{"never, and its output is closed", "exec >&- 2>&- sleep 1000", true, Failed, "timeout after 750ms while running /bin/sh"},
		{"never, whatever TERM says, nor does what it forks", `trap "" TERM HUP INT; sh -c 'trap "" TERM HUP; sleep 1000' & sleep 1000`, true, Failed, "timeout after 750ms while running /bin/sh"},
		{"while its child continues", "sleep 1000 & echo done", false, Passed, `exit status 0: "done"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			check := shell("echo $$ > " + pidFile + "; " + c.script)
			if c.hurry {
				hurry(&check)
			}
			r := probeAddr(t, check, loopback)
			if c.reason == "" {
				c.reason = r.Reason
			}
			want(t, r, c.want, c.reason)
			wantNoGroup(t, pidFile)
		})
	}
}

// wantNoGroup waits until the process group with the number in a file is empty: the kernel needs a moment after a kill.
func wantNoGroup(t *testing.T, pidFile string) {
	t.Helper()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process group to be dead", func() bool { return errors.Is(unix.Kill(-pid, 0), unix.ESRCH) || onlyZombies(pid) })
}

// onlyZombies reports whether all processes of a group are dead: orphans wait for the machine's init to reap them, and a
// container may lack one.
func onlyZombies(group int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ") // state, parent, group, ...
		if f := strings.Fields(rest); len(f) > 2 && f[2] == strconv.Itoa(group) && f[0] != "Z" && f[0] != "X" {
			return false
		}
	}
	return true
}

func TestProgramOutsideGroupDoesNotDelayProbe(t *testing.T) {
	counterpart.Find(t, "setsid")
	pidFile := filepath.Join(t.TempDir(), "pid")
	check := shell("setsid sh -c 'echo $$ > " + pidFile + "; exec sleep 1000' & while ! [ -s " + pidFile + " ]; do :; done; echo done")
	want(t, probeAddr(t, check, loopback), Passed, `exit status 0: "done"`)
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("it is not there: %v", err)
	}
}

// TestProgramsOutliveServerThreads ends every available thread while programs run, as a reload may: the kernel kills
// programs with the server, not with a thread. Whether the thread that forked is available is random: hence many programs,
// and more busy threads than processors.
func TestProgramsOutliveServerThreads(t *testing.T) {
	const programs = 200
	folder := t.TempDir()
	goOn := filepath.Join(folder, "go")
	if err := unix.Mkfifo(goOn, 0o600); err != nil {
		t.Fatal(err)
	}
	check := shell("echo > " + folder + "/runs.$MERIDIAN_ADDRESS; : < " + goOn + "; echo done")
	check.Timeout = time.Minute
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(32))
	calm := busyThreads()
	ended := make(chan Result)
	for _, addr := range addrs(programs) {
		go func() { ended <- probeAddr(t, check, addr) }()
	}
	waitFor(t, "the programs to run", func() bool {
		running, _ := filepath.Glob(folder + "/runs.*")
		return len(running) == programs
	})
	calm()
	endThreads(t)
	writer, err := os.OpenFile(goOn, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for range programs {
		want(t, <-ended, Passed, `exit status 0: "done"`)
	}
}

// busyThreads keeps threads busy, so that goroutines move between them, until stop.
func busyThreads() (calm func()) {
	var over atomic.Bool
	for range 16 {
		go func() {
			for !over.Load() {
			}
		}()
	}
	return func() { over.Store(true) }
}

// endThreads locks goroutines to all available threads, and ends them.
func endThreads(t *testing.T) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	taken, release := make(chan int), make(chan struct{})
	for range 2 * len(threads) {
		go func() {
			runtime.LockOSThread()
			taken <- unix.Gettid()
			<-release
		}()
	}
	var ids []int
	for range 2 * len(threads) {
		ids = append(ids, <-taken)
	}
	close(release)
	waitFor(t, "threads to end", func() bool {
		return !slices.ContainsFunc(ids, func(id int) bool {
			_, err := os.Stat("/proc/self/task/" + strconv.Itoa(id))
			return err == nil && id != os.Getpid() // the first thread of a process stays
		})
	})
}

// TestUnkillableProgramIsLeft makes the first kill do nothing, as for a program in uninterruptible sleep.
func TestUnkillableProgramIsLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cmd := exec.Command("sleep", "1000")
	_, left, err := runGroup(ctx, cmd, func(int) {})
	if left == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("left %v, error %v; want it left at the timeout", left, err)
	}
	select {
	case <-left:
		t.Error("it is said to have ended")
	default:
	}
	killGroup(cmd.Process.Pid)
	<-left
	if err := unix.Kill(cmd.Process.Pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signalling it: %v, want it reaped", err)
	}
}

func TestProgramEnvironmentHoldsOnlyTarget(t *testing.T) {
	t.Setenv("SECRET", "not for programs")
	t.Setenv("PATH", "/usr/bin:/bin")
	for addr, lines := range map[string]string{
		"192.0.2.1":        "MERIDIAN_ADDRESS=192.0.2.1\nMERIDIAN_FAMILY=ipv4\n",
		"::ffff:192.0.2.1": "MERIDIAN_ADDRESS=192.0.2.1\nMERIDIAN_FAMILY=ipv4\n",
		"2001:db8::1":      "MERIDIAN_ADDRESS=2001:db8::1\nMERIDIAN_FAMILY=ipv6\n",
	} {
		for port, line := range map[int]string{0: "", 5432: "\nMERIDIAN_PORT=5432"} {
			check := execCheck("env")
			check.Port = port
			quoted := strconv.Quote("PATH=/usr/bin:/bin\n" + lines + "MERIDIAN_CHECK=replica" + line)
			want(t, probeAddr(t, check, netip.MustParseAddr(addr)), Passed, "exit status 0: "+quoted)
		}
	}
}

func TestProgramGetsArgumentsUnchanged(t *testing.T) {
	check := execCheck("printf", "%s|", "$HOME", "a b", "*", "", "; exit 1")
	want(t, probeAddr(t, check, loopback), Passed, `exit status 0: "$HOME|a b|*||; exit 1|"`)
}

func TestUnusableProgramIsConfigError(t *testing.T) {
	plain := writeFile(t, "plain.sh", "exit 0\n") // not executable
	for program, what := range map[string]string{
		"/nowhere/check":     "no such file or directory",
		"no-such-program-xy": "executable file not found in $PATH",
		plain:                "permission denied",
		t.TempDir():          "is a directory",
	} {
		err := Verify(&config.Config{File: "m.yaml", Checks: []config.Check{execCheck(program)}})
		want := "m.yaml:4:9: checks.replica.command: cannot run " + strconv.Quote(program) + ": " + what +
			"; the path of a program, or the name of one in PATH"
		if got := errorLines(t, err); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	if err := Verify(&config.Config{Checks: []config.Check{execCheck("sh")}}); err != nil {
		t.Error(err)
	}
}

func TestProgramStartErrorIsInconclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "check")
	if err := os.Symlink("/bin/true", path); err != nil {
		t.Fatal(err)
	}
	check := execCheck(path)
	c, flaws := New(&check)
	if len(flaws) > 0 {
		t.Fatal(flaws)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r, _ := c.Probe(t.Context(), loopback, nil, slog.New(slog.DiscardHandler))
	want(t, r, Inconclusive, "this machine cannot probe: fork/exec "+path+": no such file or directory")
}

// TestProgramsLeaveNothingBehind runs bad programs until the probes are cancelled in the middle: no child, dead or alive, no
// goroutine and no file remains.
func TestProgramsLeaveNothingBehind(t *testing.T) {
	files := openFiles(t)
	before := runtime.NumGoroutine()
	var checks []config.Check
	for _, script := range []string{"exit 1", "sleep 1000 & exit 0", `trap "" TERM; sleep 1000`, "yes"} {
		check := shell(script)
		check.Interval, check.Timeout = 100*time.Millisecond, 50*time.Millisecond
		checks = append(checks, check)
	}
	probes, stop := repeat(t, loopback, checks...)
	waitFor(t, "three results of each", func() bool { return probes() >= 3*len(checks) })
	stop()
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	waitFor(t, "files to be closed", func() bool { return openFiles(t) <= files })
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("waiting for children: %v, want that there are none", err)
	}
}

// BenchmarkProbeExec measures one probe with a minimal program.
func BenchmarkProbeExec(b *testing.B) {
	check := execCheck("true")
	c, _ := New(&check)
	log := slog.New(slog.DiscardHandler)
	b.ReportAllocs()
	for b.Loop() {
		if r, _ := c.Probe(b.Context(), loopback, nil, log); r.Outcome != Passed {
			b.Fatal(r.Reason)
		}
	}
}
