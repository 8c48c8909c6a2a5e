package xdp

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ringSize is the number of elements of each ring, and of frames for each direction.
	ringSize = 2048
	// vlanTag is room for a tag, which the kernel may leave in the frame.
	vlanTag = 4
	// headroom is what the kernel keeps free in front of a packet.
	headroom = 256
	// smallFrame and largeFrame are the sizes of a frame that the kernel permits on every machine.
	smallFrame, largeFrame = 2048, 4096
)

// frameSize returns the size of a frame for packets of a link with this MTU; 0: they are too large.
func frameSize(mtu int) int {
	for _, size := range [...]int{smallFrame, largeFrame} {
		if mtu+ethernetSize+vlanTag <= size-headroom {
			return size
		}
	}
	return 0
}

// socket is an AF_XDP socket with its frames. The first half of the frames is for received packets, and is in the fill
// ring, the kernel or the receive ring; the second half is for answers: free, or in the send ring, the kernel or the completion ring.
type socket struct {
	file     *os.File
	fd       int
	frames   []byte
	size     int // of a frame
	fill     *ring[uint64]
	received *ring[unix.XDPDesc]
	sent     *ring[unix.XDPDesc]
	done     *ring[uint64]
	free     []uint64 // frames for answers
	zeroCopy bool
}

// openSocket opens the socket of a queue of an interface. copying forbids the driver to write into the frames.
func openSocket(ifindex, queue, mtu int, copying bool) (*socket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	s := &socket{fd: fd, size: frameSize(mtu), file: os.NewFile(uintptr(fd), "AF_XDP")}
	if err := s.bind(ifindex, queue, copying); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// bind makes the frames and rings of a socket, and binds it.
func (s *socket) bind(ifindex, queue int, copying bool) error {
	if err := s.allocate(); err != nil {
		return err
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	if copying {
		flags |= unix.XDP_COPY
	}
	if err := unix.Bind(s.fd, &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: uint32(queue)}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	var options uint32
	if err := s.option(unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options)); err == nil {
		s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	}
	return nil
}

// allocate makes the frames.
func (s *socket) allocate() (err error) {
	const count = 2 * ringSize
	if s.frames, err = unix.Mmap(-1, 0, count*s.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	s.free = make([]uint64, 0, ringSize)
	for i := range ringSize {
		s.free = append(s.free, uint64(ringSize+i)*uint64(s.size))
	}
	region := struct { // the short form of struct xdp_umem_reg, which all kernels know
		Addr, Len uint64
		Size      uint32
		Headroom  uint32
		Flags     uint32
		_         uint32
	}{Addr: uint64(uintptr(unsafe.Pointer(&s.frames[0]))), Len: uint64(len(s.frames)), Size: uint32(s.size)}
	return s.setOption(unix.XDP_UMEM_REG, unsafe.Pointer(&region), unsafe.Sizeof(region))
}

// mapRings makes the rings, and fills the fill ring.
func (s *socket) mapRings() (err error) {
	size := uint32(ringSize)
	for _, name := range [...]int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := s.setOption(name, unsafe.Pointer(&size), unsafe.Sizeof(size)); err != nil {
			return err
		}
	}
	var at unix.XDPMmapOffsets
	if err := s.option(unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), unsafe.Sizeof(at)); err != nil {
		return err
	}
	if s.received, err = mapRing[unix.XDPDesc](s.fd, at.Rx, unix.XDP_PGOFF_RX_RING, ringSize); err != nil {
		return fmt.Errorf("receive ring: %w", err)
	}
	if s.sent, err = mapRing[unix.XDPDesc](s.fd, at.Tx, unix.XDP_PGOFF_TX_RING, ringSize); err != nil {
		return fmt.Errorf("send ring: %w", err)
	}
	if s.fill, err = mapRing[uint64](s.fd, at.Fr, unix.XDP_UMEM_PGOFF_FILL_RING, ringSize); err != nil {
		return fmt.Errorf("fill ring: %w", err)
	}
	if s.done, err = mapRing[uint64](s.fd, at.Cr, unix.XDP_UMEM_PGOFF_COMPLETION_RING, ringSize); err != nil {
		return fmt.Errorf("completion ring: %w", err)
	}
	for i := range ringSize {
		s.fill.put(uint64(i) * uint64(s.size))
	}
	s.fill.produced()
	return nil
}

// close closes the socket and frees its memory. The kernel keeps a reference of its own to the frames while it uses them.
func (s *socket) close() {
	_ = s.file.Close()
	s.received.unmap()
	s.sent.unmap()
	s.fill.unmap()
	s.done.unmap()
	if s.frames != nil {
		_ = unix.Munmap(s.frames)
	}
}

// frame returns the memory of a frame from a place in it to its end.
func (s *socket) frame(at uint64) []byte {
	end := (at/uint64(s.size) + 1) * uint64(s.size)
	return s.frames[at:end:end]
}

func (s *socket) setOption(name int, value unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(name), uintptr(value), size, 0); errno != 0 {
		return fmt.Errorf("option %d of AF_XDP: %w", name, errno)
	}
	return nil
}

func (s *socket) option(name int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(name), uintptr(value), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return fmt.Errorf("option %d of AF_XDP: %w", name, errno)
	}
	return nil
}

// statistics returns what the kernel counts.
func (s *socket) statistics() (all Statistics) {
	var raw struct{ Dropped, Invalid, InvalidSent, Full, FillEmpty, SendEmpty uint64 } // struct xdp_statistics
	if s.option(unix.XDP_STATISTICS, unsafe.Pointer(&raw), unsafe.Sizeof(raw)) != nil {
		return all
	}
	return Statistics{Full: raw.Full, Invalid: raw.Invalid + raw.InvalidSent, NoFrames: raw.FillEmpty + raw.Dropped}
}
