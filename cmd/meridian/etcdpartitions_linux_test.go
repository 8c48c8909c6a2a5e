package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"meridian/counterpart"
)

// diskSize is the size of a small disk: two segments of the log of etcd, which takes the space of each in advance, and more.
const diskSize = 384 << 20

// etcdHost is a member of etcd on a host of its own.
type etcdHost struct {
	*host
	dir  string
	args []string // of nsenter
	log  *transcript
	pid  int
	over chan struct{} // closed when the process has ended
}

// inOwnNamespaces runs the test again in a network namespace, and in a mount namespace if it mounts disks.
func inOwnNamespaces(t *testing.T, mounts bool) bool {
	t.Helper()
	if mounts && os.Getenv("MERIDIAN_TEST_NETWORK") == "" {
		counterpart.Again(t, "own", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS})
		return false
	}
	return counterpart.InOwnNetwork(t)
}

// smallDisk mounts a disk of diskSize and returns its folder. It ends with the mount namespace of the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
		counterpart.Missing(t, "no tmpfs can be mounted: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
	return folder
}

// fill takes all space of the disk of a folder. It returns a function that frees it.
func (p *partitioned) fill(folder string) (free func()) {
	t := p.t
	t.Helper()
	file, err := os.Create(filepath.Join(folder, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) >= 1; {
		if _, err := file.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(file.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// addMembers starts members of etcd.
func (p *partitioned) addMembers(names []string, folder func() string) {
	var cluster []string
	for _, name := range names {
		cluster = append(cluster, name+"=http://"+p.hosts[name].address+":2380")
	}
	for _, name := range names {
		h := p.hosts[name]
		client, peer := "http://"+h.address+":2379", "http://"+h.address+":2380"
		m := &etcdHost{host: h, dir: folder()}
		m.args = h.within(counterpart.Find(p.t, "etcd"), "--name", name, "--data-dir", filepath.Join(m.dir, "data"),
			"--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", client, "--listen-peer-urls", peer,
			"--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(cluster, ","))
		p.members = append(p.members, m)
		p.t.Cleanup(func() {
			m.end(syscall.SIGKILL)
			if p.t.Failed() {
				p.t.Logf("%s:\n%s", name, m.log)
			}
		})
	}
	p.startEtcd(p.members...)
}

// endpoints returns the endpoints of etcd in a configuration.
func (p *partitioned) endpoints() string {
	var all []string
	for _, m := range p.members {
		all = append(all, fmt.Sprintf("%q", "http://"+m.address+":2379"))
	}
	return strings.Join(all, ", ")
}

// startEtcd starts members of etcd, and waits until they accept connections.
func (p *partitioned) startEtcd(members ...*etcdHost) {
	p.t.Helper()
	for _, m := range members {
		cmd := exec.Command("nsenter", m.args...)
		m.log, m.over = new(transcript), make(chan struct{})
		cmd.Stdout, cmd.Stderr = m.log, m.log
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		m.pid = cmd.Process.Pid
		over := m.over
		go func() { defer close(over); _ = cmd.Wait() }()
	}
	for _, m := range members {
		counterpart.AwaitListener(p.t, "tcp", m.address+":2379")
	}
}

// stopEtcd ends all members of etcd.
func (p *partitioned) stopEtcd() {
	for _, m := range p.members {
		m.end(syscall.SIGTERM)
	}
}

// isOver reports whether the process of m has ended.
func (m *etcdHost) isOver() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}

// end sends a signal to m and waits for its end.
func (m *etcdHost) end(s syscall.Signal) {
	if m.pid != 0 && !m.isOver() {
		_ = syscall.Kill(m.pid, s)
		<-m.over
	}
}

// lose makes the cluster lose members of etcd. It returns a function that brings them back.
func (p *partitioned) lose(how string, members ...*etcdHost) (restore func()) {
	p.t.Helper()
	var heal []func()
	for _, m := range members {
		switch how {
		case "killed":
			m.end(syscall.SIGKILL)
		case "stopped":
			_ = syscall.Kill(m.pid, syscall.SIGSTOP)
			heal = append(heal, func() { _ = syscall.Kill(m.pid, syscall.SIGCONT) })
		default:
			heal = append(heal, p.cut(m.host, "both"))
		}
	}
	return func() {
		for _, f := range heal {
			f()
		}
		if how == "killed" {
			p.startEtcd(members...)
		}
	}
}

// questioning counts queries of a round.
type questioning struct {
	queries atomic.Int64
	slowest atomic.Int64 // duration
}

// undisturbed begins to ask nodes and returns a check, for the end of a round: no answer was lost or other than before, and no
// node or agent found an address down. Addresses may be uncertain, which holds the answers, while connections to a stopped member
// time out: that takes longer than heartbeats may be late here.
func (p *partitioned) undisturbed(round string, nodes, all []string) (check func()) {
	t, before, began := p.t, map[string]int{}, time.Now()
	for _, name := range all {
		before[name] = len(p.nodes[name].log.String())
	}
	var a questioning
	stop, asking := make(chan struct{}), sync.WaitGroup{}
	for _, name := range nodes {
		asking.Go(func() { a.ask(t, round+": "+name, p.hosts[name].address+":53", stop) })
	}
	return func() {
		t.Helper()
		close(stop)
		asking.Wait()
		uncertain := 0
		for _, name := range all {
			since := p.nodes[name].log.String()[before[name]:]
			uncertain += strings.Count(since, "to=uncertain")
			if strings.Contains(since, "to=down") {
				t.Errorf("%s: %s changed a health state:\n%s", round, name, since)
			}
		}
		t.Logf("%s: %s, %d answers, the slowest after %s, %d times uncertain", round, time.Since(began).Round(time.Second/10), a.queries.Load(), time.Duration(a.slowest.Load()).Round(time.Millisecond), uncertain)
	}
}

// ask sends queries until stop is closed, one after the other. A lost answer is found after the minute that Exchange waits.
func (a *questioning) ask(t *testing.T, name, server string, stop chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		query, sent := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA), time.Now()
		answer, err := counterpart.Exchange(query, server)
		if err != nil {
			t.Errorf("%s: an answer is lost: %v", name, err)
			return
		}
		a.queries.Add(1)
		took := int64(time.Since(sent))
		for slowest := a.slowest.Load(); took > slowest && !a.slowest.CompareAndSwap(slowest, took); slowest = a.slowest.Load() {
		}
		if len(answer.Answer) != 1 || !strings.HasSuffix(answer.Answer[0].String(), "\t10.9.0.1") {
			t.Errorf("%s: answers\n%s", name, answer)
			return
		}
	}
}

// command runs a command of a node within its namespace.
func (p *partitioned) command(name string, args ...string) (string, error) {
	out, err := exec.Command("nsenter", p.hosts[name].within(append([]string{p.nodes[name].program}, args...)...)...).CombinedOutput()
	return string(out), err
}

// awaitStatus waits until the status of nodes contains a text, or does not contain it.
func (p *partitioned) awaitStatus(text string, wanted bool, names ...string) {
	p.t.Helper()
	for _, name := range names {
		counterpart.Await(p.t, func() error {
			out, err := p.command(name, "status")
			if err == nil && strings.Contains(out, text) != wanted {
				err = fmt.Errorf("%s: want %v for %q in\n%s", name, wanted, text, out)
			}
			return err
		})
	}
}

// override has a node write an override and end it, and waits until all nodes have it and have it no more.
func (p *partitioned) override(by, reason string, nodes []string) {
	p.t.Helper()
	counterpart.Await(p.t, func() error {
		out, err := p.command(by, "drain", "web/second", "--reason", reason)
		if err != nil {
			err = fmt.Errorf("%s: %s: %w: %s", reason, by, err, out)
		}
		return err
	})
	p.awaitStatus(reason, true, nodes...)
	counterpart.Await(p.t, func() error {
		out, err := p.command(by, "undrain", "web/second")
		if err != nil && !strings.Contains(out, "not drained") { // an earlier attempt, without an answer, may have ended it
			return fmt.Errorf("%s: %s: %w: %s", reason, by, err, out)
		}
		return nil
	})
	p.awaitStatus(reason, false, nodes...)
}

// awaitEqual waits until etcd is whole, all count, and find the same.
func (p *partitioned) awaitEqual(after string, nodes, all []string) {
	p.t.Helper()
	for _, m := range p.members {
		counterpart.Await(p.t, func() error {
			out, err := p.etcdctl("endpoint", "health", "--endpoints", "http://"+m.address+":2379")
			if err != nil {
				err = fmt.Errorf("%s: %s: %w: %s", after, m.name, err, out)
			}
			return err
		})
	}
	p.await(after, "etcd ok", true, all...)
	p.await(after, "mode direct", false, all...)
	p.await(after, p.whole, true, all...)
	p.await(after, "other results", false, all...)
	p.awaitAnswers("10.9.0.1", nodes...)
	p.override(nodes[len(nodes)-1], "after: "+after, nodes)
}

func (p *partitioned) etcdctl(args ...string) (string, error) {
	out, err := exec.Command(counterpart.Find(p.t, "etcdctl"), args...).CombinedOutput()
	return string(out), err
}

// withoutMember loses a member of etcd: all go on with the others, and each node can write an override.
func (p *partitioned) withoutMember(nodes, all []string, member *etcdHost, how string) {
	round := fmt.Sprintf("member %s is %s", member.name, how)
	check := p.undisturbed(round, nodes, all)
	restore := p.lose(how, member)
	for _, name := range nodes {
		p.override(name, round+", by "+name, nodes)
	}
	p.await(round, "etcd ok", true, all...)
	p.await(round, p.whole, true, all...)
	restore()
	p.awaitEqual(round, nodes, all)
	check()
}

// withoutMajority loses all members of etcd but one: all go on without etcd, and a minority of regions changes nothing.
func (p *partitioned) withoutMajority(nodes, all []string, kept *etcdHost, how string) {
	lost := slices.DeleteFunc(slices.Clone(p.members), func(m *etcdHost) bool { return m == kept })
	round := fmt.Sprintf("all members but %s are %s", kept.name, how)
	check := p.undisturbed(round, nodes, all)
	restore := p.lose(how, lost...)
	p.await(round, "mode direct", true, all...)
	p.await(round, p.whole, true, all...)
	p.breakFor(slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name[0] != 'a' })...)
	p.await(round, "2 of 3 regions find it up: b, c", true, all...)
	p.breakFor()
	p.await(round, "2 of 3 regions find it up: b, c", false, all...)
	restore()
	p.awaitEqual(round, nodes, all)
	check()
}

