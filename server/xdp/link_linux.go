package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Link is an interface with the program attached. Its methods are safe for concurrent use.
type Link struct {
	state   State
	mtu     int
	partial bool // see Packet.Parse
	program *program
	link    link.Link
	queues  []*Queue
	running sync.WaitGroup
	mu      sync.Mutex                  // guards taken
	taken   map[netip.AddrPort]struct{} // the addresses in the program's map
}

// Attach attaches the program to an interface and opens the sockets of its queues. No packet is taken before
// [Link.Take]. The error says what prevents it: no privilege, a driver, another program, the interface. The program is detached by
// Close, or by the kernel when the process ends in any way.
func Attach(o Options) (*Link, error) {
	l := &Link{state: State{Interface: o.Interface}, taken: make(map[netip.AddrPort]struct{})}
	if err := l.open(o); err != nil {
		l.Close()
		return nil, fmt.Errorf("interface %s: %w", o.Interface, remedy(err))
	}
	return l, nil
}

// open is Attach; after an error, Close closes what it opened.
func (l *Link) open(o Options) error {
	at, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return ErrNoInterface
	}
	if err := l.check(at); err != nil {
		return err
	}
	_ = rlimit.RemoveMemlock() // old kernels count maps; loading fails if the limit is too low
	if l.program, err = loadProgram(at.HardwareAddr); err != nil {
		return err
	}
	for _, mode := range [...]Mode{Native, Generic} {
		if o.Mode != Auto && o.Mode != mode {
			continue
		}
		if err = l.attach(at, mode, o.Queues); err == nil || mayEndSoon(err) || errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return err
}

// mayEndSoon reports whether the error of an attempt is that another process has not let go of the interface yet.
func mayEndSoon(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) }

// check checks what no later step reports, and learns how the interface treats packets.
func (l *Link) check(at *net.Interface) error {
	if len(at.HardwareAddr) != 6 {
		return errors.New("it has no Ethernet addresses")
	}
	if frameSize(at.MTU) == 0 {
		return fmt.Errorf("its MTU of %d is too large: at most %d", at.MTU, largeFrame-headroom-ethernetSize-vlanTag)
	}
	driver, vlansRemoved := features(at.Name)
	if vlansRemoved && hasVLANs(at) {
		return fmt.Errorf("it removes VLAN tags from packets and has VLANs: run ethtool -K %s rxvlan off", at.Name)
	}
	l.mtu, l.partial = at.MTU, driver == "veth"
	return nil
}

// attach attaches the program in a mode, and opens the queues; after an error nothing is attached.
func (l *Link) attach(at *net.Interface, mode Mode, queues int) (err error) {
	flags := link.XDPDriverMode
	if mode == Generic {
		flags = link.XDPGenericMode
	}
	l.link, err = link.AttachXDP(link.XDPOptions{Program: l.program.Program, Interface: at.Index, Flags: flags})
	if err != nil {
		return fmt.Errorf("the program cannot be attached: %w", err)
	}
	l.state.Mode = mode
	if err := l.openQueues(at, queues); err != nil {
		_ = l.link.Close()
		for _, q := range l.queues {
			q.close()
		}
		l.link, l.queues = nil, nil
		return err
	}
	return nil
}

// openQueues opens the sockets of the first count receive queues; 0: of all.
func (l *Link) openQueues(at *net.Interface, count int) error {
	l.state.ZeroCopy = l.state.Mode == Native
	for i := 0; i < maxQueues && (count == 0 || i < count); i++ {
		s, err := openSocket(at.Index, i, l.mtu, l.state.Mode == Generic)
		if err != nil && i > 0 && errors.Is(err, unix.EINVAL) {
			break // there is no such queue
		}
		if err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
		l.queues = append(l.queues, &Queue{socket: s, link: l})
		l.state.ZeroCopy = l.state.ZeroCopy && s.zeroCopy
		if err := l.program.sockets.Put(uint32(i), uint32(s.fd)); err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
	}
	l.state.Queues = len(l.queues)
	if count > len(l.queues) {
		return fmt.Errorf("it has %d receive queues, not %d", len(l.queues), count)
	}
	return nil
}

