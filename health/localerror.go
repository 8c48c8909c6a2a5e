package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
)

// A probe that fails because of this machine says nothing about the endpoint. Which
// errors do is decided here:
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
//	ENETUNREACH EHOSTUNREACH EACCES       the route lookup of this machine,      if a connect that does
//	EINVAL of connect                     or an ICMP message from the network    not wait fails likewise
//
// In the last row the error number does not say where it comes from: Linux reports "no
// route to host" from its own routing table and from an ICMP message of a router by the same
// number. The difference is the moment. The route lookup fails inside connect(2), which
// returns the error at once; an ICMP message arrives later, and the error is then
// read from the socket. The standard library hides that moment, so [failsAtOnce] connects
// once more, without waiting for the peer.

// localError is an error that says that this machine cannot make a probe.
type localError struct{ error }

func (l localError) Unwrap() error { return l.error }

// local are the errors that always come from this machine. EPERM is among them because no
// ICMP message is translated into it, unlike EACCES.
var local = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENETDOWN, syscall.EPERM,
}

// ambiguous are the errors of a connection attempt that may come from this machine.
var ambiguous = []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EACCES, syscall.EINVAL}

// isLocal reports whether err by itself says that this machine cannot make the probe.
func isLocal(err error) bool {
	if errors.As(err, new(localError)) {
		return true
	}
	var call *os.SyscallError
	if errors.As(err, &call) && (call.Syscall == "socket" || call.Syscall == "bind") {
		return true
	}
	return isOneOf(err, local)
}

func isOneOf(err error, all []error) bool {
	return slices.ContainsFunc(all, func(one error) bool { return errors.Is(err, one) })
}

// systemDial is the Dial of a prober that is given none. A probe's connection lives for one
// exchange: keep-alives would only cost system calls.
func systemDial(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if source.IsValid() {
		dialer.LocalAddr, dialer.Control = localAddr(network, source), bindWithoutPort
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil && isOneOf(err, ambiguous) && failsAtOnce(err, source, network, address) {
		err = localError{err}
	}
	return conn, err
}

// localAddr is source as a [net.Dialer] takes it.
func localAddr(network string, source netip.Addr) net.Addr {
	at := netip.AddrPortFrom(source, 0)
	if network == "udp" {
		return net.UDPAddrFromAddrPort(at)
	}
	return net.TCPAddrFromAddrPort(at)
}

// failsAtOnce reports whether err, of a connection attempt, comes from this machine: whether
// an attempt that does not wait for the peer fails by the same error. Connecting a
// datagram socket or a unix socket never waits, so that their errors are always local.
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
