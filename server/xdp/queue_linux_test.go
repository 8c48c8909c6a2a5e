package xdp

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// kernelRing returns a ring in memory, and this side's position in it.
func kernelRing[T unix.XDPDesc | uint64](size int, at uint32) *ring[T] {
	r := &ring[T]{producer: new(uint32), consumer: new(uint32), flags: new(uint32), elements: make([]T, size), at: at}
	*r.producer, *r.consumer = at, at
	return r
}

// TestRingIsAQueue makes random operations on both sides of a ring, and compares with a slice. The positions pass the end of
// their 32 bits.
func TestRingIsAQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const size = 8
	for _, begin := range []uint32{0, 5, math.MaxUint32 - 10} {
		// The kernel consumes what this side puts.
		r := kernelRing[uint64](size, begin)
		var put, sent []uint64 // not yet produced; not yet consumed
		for i := range uint64(1000) {
			switch random.IntN(3) {
			case 0:
				if len(put)+len(sent) < size {
					r.put(i)
					put = append(put, i)
				}
			case 1:
				r.produced()
				sent, put = append(sent, put...), nil
			case 2:
				if len(sent) == 0 {
					continue
				}
				if got := r.elements[*r.consumer%size]; got != sent[0] {
					t.Fatalf("the kernel consumes %d, want %d", got, sent[0])
				}
				*r.consumer++
				sent = sent[1:]
			}
			if r.pending() != len(put)+len(sent) || int(*r.producer-*r.consumer) != len(sent) {
				t.Fatalf("%d pending, %d for the kernel; want %d and %d", r.pending(), *r.producer-*r.consumer, len(put)+len(sent), len(sent))
			}
		}
		// This side consumes what the kernel puts.
		r = kernelRing[uint64](size, begin)
		var received []uint64
		returned := 0 // consumed and not reported yet
		for i := range uint64(1000) {
			switch random.IntN(3) {
			case 0:
				if *r.producer-*r.consumer < size {
					r.elements[*r.producer%size] = i
					*r.producer++
					received = append(received, i)
				}
			case 1:
				if r.available() != len(received) {
					t.Fatalf("%d available, want %d", r.available(), len(received))
				}
				if len(received) > 0 {
					if got := r.next(); got != received[0] {
						t.Fatalf("next returns %d, want %d", got, received[0])
					}
					received = received[1:]
					returned++
				}
			case 2:
				r.consumed()
				returned = 0
			}
			if used := int(*r.producer - *r.consumer); used != len(received)+returned {
				t.Fatalf("%d elements are used, want %d", used, len(received)+returned)
			}
		}
	}
}

func TestWakeupIsAFlagOfItsOwn(t *testing.T) {
	r := kernelRing[uint64](8, 0)
	for flags, want := range map[uint32]bool{0: false, unix.XDP_RING_NEED_WAKEUP: true, ^uint32(unix.XDP_RING_NEED_WAKEUP): false, math.MaxUint32: true} {
		if *r.flags = flags; r.needsWakeup() != want {
			t.Errorf("flags %x: %v", flags, r.needsWakeup())
		}
	}
}

// TestFramesHoldThePacketsOfTheirLink compares the size of frames with the packets at every MTU.
func TestFramesHoldThePacketsOfTheirLink(t *testing.T) {
	for mtu := range 5000 {
		size := frameSize(mtu)
		whole := mtu + ethernetSize + vlanTag
		switch {
		case size == 0:
			if whole <= largeFrame-headroom {
				t.Errorf("no frame for an MTU of %d", mtu)
			}
		case size != smallFrame && size != largeFrame, whole > size-headroom:
			t.Errorf("a frame of %d for an MTU of %d", size, mtu)
		case size == largeFrame && whole <= smallFrame-headroom:
			t.Errorf("a large frame for an MTU of %d", mtu)
		}
	}
}

