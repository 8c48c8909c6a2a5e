//go:build unix

package handover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// FromServiceManager returns the sockets that systemd passed to this process (sd_listen_fds(3)): those of a socket
// unit, and those that a previous process kept in a Store; nil: there are none. Each is found by its address. The errors
// are about sockets that are of no use.
func FromServiceManager() (*Sockets, []error) {
	files := activation.Files(true)
	if len(files) == 0 {
		return nil, nil
	}
	s := new(Sockets)
	var errs []error
	for _, f := range files {
		use, address, err := identify(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("socket %q of the service manager: %w", f.Name(), err))
			_ = f.Close() // the service manager has it
			continue
		}
		i := slices.IndexFunc(s.groups, func(g group) bool { return g.use == use && g.address == address })
		if i < 0 {
			i = len(s.groups)
			s.groups = append(s.groups, group{use: use, address: address})
		}
		s.groups[i].files = append(s.groups[i].files, f)
	}
	return s, errs
}

// identify returns the use of a socket and its address.
func identify(f *os.File) (Use, netip.AddrPort, error) {
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return "", netip.AddrPort{}, err
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "", netip.AddrPort{}, err
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return "", netip.AddrPort{}, err
	}
	var address netip.AddrPort
	switch local := local.(type) {
	case *unix.SockaddrInet4:
		address = netip.AddrPortFrom(netip.AddrFrom4(local.Addr), uint16(local.Port))
	case *unix.SockaddrInet6:
		address = netip.AddrPortFrom(netip.AddrFrom16(local.Addr), uint16(local.Port))
	default:
		return "", address, fmt.Errorf("it has no IP address: %T", local)
	}
	switch kind {
	case unix.SOCK_DGRAM:
		return datagram, address, nil
	case unix.SOCK_STREAM:
		return stream, address, nil
	}
	return "", address, fmt.Errorf("it is of neither UDP nor TCP but of type %d", kind)
}

// Store keeps the sockets of this process in the service manager, for the process that it starts next: queries that
// arrive between the two wait in the sockets. The methods of nil do nothing.
type Store struct {
	manager string   // the path of its socket
	kept    []string // the names of the sockets that may be in it
	counts  string   // the names and numbers of the kept ones
}

// NewStore returns the store of the service manager; nil: there is none. Sockets that this process inherited may be in
// it.
func NewStore(inherited *Sockets) *Store {
	manager := os.Getenv("NOTIFY_SOCKET")
	if manager == "" {
		return nil
	}
	return &Store{manager: manager, kept: inherited.names()}
}

// names returns the names by which sockets would be kept.
func (s *Sockets) names() (all []string) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		all = append(all, keptName(g.address))
	}
	return all
}

// keptName returns the name of the sockets of an address. It has no colon, which separates names.
func keptName(address netip.AddrPort) string {
	return "meridian-" + strings.ReplaceAll(address.String(), ":", "_")
}

// maxDescriptors is the largest number of descriptors in one message (SCM_MAX_FD of Linux).
const maxDescriptors = 253

// Keep keeps exactly these sockets.
func (s *Store) Keep(sockets []Open) error {
	if s == nil {
		return nil
	}
	counts := ""
	for _, open := range sockets {
		counts += fmt.Sprintln(keptName(open.bound()), len(open.Conns))
	}
	if counts == s.counts { // the sockets of an address stay the same
		return nil
	}
	s.counts = ""
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.manager, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	slices.Sort(s.kept)
	for _, name := range slices.Compact(s.kept) {
		if _, err := conn.Write([]byte("FDSTOREREMOVE=1\nFDNAME=" + name)); err != nil {
			return err
		}
	}
	s.kept = nil
	for _, open := range sockets {
		name := keptName(open.bound())
		s.kept = append(s.kept, name) // also if only some of the sockets get there
		for part := range slices.Chunk(open.Conns, maxDescriptors) {
			if err := keep(conn, name, Open{Use: open.Use, Address: open.Address, Conns: part}); err != nil {
				return err
			}
		}
	}
	s.counts = counts
	return nil
}

// keep sends sockets to the service manager, which keeps them also while they are not polled (FDPOLL).
func keep(manager *net.UnixConn, name string, sockets Open) error {
	files, err := duplicateAll([]Open{sockets})
	defer closeAll(files)
	if err != nil {
		return err
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	raw, err := manager.SyscallConn() // WriteMsgUnix refuses a connected datagram socket
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), []byte("FDSTORE=1\nFDPOLL=0\nFDNAME="+name), unix.UnixRights(fds...), nil, 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err == nil {
		err = failed
	}
	return err
}

// bound returns the address of the sockets, with the real port.
func (o *Open) bound() netip.AddrPort {
	for _, conn := range o.Conns {
		var local net.Addr
		switch conn := conn.(type) {
		case interface{ Addr() net.Addr }:
			local = conn.Addr()
		case interface{ LocalAddr() net.Addr }:
			local = conn.LocalAddr()
		default:
			continue
		}
		if at, err := netip.ParseAddrPort(local.String()); err == nil {
			return at
		}
	}
	return o.Address
}