// fullMember fills the disk of a member of etcd and has others write until it fails, and frees the space.
func (p *partitioned) fullMember(nodes, all []string, member *etcdHost) {
	round := fmt.Sprintf("the disk of member %s is full", member.name)
	check := p.undisturbed(round, nodes, all)
	free := p.fill(member.dir)
	other := p.members[0]
	if other == member {
		other = p.members[1]
	}
	value := strings.Repeat("x", 100_000)
	counterpart.Await(p.t, func() error {
		out, err := p.etcdctl("put", "/other/large", value, "--endpoints", "http://"+other.address+":2379")
		if err == nil && !strings.Contains(member.log.String(), "no space left on device") {
			return fmt.Errorf("%s has not failed: %s", member.name, out)
		}
		return err
	})
	for _, name := range nodes {
		p.override(name, round+", by "+name, nodes)
	}
	p.await(round, "etcd ok", true, all...)
	p.await(round, p.whole, true, all...)
	ended := member.isOver()
	free()
	if ended {
		p.startEtcd(member)
	}
	p.awaitEqual(round, nodes, all)
	check()
	p.t.Logf("%s: its process has ended: %v", round, ended)
}

// fullState fills the disk of the state of a node: the node serves and says so, also after a restart, and takes part.
func (p *partitioned) fullState(nodes, all []string, victim string) {
	round := fmt.Sprintf("the disk of the state of %s is full", victim)
	check := p.undisturbed(round, nodes, all)
	free := p.fill(p.nodes[victim].state)
	if _, err := p.command(victim, "drain", "web/second", "--reason", round); err != nil {
		p.t.Errorf("%s: the override fails: %v", round, err)
	}
	p.awaitStatus(round, true, nodes...)
	p.awaitStatus("cannot be written, see the log", true, victim)
	p.nodes[victim].log.await(p.t, "no space left on device")
	p.await(round, p.whole, true, all...)
	check()
	p.signal(victim, syscall.SIGKILL)
	p.start(victim, false)
	p.awaitStatus("cannot be written, see the log", true, victim)
	p.awaitStatus(round, true, nodes...)
	p.await(round, p.whole, true, all...)
	p.awaitAnswers("10.9.0.1", nodes...)
	check = p.undisturbed(round+", restarted", nodes, all)
	free()
	p.awaitStatus("cannot be written, see the log", false, victim)
	if _, err := p.command(victim, "undrain", "web/second"); err != nil {
		p.t.Errorf("%s: the override does not end: %v", round, err)
	}
	p.awaitEqual(round, nodes, all)
	check()
}