// memoryQueue returns a queue whose kernel is the test.
func memoryQueue(mtu, answerFrames int) *Queue {
	s := &socket{
		size: frameSize(mtu), fd: -1,
		fill: kernelRing[uint64](16, 7), received: kernelRing[unix.XDPDesc](16, 7), sent: kernelRing[unix.XDPDesc](16, 7), done: kernelRing[uint64](16, 7),
	}
	s.frames = make([]byte, 32*s.size)
	for i := range answerFrames {
		s.free = append(s.free, uint64(16+i)*uint64(s.size))
	}
	return &Queue{socket: s, link: &Link{mtu: mtu}}
}

// echo answers each packet with its payload, repeated, as far as there is room; a payload that begins with "-" has no answer.
type echo struct {
	begun, ended int
	times        int
	answered     []int // the sizes
	empty        int   // without payload
}

func (e *echo) BeginBatch()    { e.begun++ }
func (e *echo) EndBatch(n int) { e.ended += n }
func (e *echo) End()           {}
func (e *echo) Answer(out []byte, p *Packet) []byte {
	if bytes.HasPrefix(p.Payload, []byte("-")) {
		return out
	}
	whole := bytes.Repeat(p.Payload, e.times)
	n := min(len(whole), cap(out))
	if e.answered = append(e.answered, n); n == 0 {
		e.empty++
	}
	return append(out, whole[:n]...)
}

// TestNoFrameIsLostOrUsedTwice gives random packets to a queue, as the kernel does, and takes answers with delays. At any time each frame is
// in exactly one place, and each answer is the packet of the opposite direction.
func TestNoFrameIsLostOrUsedTwice(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	const answerFrames = 5
	q := memoryQueue(1500, answerFrames)
	h := &echo{times: 2}
	var filled []uint64 // frames that the kernel may write into
	for i := range uint64(16) {
		filled = append(filled, i*uint64(q.size))
	}
	var inKernel []uint64 // answers that the kernel sends
	received, malformed, wrong, silent, sent, at := 0, 0, 0, 0, 0, 0
	nextSize := func() int { // of the answers that are sent
		for h.answered[at] == 0 {
			at++
		}
		at++
		return h.answered[at-1]
	}
	for step := range 3000 {
		for range random.IntN(4) { // packets arrive
			if len(filled) == 0 {
				break
			}
			frame, _, _, _ := randomFrame(random)
			switch random.IntN(6) {
			case 0:
				frame = frame[:random.IntN(20)]
				malformed++
			case 1:
				frame[len(frame)-1-random.IntN(4)] ^= 0x10
				wrong++
			case 2:
				frame = frameOf(client4, server4, nil, []byte("-"))
				silent++
			}
			at := filled[0] + uint64(random.IntN(2)*headroom)
			filled = filled[1:]
			copy(q.frames[at:], frame)
			q.received.elements[*q.received.producer%16] = unix.XDPDesc{Addr: at, Len: uint32(len(frame))}
			*q.received.producer++
			received++
		}
		for range random.IntN(3) { // sent frames come back
			if len(inKernel) == 0 {
				break
			}
			i := random.IntN(len(inKernel))
			q.done.elements[*q.done.producer%16] = inKernel[i]
			inKernel = slices.Delete(inKernel, i, i+1)
			*q.done.producer++
		}
		q.answerBatch(h)
		for *q.fill.consumer != *q.fill.producer {
			filled = append(filled, q.fill.elements[*q.fill.consumer%16])
			*q.fill.consumer++
		}
		for *q.sent.consumer != *q.sent.producer {
			d := q.sent.elements[*q.sent.consumer%16]
			*q.sent.consumer++
			var p Packet
			if v := p.Parse(q.frames[d.Addr:d.Addr+uint64(d.Len)], false); v != Valid || p.Source.Port() != 53 || len(p.Payload) != nextSize() {
				t.Fatalf("seed %d, step %d: answer %d has verdict %d, from %v, with %d octets", seed, step, sent, v, p.Source, len(p.Payload))
			}
			sent++
			inKernel = append(inKernel, d.Addr)
		}
		waiting := q.done.elements[:0:0]
		for i := *q.done.consumer; i != *q.done.producer; i++ {
			waiting = append(waiting, q.done.elements[i%16])
		}
		all := slices.Concat(filled, inKernel, waiting, q.free)
		slices.Sort(all)
		if len(all) != 16+answerFrames || len(slices.Compact(all)) != 16+answerFrames || all[len(all)-1] != uint64(16+answerFrames-1)*uint64(q.size) {
			t.Fatalf("seed %d, step %d: frames %v", seed, step, all)
		}
	}
	unsent := int(q.unsent.Load())
	refused := int(q.refused[Malformed].Load() + q.refused[BadChecksum].Load())
	if h.ended != received || refused != malformed+wrong || sent+unsent+refused > received || sent+unsent+refused+silent+h.empty < received || unsent == 0 || sent == 0 {
		t.Errorf("seed %d: %d received, %d ended, %d refused of %d, %d without answer, %d sent, %d unsent", seed, received, h.ended, refused, malformed+wrong, silent, sent, unsent)
	}
	if got := (&Link{queues: nil}).Statistics(); got != (Statistics{}) {
		t.Errorf("statistics of no queue: %+v", got)
	}
}

