package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// header returns a header with a command, a family and protocol, and what follows the length.
func header(command, family byte, rest ...byte) []byte {
	h := append([]byte(signature), command, family)
	h = binary.BigEndian.AppendUint16(h, uint16(len(rest)))
	return append(h, rest...)
}

// TestParse has a case for each command and family, for fields after the addresses, and for each error. Each is read from
// a connection too, with a message after it that must stay there.
func TestParse(t *testing.T) {
	v4 := []byte{192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 53}
	v6 := append(append([]byte{}, netip.MustParseAddr("2001:db8::1").AsSlice()...), netip.MustParseAddr("2001:db8::2").AsSlice()...)
	v6 = append(v6, 0x30, 0x39, 0, 53)
	mapped := append(append([]byte{}, netip.MustParseAddr("::ffff:192.0.2.1").AsSlice()...), v6[16:]...)
	long := make([]byte, maxHeader-fixed-len(v4))
	for name, c := range map[string]struct {
		data   []byte
		client string
		err    error
	}{
		"UDP over IPv4":     {header(0x21, 0x12, v4...), "192.0.2.1:12345", nil},
		"TCP over IPv4":     {header(0x21, 0x11, v4...), "192.0.2.1:12345", nil},
		"UDP over IPv6":     {header(0x21, 0x22, v6...), "[2001:db8::1]:12345", nil},
		"TCP over IPv6":     {header(0x21, 0x21, v6...), "[2001:db8::1]:12345", nil},
		"IPv4 in IPv6":      {header(0x21, 0x21, mapped...), "192.0.2.1:12345", nil},
		"fields":            {header(0x21, 0x12, append(append([]byte{}, v4...), 4, 0, 1, 9)...), "192.0.2.1:12345", nil},
		"longest":           {header(0x21, 0x12, append(append([]byte{}, v4...), long...)...), "192.0.2.1:12345", nil},
		"too long":          {header(0x21, 0x12, append(append([]byte{0}, v4...), long...)...), "", ErrMalformed},
		"LOCAL":             {header(0x20, 0), "", nil},
		"LOCAL with fields": {header(0x20, 0, 4, 0, 1, 9), "", nil},
		"LOCAL, IPv4":       {header(0x20, 0x12, v4...), "", nil},
		"unspecified":       {header(0x21, 0), "", nil},
		"Unix":              {header(0x21, 0x31, make([]byte, 216)...), "", nil},
		"unknown family":    {header(0x21, 0x41, v6...), "", ErrMalformed},
		"unknown command":   {header(0x22, 0x12, v4...), "", ErrMalformed},
		"unknown version":   {header(0x31, 0x12, v4...), "", ErrMalformed},
		"short IPv4":        {header(0x21, 0x12, v4[:11]...), "", ErrMalformed},
		"short IPv6":        {header(0x21, 0x22, v6[:35]...), "", ErrMalformed},
		"version 1":         {[]byte("PROXY TCP4 192.0.2.1 198.51.100.2 12345 53\r\n"), "", ErrVersion1},
		"DNS":               {[]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01"), "", ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			message := []byte("message")
			client, size, err := Parse(append(bytes.Clone(c.data), message...))
			if !errors.Is(err, c.err) || (err == nil && size != len(c.data)) {
				t.Fatalf("size %d, error %v; want %d and %v", size, err, len(c.data), c.err)
			}
			if got := client.String(); c.client != "" && got != c.client || c.client == "" && client.IsValid() {
				t.Errorf("client %s, want %q", got, c.client)
			}
			r := iotest.OneByteReader(bytes.NewReader(append(bytes.Clone(c.data), message...)))
			read, err := Read(r)
			if !errors.Is(err, c.err) || read != client {
				t.Errorf("from a connection: %v, %v", read, err)
			}
			if rest, _ := io.ReadAll(r); err == nil && string(rest) != "message" {
				t.Errorf("%q is left", rest)
			}
			if err != nil {
				return
			}
			for n := range c.data {
				if _, _, err := Parse(c.data[:n]); err == nil {
					t.Errorf("the first %d octets are a header", n)
				}
				if _, err := Read(bytes.NewReader(c.data[:n])); err == nil {
					t.Errorf("a connection with %d octets has a header", n)
				}
			}
		})
	}
}

// TestParseDoesNotAllocate reads the header of a UDP packet.
func TestParseDoesNotAllocate(t *testing.T) {
	data := header(0x21, 0x12, 192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 53)
	for _, octets := range [][]byte{data, data[:20], []byte("PROXY TCP4"), {1}} {
		if n := testing.AllocsPerRun(100, func() { _, _, _ = Parse(octets) }); n != 0 {
			t.Errorf("%x: %v allocations", octets, n)
		}
	}
}

// FuzzParse compares Parse with Read, and checks that a header is within the data and its limit.
func FuzzParse(f *testing.F) {
	f.Add(header(0x21, 0x12, 192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 53))
	f.Add(header(0x20, 0))
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.2 12345 53\r\n"))
	f.Add([]byte(strings.Repeat(signature, 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		client, size, err := Parse(data)
		r := bytes.NewReader(data)
		read, readErr := Read(r)
		if (err == nil) != (readErr == nil) || err == nil && (read != client || size != len(data)-r.Len() || size > maxHeader) {
			t.Errorf("%x: %v, %d, %v; from a connection %v, %v, with %d left", data, client, size, err, read, readErr, r.Len())
		}
	})
}

// TestMayStart has the beginnings of a header, and of what is none.
func TestMayStart(t *testing.T) {
	for n := 1; n <= len(signature); n++ {
		if !MayStart([]byte(signature[:n])) {
			t.Errorf("the first %d octets may not start a header", n)
		}
	}
	for _, data := range []string{"", "\r\n\r\n\x01", "\x16\x03\x01\x02\x00", version1} {
		if MayStart([]byte(data)) {
			t.Errorf("%q may start a header", data)
		}
	}
}
