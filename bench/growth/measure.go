package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// point has the processor time and memory of a server of one size.
type point struct {
	size            int
	start, reload   float64 // seconds of processor time
	memory, highest float64 // MiB, after the start and at most
}

// patience bounds a start and a reload.
const patience = 15 * time.Minute

// measure starts a server of a size, reloads it with one more name, and ends it.
func measure(meridian, folder string, s subject, n int) (p point, err error) {
	port, err := freePort()
	if err != nil {
		return p, err
	}
	config := filepath.Join(folder, "meridian.yaml")
	if err := s.of(n).writeFile(config, port); err != nil {
		return p, err
	}
	var log bytes.Buffer
	server := exec.Command(meridian, "serve", "-c", config)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		return p, err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if end := <-ended; err == nil && end != nil {
			err = fmt.Errorf("serve: %w", end)
		}
		if err != nil {
			err = fmt.Errorf("%w; its log: %s", err, log.Bytes()[max(0, log.Len()-1000):])
		}
	}()
	p.size = n
	if err := p.started(server.Process, port, ended); err != nil {
		return p, err
	}
	if err := awaitIdle(func() (usage, error) { return usageOf(server.Process.Pid) }); err != nil {
		return p, err
	}
	return p, p.reloaded(server.Process, config, port, ended)
}

// awaitIdle waits until a process uses less than a twentieth of a core over a second: the first probes after a start are no
// part of a reload.
func awaitIdle(use func() (usage, error)) error {
	const most = 0.05
	before, err := use()
	for begin := time.Now(); err == nil; {
		time.Sleep(time.Second)
		var now usage
		if now, err = use(); err == nil && now.seconds-before.seconds < most {
			return nil
		}
		before = now
		if time.Since(begin) > patience {
			return fmt.Errorf("the server is still busy %v after its start", patience)
		}
	}
	return err
}

// started waits for the first answer and measures the start.
func (p *point) started(server *os.Process, port int, ended chan error) error {
	if err := await(newest, port, ended); err != nil {
		return err
	}
	u, err := usageOf(server.Pid)
	p.start, p.memory = u.seconds, u.resident
	return err
}

// reloaded adds a name, waits for its answer and measures the reload.
func (p *point) reloaded(server *os.Process, config string, port int, ended chan error) error {
	before, err := usageOf(server.Pid)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, "      added: {pool: base}")
	if err := errors.Join(err, f.Close(), server.Signal(syscall.SIGHUP)); err != nil {
		return err
	}
	if err := await("added."+zone+".", port, ended); err != nil {
		return err
	}
	after, err := usageOf(server.Pid)
	p.reload, p.highest = after.seconds-before.seconds, after.highest
	return err
}

// await asks for a name until it has an address.
func await(name string, port int, ended chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	client := dns.Client{Timeout: time.Second}
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		reply, _, err := client.ExchangeContext(ctx, q, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil && len(reply.Answer) > 0 {
			return nil
		}
		select {
		case end := <-ended:
			ended <- end
			return fmt.Errorf("the server ended: %w", errors.Join(end, err))
		case <-ctx.Done():
			return fmt.Errorf("no answer for %s within %v", name, patience)
		case <-retry.C:
		}
	}
}

// freePort returns a port that is free for UDP and TCP.
func freePort() (int, error) {
	for {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		l, err := net.Listen("tcp", c.LocalAddr().String())
		if err == nil {
			return c.LocalAddr().(*net.UDPAddr).Port, errors.Join(l.Close(), c.Close())
		}
		_ = c.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			return 0, err
		}
	}
}

// usage is the processor time in seconds and the memory in MiB that a process has used.
type usage struct{ seconds, resident, highest float64 }

// usageOf reads the usage of a process from /proc.
func usageOf(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	return parseUsage(stat, status)
}

// parseUsage reads the two files of proc(5). The clock ticks of stat are hundredths of a second on all Linux systems.
func parseUsage(stat, status []byte) (u usage, err error) {
	const user, system = 11, 12 // fields after the command, which may have spaces
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system {
		return u, fmt.Errorf("stat has %d fields after the command", len(fields))
	}
	for _, f := range [][]byte{fields[user], fields[system]} {
		ticks, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return u, fmt.Errorf("stat: %w", err)
		}
		u.seconds += float64(ticks) / 100
	}
	for line := range bytes.Lines(status) {
		var kib float64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %f kB", &kib); n == 1 {
			u.resident = kib / 1024
		}
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %f kB", &kib); n == 1 {
			u.highest = kib / 1024
		}
	}
	if u.resident == 0 || u.highest == 0 {
		return u, errors.New("status has no VmRSS or VmHWM")
	}
	return u, nil
}