// TestAnswersFillThePacketsOfTheLink answers with more than fits at each MTU: the answer is as long as the link permits.
func TestAnswersFillThePacketsOfTheLink(t *testing.T) {
	for _, mtu := range []int{0, 27, 28, 47, 48, 49, 68, 576, 1280, 1500, 1774, 1775, 3000, 3822} {
		for _, frame := range [][]byte{frameOf(client4, server4, nil, []byte("query")), frameOf(client6, server6, nil, []byte("query"))} {
			q := memoryQueue(mtu, 1)
			h := &echo{times: 10000}
			headers := len(frame) - len("query")
			q.answer(h, frame)
			room := max(0, mtu-(headers-ethernetSize))
			if h.answered[0] != room {
				t.Errorf("MTU %d: room for %d octets, want %d", mtu, h.answered[0], room)
			}
			if room == 0 {
				if q.sent.pending() != 0 || len(q.free) != 1 {
					t.Errorf("MTU %d: an empty answer is sent", mtu)
				}
				continue
			}
			if d := q.sent.elements[7]; q.sent.pending() != 1 || int(d.Len) != mtu+ethernetSize || len(q.free) != 0 {
				t.Errorf("MTU %d: %d octets are sent", mtu, d.Len)
			}
		}
	}
}

// TestBatchesEndAtTheirSize receives more than a batch; each packet is in one batch.
func TestBatchesEndAtTheirSize(t *testing.T) {
	q := memoryQueue(1500, 0)
	q.received = kernelRing[unix.XDPDesc](256, 0)
	q.fill = kernelRing[uint64](256, 0)
	*q.received.producer = 200
	h := new(echo)
	var sizes []int
	for {
		n := q.answerBatch(h)
		if n == 0 {
			break
		}
		sizes = append(sizes, n)
	}
	if !slices.Equal(sizes, []int{64, 64, 64, 8}) || h.begun != 4 || h.ended != 200 || q.refused[Malformed].Load() != 200 {
		t.Errorf("batches %v, %d begun, %d packets, %d refused", sizes, h.begun, h.ended, q.refused[Malformed].Load())
	}
}

