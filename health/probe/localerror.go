package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
)

// A probe that fails because of this machine proves nothing about the endpoint. This file decides which errors do:
//
//	error                                 comes from                             inconclusive
//	------------------------------------  -------------------------------------  ---------------------
//	EMFILE ENFILE ENOBUFS ENOMEM          this machine, which has no more        always
//	EADDRNOTAVAIL EADDRINUSE              no free port, or a source address      always
//	                                      that this machine does not have
//	ENETDOWN                              an interface that is off               always
//	EPERM                                 a firewall or sandbox of this machine  always
//	any error of socket, bind             a sandbox, or a kernel without the     always
//	                                      family or the protocol
//	EACCES of a unix socket               its permissions                        always
//	ENETUNREACH EHOSTUNREACH EACCES       the route lookup of this machine,      if a non-blocking
//	EINVAL of connect                     or an ICMP message from the network    connect fails too
//
// In the last row the error number does not reveal its origin: Linux reports "no route to host" from its own routing table
// and from an ICMP message of a router by the same number. The difference is the time. The route lookup fails inside
// connect(2), which returns the error at once; an ICMP message arrives later, and the error is then read from the socket.
// The standard library hides that difference, so [failsAtOnce] connects once more, without waiting for the peer.

// localError is an error that means that this machine cannot run a probe.
type localError struct{ error }

func (l localError) Unwrap() error { return l.error }

// alwaysLocal holds the errors that always come from this machine. EPERM is one because no ICMP message is translated into it,
// unlike EACCES.
var alwaysLocal = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENETDOWN, syscall.EPERM,
}

// maybeLocal holds the errors of a connection attempt that may come from this machine.
var maybeLocal = []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EACCES, syscall.EINVAL}

// isLocal reports whether err alone shows that this machine cannot run the probe.
func isLocal(err error) bool {
	if errors.As(err, new(localError)) {
		return true
	}
	var call *os.SyscallError
	if errors.As(err, &call) && (call.Syscall == "socket" || call.Syscall == "bind") {
		return true
	}
	return isOneOf(err, alwaysLocal)
}

func isOneOf(err error, all []error) bool {
	return slices.ContainsFunc(all, func(one error) bool { return errors.Is(err, one) })
}

// SystemDial is the default Dial. A probe's connection serves one exchange: keep-alives would only cost system calls.
func SystemDial(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if source.IsValid() {
		dialer.LocalAddr, dialer.Control = localAddr(network, source), bindWithoutPort
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil && isOneOf(err, maybeLocal) && failsAtOnce(err, source, network, address) {
		err = localError{err}
	}
	return conn, err
}

// localAddr converts source for a [net.Dialer].
func localAddr(network string, source netip.Addr) net.Addr {
	at := netip.AddrPortFrom(source, 0)
	if network == "udp" {
		return net.UDPAddrFromAddrPort(at)
	}
	return net.TCPAddrFromAddrPort(at)
}

// failsAtOnce reports whether err, of a connection attempt, comes from this machine: whether a non-blocking attempt fails
// with the same error. Connecting a datagram socket or a unix socket never waits, so their errors are always local.
func failsAtOnce(err error, source netip.Addr, network, address string) bool {
	if network != "tcp" {
		return true
	}
	to, parseErr := netip.ParseAddrPort(address)
	if parseErr != nil {
		return false
	}
	again := connectAtOnce(source, to)
	return again != nil && errors.Is(err, again)
}
