package xdp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const (
	maxAddresses = 4096 // that packets are taken for
	maxQueues    = 256

	pass = 2 // XDP_PASS: the kernel gets the packet

	// The offsets of fields in struct xdp_md.
	dataAt, dataEndAt, queueAt = 0, 4, 16

	keySize = 20 // an address in 16 octets, a port in 2, and 2 of padding
)

// program is the program that picks packets, with its maps.
type program struct {
	*ebpf.Program
	addresses *ebpf.Map // packets to these are taken; the key is keyOf
	sockets   *ebpf.Map // by receive queue
}

// keyOf returns the key of an address in program.addresses.
func keyOf(a netip.AddrPort) (key [keySize]byte) {
	address := a.Addr().As16() // IPv4 in its mapped form
	copy(key[:], address[:])
	binary.BigEndian.PutUint16(key[16:], a.Port())
	return key
}

// loadProgram loads the program for an interface with this link address: frames to another one are not for this host.
func loadProgram(link net.HardwareAddr) (*program, error) {
	p := new(program)
	if err := p.load(link); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *program) load(link net.HardwareAddr) (err error) {
	if p.addresses, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: keySize, ValueSize: 1, MaxEntries: maxAddresses}); err != nil {
		return fmt.Errorf("map of addresses: %w", err)
	}
	if p.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: maxQueues}); err != nil {
		return fmt.Errorf("map of sockets: %w", err)
	}
	p.Program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "meridian", Type: ebpf.XDP, License: "Apache-2.0", Instructions: p.instructions(link)})
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	return nil
}

func (p *program) close() {
	if p.Program != nil {
		_ = p.Program.Close()
	}
	for _, m := range [...]*ebpf.Map{p.addresses, p.sockets} {
		if m != nil {
			_ = m.Close()
		}
	}
}

// network returns the number that a load of two octets gives for a number in network order.
func network(n uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)))
}

// Registers: R6 is the context, R7 the begin of the packet and R8 its end.
//
// instructions returns the program. It reads an Ethernet header, an IPv4 header without
// options or an IPv6 header without extension headers, and the port; it changes nothing.
func (p *program) instructions(link net.HardwareAddr) asm.Instructions {
	all := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, dataAt, asm.Word),
		asm.LoadMem(asm.R8, asm.R6, dataEndAt, asm.Word),
	}
	all = append(all, ensure(ethernetSize)...)
	all = append(all,
		asm.LoadMem(asm.R1, asm.R7, 0, asm.Word),
		asm.LoadImm(asm.R2, int64(binary.NativeEndian.Uint32(link)), asm.DWord),
		asm.JNE.Reg(asm.R1, asm.R2, "pass"),
		asm.LoadMem(asm.R1, asm.R7, 4, asm.Half),
		asm.JNE.Imm(asm.R1, int32(binary.NativeEndian.Uint16(link[4:])), "pass"),
		asm.LoadMem(asm.R1, asm.R7, 12, asm.Half),
		asm.JEq.Imm(asm.R1, network(typeIPv4), "ipv4"),
		asm.JEq.Imm(asm.R1, network(typeIPv6), "ipv6"),
		asm.Ja.Label("pass"),
	)
	all = append(all, ipv4Key("ipv4", ethernetSize)...)
	all = append(all, ipv6Key("ipv6", ethernetSize)...)
	return append(all,
		asm.LoadMapPtr(asm.R1, p.addresses.FD()).WithSymbol("look up"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -keySize),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMapPtr(asm.R1, p.sockets.FD()),
		asm.LoadMem(asm.R2, asm.R6, queueAt, asm.Word),
		asm.Mov.Imm(asm.R3, pass), // for a queue without a socket
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, pass).WithSymbol("pass"),
		asm.Return(),
	)
}

// ensure leaves a packet shorter than size to the kernel. The verifier requires it before a load.
func ensure(size int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.Add.Imm(asm.R1, size),
		asm.JGT.Reg(asm.R1, asm.R8, "pass"),
	}
}

// ipv4Key makes the key of an IPv4 packet on the stack.
func ipv4Key(name string, ip int16) asm.Instructions {
	begin := ensure(int32(ip) + ipv4Size + udpSize)
	begin[0] = begin[0].WithSymbol(name)
	return append(begin,
		asm.LoadMem(asm.R1, asm.R7, ip, asm.Byte),
		asm.JNE.Imm(asm.R1, 0x45, "pass"),
		asm.LoadMem(asm.R1, asm.R7, ip+9, asm.Byte),
		asm.JNE.Imm(asm.R1, protocolUDP, "pass"),
		asm.LoadMem(asm.R1, asm.R7, ip+6, asm.Half),
		asm.And.Imm(asm.R1, network(moreOrLater)),
		asm.JNE.Imm(asm.R1, 0, "pass"),
		asm.StoreImm(asm.RFP, -keySize, 0, asm.Word),
		asm.StoreImm(asm.RFP, -keySize+4, 0, asm.Word),
		asm.StoreImm(asm.RFP, -keySize+8, 0, asm.Half),
		asm.StoreImm(asm.RFP, -keySize+10, 0xffff, asm.Half),
		asm.LoadMem(asm.R1, asm.R7, ip+16, asm.Word),
		asm.StoreMem(asm.RFP, -keySize+12, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R7, ip+ipv4Size+2, asm.Half),
		asm.StoreMem(asm.RFP, -keySize+16, asm.R1, asm.Half),
		asm.StoreImm(asm.RFP, -keySize+18, 0, asm.Half),
		asm.Ja.Label("look up"),
	)
}

// ipv6Key is ipv4Key for IPv6.
func ipv6Key(name string, ip int16) asm.Instructions {
	all := ensure(int32(ip) + ipv6Size + udpSize)
	all[0] = all[0].WithSymbol(name)
	all = append(all,
		asm.LoadMem(asm.R1, asm.R7, ip+6, asm.Byte),
		asm.JNE.Imm(asm.R1, protocolUDP, "pass"),
	)
	for i := int16(0); i < 16; i += 4 {
		all = append(all,
			asm.LoadMem(asm.R1, asm.R7, ip+24+i, asm.Word),
			asm.StoreMem(asm.RFP, -keySize+i, asm.R1, asm.Word),
		)
	}
	return append(all,
		asm.LoadMem(asm.R1, asm.R7, ip+ipv6Size+2, asm.Half),
		asm.StoreMem(asm.RFP, -keySize+16, asm.R1, asm.Half),
		asm.StoreImm(asm.RFP, -keySize+18, 0, asm.Half),
		asm.Ja.Label("look up"),
	)
}