// TestSumIsThatOfPairsOfOctets compares the sum that reads eight octets at a time with the slow one, at every length and offset.
func TestSumIsThatOfPairsOfOctets(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for length := range 70 {
		for _, fill := range []func() byte{func() byte { return 0 }, func() byte { return 0xff }, func() byte { return byte(random.Uint32()) }} {
			b := make([]byte, length)
			for i := range b {
				b[i] = fill()
			}
			if got, want := fold(sum(b, 0)), ^slowChecksum(b); got != want {
				t.Errorf("%x: %x, want %x", b, got, want)
			}
			for cut := 0; cut <= length; cut += 2 { // sums of parts add, if they begin at an even offset
				if got, want := fold(sum(b[cut:], sum(b[:cut], 0))), ^slowChecksum(b); got != want {
					t.Errorf("%x cut at %d: %x, want %x", b, cut, got, want)
				}
			}
		}
	}
	for in, want := range map[uint64]uint16{0: 0, 1: 1, 0xffff: 0xffff, 0x10000: 1, 0x1ffff: 1, 0xffffffff: 0xffff, math.MaxUint64: 0xffff, 0xfffe0001: 0xffff} {
		if got := fold(in); got != want {
			t.Errorf("fold(%x) is %x, want %x", in, got, want)
		}
	}
}

// TestChecksumThatIsZeroIsSentAsOnes finds payloads whose checksum would be 0, which means none.
func TestChecksumThatIsZeroIsSentAsOnes(t *testing.T) {
	for _, frame := range [][]byte{frameOf(client4, server4, nil, []byte("query!")), frameOf(client6, server6, nil, []byte("query!"))} {
		var p Packet
		if v := p.Parse(frame, false); v != Valid {
			t.Fatal(v)
		}
		reply := make([]byte, p.HeaderSize()+2)
		p.Reply(reply)
		checksum := reply[len(reply)-4 : len(reply)-2]
		copy(reply[len(reply)-2:], bytes.Clone(checksum)) // the payload that makes the sum all ones
		p.Reply(reply)
		if binary.BigEndian.Uint16(checksum) != 0xffff {
			t.Fatalf("the checksum is %x", checksum)
		}
		var back Packet
		if v := back.Parse(reply, false); v != Valid {
			t.Errorf("the reply has verdict %d", v)
		}
	}
}

// TestSourcesThatTheKernelDrops is the table of sources that no other host can have.
func TestSourcesThatTheKernelDrops(t *testing.T) {
	for address, want := range map[string]bool{
		"0.0.0.0": false, "0.0.0.1": false, "0.255.255.255": false, "1.0.0.0": true, "127.0.0.1": false, "127.255.255.255": false, "128.0.0.1": true,
		"223.255.255.255": true, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": true, "255.255.255.254": true, "255.255.255.255": false,
		"::": false, "::1": false, "::2": true, "::ffff:192.0.2.1": false, "fe80::1": true, "fc00::1": true, "ff02::1": false, "ff0e::1": false, "2001:db8::1": true,
	} {
		if got := isHost(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

// TestStatisticsAdd adds field by field: each has a value of its own.
func TestStatisticsAdd(t *testing.T) {
	a, b := Statistics{1, 2, 3, 4, 5, 6}, Statistics{10, 20, 30, 40, 50, 60}
	if got, want := a.Plus(b), (Statistics{11, 22, 33, 44, 55, 66}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for mode, want := range map[Mode]string{Auto: "auto", Native: "native", Generic: "generic"} {
		if mode.String() != want {
			t.Errorf("mode %d is %s", mode, mode)
		}
	}
}

// TestRemediesSayWhatIsMissing maps the errors of the kernel.
func TestRemediesSayWhatIsMissing(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EPERM:  "operation not permitted: AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF",
		unix.EACCES: "permission denied: AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF",
		unix.EBUSY:  "another program is attached, or uses its queues: device or resource busy",
		unix.EEXIST: "another program is attached, or uses its queues: file exists",
		unix.EINVAL: "invalid argument",
	} {
		if got := remedy(errno).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := Attach(Options{Interface: "missing0"}); err == nil || err.Error() != "interface missing0: it does not exist" {
		t.Errorf("%v", err)
	}
	if _, err := Attach(Options{Interface: "lo"}); err == nil || err.Error() != "interface lo: it has no Ethernet addresses" {
		t.Errorf("%v", err)
	}
}
