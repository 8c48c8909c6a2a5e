package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"meridian/handover"
)

// inheritUDP makes a worker of each inherited UDP socket. It returns false if there is none.
//
//	sockets               workers
//	fewer                 the others are added at start
//	more, of a process    the others are left to that process, which answers what waits in them
//	more, of systemd      each socket gets a worker: no other process would answer what it receives
func (l *listener) inheritUDP(workers int) (bool, error) {
	files := l.server.options.Inherited.Take(handover.UDP, l.asked)
	if len(files) == 0 {
		return false, nil
	}
	return true, l.useUDP(files, workers, l.server.options.Inherited.Shared())
}

// useUDP is inheritUDP for these sockets, which another process reads too if they are shared.
func (l *listener) useUDP(files []*os.File, workers int, shared bool) error {
	for _, f := range files {
		defer f.Close() //nolint:errcheck // its worker has a descriptor of its own
	}
	for i, f := range files {
		conn, err := inheritedUDP(f, l.addr)
		if err != nil {
			return fmt.Errorf("listen on %s, UDP: inherited socket: %w", l.asked, err)
		}
		if i < workers || !shared {
			l.udp = append(l.udp, newUDPWorker(l.server, conn, l.addr.Addr()))
		} else {
			l.surplus = append(l.surplus, conn)
		}
	}
	l.missing = max(0, workers-len(files))
	return nil
}

// inheritedUDP prepares a socket like listenUDP.
func inheritedUDP(f *os.File, addr netip.AddrPort) (*net.UDPConn, error) {
	conn, err := inheritedPackets(f)
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = prepareUDP("", "", raw)
	}
	if err == nil {
		err = completeUDP(conn, addr.Addr())
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// inheritedPackets returns the connection of an inherited UDP socket.
func inheritedPackets(f *os.File) (*net.UDPConn, error) {
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("it is not of UDP but of %s", c.LocalAddr().Network()), c.Close())
	}
	return conn, nil
}

// adjustWorkers makes the number of workers that of the configuration, when the listener starts to answer.
func (l *listener) adjustWorkers() {
	if err := l.addWorkers(l.missing); err != nil {
		l.server.options.Logger.Warn("UDP workers cannot be added; fewer share the queries",
			"listen", l.asked.String(), "workers", len(l.udp), "error", err, "hint", "a socket of another user must be opened with ReusePort=, once for each worker")
	}
	l.missing = 0
	for _, conn := range l.surplus {
		leaveGroup(conn)
		_ = conn.Close() // the other process has it
	}
	l.surplus = nil
}