// remedy adds what an operator can do about an error.
func remedy(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF", err)
	case mayEndSoon(err):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// State describes the link.
func (l *Link) State() State { return l.state }

// Take makes the program take the UDP packets to exactly these addresses.
func (l *Link) Take(addresses []netip.AddrPort) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := make(map[netip.AddrPort]struct{}, len(addresses))
	for _, a := range addresses {
		wanted[a] = struct{}{}
	}
	for a := range l.taken {
		if _, ok := wanted[a]; ok {
			continue
		}
		if err := l.program.addresses.Delete(keyOf(a)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("interface %s: address %s: %w", l.state.Interface, a, err)
		}
		delete(l.taken, a)
	}
	for a := range wanted {
		if _, ok := l.taken[a]; ok {
			continue
		}
		if err := l.program.addresses.Put(keyOf(a), uint8(1)); err != nil {
			return fmt.Errorf("interface %s: address %s: %w", l.state.Interface, a, err)
		}
		l.taken[a] = struct{}{}
	}
	return nil
}

// Serve answers the packets of all queues, each with a handler of its own, until Close. It does not wait for them.
func (l *Link) Serve(handler func() Handler) {
	for _, q := range l.queues {
		l.running.Go(func() { q.run(handler()) })
	}
}

// Statistics returns the losses of all queues since Attach.
func (l *Link) Statistics() (all Statistics) {
	for _, q := range l.queues {
		all = all.Plus(q.statistics()).Plus(Statistics{
			Unsent: q.unsent.Load(), Malformed: q.refused[Malformed].Load(), BadChecksum: q.refused[BadChecksum].Load(),
		})
	}
	return all
}

// Close leaves all packets to the kernel again, answers those already received, and frees everything. It is called once.
func (l *Link) Close() {
	if l.link != nil {
		_ = l.link.Close() // from here on the kernel gets the packets
	}
	for _, q := range l.queues {
		q.stop()
	}
	l.running.Wait()
	for _, q := range l.queues {
		q.close()
	}
	if l.program != nil {
		l.program.close()
	}
}

// features returns the driver of an interface, and whether it removes VLAN tags from received packets.
func features(name string) (driver string, removesVLANs bool) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		driver = unix.ByteSliceToString(info.Driver[:])
	}
	const receiveVLAN = 1 << 8 // ETH_FLAG_RXVLAN
	value := struct{ Command, Data uint32 }{Command: unix.ETHTOOL_GFLAGS}
	request := struct {
		Name [unix.IFNAMSIZ]byte
		Data unsafe.Pointer
		_    [16]byte // struct ifreq is larger
	}{Data: unsafe.Pointer(&value)}
	copy(request.Name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return driver, false
	}
	return driver, value.Data&receiveVLAN != 0
}

// hasVLANs reports whether an interface has VLAN interfaces above it.
func hasVLANs(at *net.Interface) bool {
	answer, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return false
	}
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return false
	}
	for i := range messages {
		attributes, err := syscall.ParseNetlinkRouteAttr(&messages[i])
		if err == nil && isVLANOf(attributes, at.Index) {
			return true
		}
	}
	return false
}

// isVLANOf reports whether the attributes are those of a VLAN interface above the interface with this index.
func isVLANOf(attributes []syscall.NetlinkRouteAttr, index int) bool {
	var vlan, above bool
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFLA_LINK:
			above = len(a.Value) == 4 && *(*uint32)(unsafe.Pointer(&a.Value[0])) == uint32(index)
		case unix.IFLA_LINKINFO:
			vlan = strings.Contains(string(a.Value), "vlan\x00")
		}
	}
	return vlan && above
}
