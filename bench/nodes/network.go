//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// network is a bridge at 10.9.0.1, with a namespace for each process that has an address.
type network struct {
	ctx     context.Context
	started []*exec.Cmd
	hosts   int
	delay   atomic.Int64 // of octets that the relays pass on, in each direction
}

// newNetwork makes the bridge. It needs a network namespace of its own.
func newNetwork(ctx context.Context) (*network, error) {
	n := &network{ctx: ctx}
	for _, line := range []string{"link set lo up", "link add br0 type bridge", "addr add 10.9.0.1/16 dev br0", "addr add 10.9.0.2/16 dev br0", "link set br0 up"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return n, nil
}

// close ends all processes.
func (n *network) close() {
	for _, c := range n.started {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// host is a namespace.
type host struct {
	address string
	within  []string // begins a command in it
}

// newHost makes a namespace with the next address.
func (n *network) newHost() (*host, error) {
	holder := exec.Command("sleep", "86400")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	n.started = append(n.started, holder)
	n.hosts++
	pid := strconv.Itoa(holder.Process.Pid)
	h := &host{address: fmt.Sprintf("10.9.1.%d", n.hosts), within: []string{"nsenter", "-t", pid, "-n", "--"}}
	link := fmt.Sprintf("v%d", n.hosts)
	for _, line := range [][]string{
		strings.Fields("ip link add " + link + " type veth peer name eth0 netns " + pid), strings.Fields("ip link set " + link + " master br0 up"),
		append(h.within, "ip", "link", "set", "lo", "up"), append(h.within, "ip", "addr", "add", h.address+"/16", "dev", "eth0"), append(h.within, "ip", "link", "set", "eth0", "up"),
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, out)
		}
	}
	return h, nil
}

// start starts a program in a namespace. Its output goes to a file.
func (n *network) start(h *host, log string, args ...string) (*exec.Cmd, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	args = append(h.within, args...)
	c := exec.Command(args[0], args[1:]...)
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return nil, err
	}
	n.started = append(n.started, c)
	return c, nil
}

// relay passes connections to a local port on to an address, all octets later by the delay of n.
func (n *network) relay(port int, to string) error {
	l, err := net.Listen("tcp", fmt.Sprintf("10.9.0.1:%d", port))
	if err != nil {
		return err
	}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go n.pass(from, to)
		}
	}()
	return nil
}

// pass passes a connection on until one side ends.
func (n *network) pass(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	ended := make(chan struct{}, 2)
	go func() { n.copyLater(to, from); ended <- struct{}{} }()
	go func() { n.copyLater(from, to); ended <- struct{}{} }()
	<-ended
}

// part holds the octets that came at a time.
type part struct {
	at   time.Time
	data []byte
}

func (n *network) copyLater(to io.Writer, from io.Reader) {
	parts := make(chan part, 10000)
	go func() {
		defer close(parts)
		for {
			buffer := make([]byte, 64<<10)
			k, err := from.Read(buffer)
			if err != nil {
				return
			}
			parts <- part{time.Now(), buffer[:k]}
		}
	}()
	for p := range parts {
		time.Sleep(time.Until(p.at.Add(time.Duration(n.delay.Load()))))
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}

// etcd is three members, which reach each other, and are reached, through relays.
type etcd struct {
	*network
	hosts     []*host
	running   []*exec.Cmd
	work      string
	endpoints []string
}

const members = 3

// startEtcd starts etcd.
func (n *network) startEtcd(work string) (*etcd, error) {
	e := &etcd{network: n, work: work}
	for i := range members {
		h, err := n.newHost()
		if err != nil {
			return nil, err
		}
		e.hosts = append(e.hosts, h)
		e.endpoints = append(e.endpoints, fmt.Sprintf("http://10.9.0.1:%d", 2400+i))
		if err := errors.Join(n.relay(2400+i, h.address+":2379"), n.relay(2500+i, h.address+":2380")); err != nil {
			return nil, err
		}
	}
	return e, e.startMembers()
}

// startMembers starts all members, or starts them again with their data, and waits until they take writes.
func (e *etcd) startMembers() error {
	var all []string
	for i := range members {
		all = append(all, fmt.Sprintf("m%d=http://10.9.0.1:%d", i, 2500+i))
	}
	e.running = nil
	for i, h := range e.hosts {
		name, client, peer := fmt.Sprintf("m%d", i), fmt.Sprintf("http://10.9.0.1:%d", 2400+i), fmt.Sprintf("http://10.9.0.1:%d", 2500+i)
		c, err := e.start(h, filepath.Join(e.work, name+".log"), "etcd", "--name", name, "--data-dir", filepath.Join(e.work, name),
			"--heartbeat-interval", "150", "--election-timeout", "1500",
			"--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", client, "--listen-peer-urls", "http://0.0.0.0:2380",
			"--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(all, ","))
		if err != nil {
			return err
		}
		e.running = append(e.running, c)
	}
	return await(e.ctx, "etcd takes writes; see "+e.work, time.Minute, 20*time.Millisecond, e.healthy)
}

// healthy reports whether a majority of the members has a leader and takes writes.
func (e *etcd) healthy() bool {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get("http://" + e.hosts[0].address + ":2379/health")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return strings.Contains(string(text), `"health":"true"`)
}

// kill kills all members.
func (e *etcd) kill() {
	for _, c := range e.running {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// metric returns a metric of the first member.
func (e *etcd) metric(name string) (float64, error) {
	response, err := http.Get("http://" + e.hosts[0].address + ":2379/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("etcd has no metric %s", name)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
