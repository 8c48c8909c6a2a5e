package encrypted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// frame returns a message with its length before it.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func TestReadFramedQuery(t *testing.T) {
	query := make([]byte, 40)
	query[5] = 1
	other := bytes.Clone(query)
	other[1] = 1
	for _, c := range []struct {
		what   string
		stream []byte
		err    error
	}{
		{"a query", frame(query), nil},
		{"the largest query", frame(make([]byte, maxQuery)), nil},
		{"a larger query", frame(make([]byte, maxQuery+1)), ErrTooLarge},
		{"nothing", nil, ErrProtocol},
		{"part of a length", []byte{0}, ErrProtocol},
		{"a length without a query", []byte{0, 40}, ErrProtocol},
		{"part of a query", frame(query)[:30], ErrProtocol},
		{"no header", frame(query[:11]), ErrProtocol},
		{"two queries", append(frame(query), frame(query)...), ErrProtocol},
		{"a message ID", frame(other), ErrProtocol},
	} {
		got, err := ReadFramedQuery(iotest.OneByteReader(bytes.NewReader(c.stream)), nil)
		if !errors.Is(err, c.err) || err == nil && !bytes.Equal(got, c.stream[FrameHead:]) {
			t.Errorf("%s: %x, %v, want %v", c.what, got, err, c.err)
		}
	}
	if _, err := ReadFramedQuery(io.MultiReader(bytes.NewReader([]byte{0}), iotest.ErrReader(io.ErrNoProgress)), nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a stream that fails: %v", err)
	}
}

// FuzzReadFramedQuery reads any stream.
func FuzzReadFramedQuery(f *testing.F) {
	f.Add(frame(make([]byte, 40)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		query, err := ReadFramedQuery(bytes.NewReader(stream), nil)
		if err == nil && (!bytes.Equal(frame(query), stream) || len(query) > maxQuery || query[0]|query[1] != 0) {
			t.Errorf("%x is read from %x", query, stream)
		}
	})
}
