package encrypted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"meridian/server/answer"
)

const (
	// FrameHead is the size of the length before each message of DNS over QUIC (RFC 9250 4.2).
	FrameHead = 2
	// MaxFrame is the size of the largest query with its length.
	MaxFrame = FrameHead + maxQuery
)

// The error codes of DNS over QUIC (RFC 9250 4.3).
const (
	DoQNoError       = 0
	DoQProtocolError = 2
	DoQCancelled     = 3
	DoQExcessiveLoad = 4
	DoQUnspecified   = 5
)

var (
	// ErrProtocol is the error of a client that violates the protocol (RFC 9250 4.3.3).
	ErrProtocol = errors.New("the stream does not have one query with ID 0")
	// ErrTooLarge is the error of a query that is larger than maxQuery.
	ErrTooLarge = errors.New("the query is too large")
)

// ReadFramedQuery reads the only query of a stream of DNS over QUIC, up to the end of the stream, into buffer or a larger one.
func ReadFramedQuery(stream io.Reader, buffer []byte) (query []byte, err error) {
	received := bytes.NewBuffer(buffer[:0])
	_, err = received.ReadFrom(io.LimitReader(stream, MaxFrame+1))
	frame := received.Bytes()
	switch {
	case err != nil:
		return nil, err
	case len(frame) > MaxFrame:
		return nil, ErrTooLarge
	case len(frame) < FrameHead+answer.HeaderSize || len(frame) != FrameHead+int(binary.BigEndian.Uint16(frame)):
		return nil, ErrProtocol
	}
	query = frame[FrameHead:]
	if id := binary.BigEndian.Uint16(query); id != 0 {
		return nil, ErrProtocol
	}
	return query, nil
}
