package xdp

import (
	"encoding/binary"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVLANsAboveAnInterfaceAreFound(t *testing.T) {
	attribute := func(kind uint16, value []byte) syscall.NetlinkRouteAttr {
		return syscall.NetlinkRouteAttr{Attr: syscall.RtAttr{Type: kind}, Value: value}
	}
	index := binary.NativeEndian.AppendUint32(nil, 7)
	// A nested attribute: its size, IFLA_INFO_KIND, the kind with a zero at its end.
	info := func(kind string) []byte {
		return append(append(binary.NativeEndian.AppendUint16(nil, uint16(5+len(kind))), 1, 0), kind+"\x00"...)
	}
	vlan, other := attribute(unix.IFLA_LINKINFO, info("vlan")), attribute(unix.IFLA_LINKINFO, info("macvlan7"))
	above := attribute(unix.IFLA_LINK, index)
	for name, c := range map[string]struct {
		attributes []syscall.NetlinkRouteAttr
		of         int
		want       bool
	}{
		"a VLAN":                    {[]syscall.NetlinkRouteAttr{above, vlan}, 7, true},
		"a VLAN of another":         {[]syscall.NetlinkRouteAttr{above, vlan}, 8, false},
		"another kind of interface": {[]syscall.NetlinkRouteAttr{above, other}, 7, false},
		"no interface above":        {[]syscall.NetlinkRouteAttr{vlan}, 7, false},
		"no attributes":             {nil, 7, false},
	} {
		if got := isVLANOf(c.attributes, c.of); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The settings of interfaces that every machine has, and of one that none has, can be read.
func TestFeaturesOfInterfaces(t *testing.T) {
	for _, name := range []string{"lo", "missing0"} {
		if driver, removes := features(name); driver == "veth" || name == "missing0" && removes {
			t.Errorf("%s: driver %q, removes VLAN tags %v", name, driver, removes)
		}
	}
}
