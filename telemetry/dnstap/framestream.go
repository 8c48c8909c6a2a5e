package dnstap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// contentType is the content type of a stream of dnstap payloads.
const contentType = "protobuf:dnstap.Dnstap"

// control is the type of a control frame of Frame Streams.
type control uint32

// The control frames.
const (
	accept control = 1
	start  control = 2
	stop   control = 3
	ready  control = 4
	finish control = 5
)

func (c control) String() string {
	if c < accept || c > finish {
		return fmt.Sprintf("frame of type %d", uint32(c))
	}
	return [...]string{"ACCEPT", "START", "STOP", "READY", "FINISH"}[c-accept]
}

const (
	lengthSize       = 4   // of the length before each frame; 0 announces a control frame
	fieldContentType = 1   // the only field of control frames
	maxControl       = 512 // the longest control frame that is accepted, as in fstrm
)

// appendControl appends a control frame, with the content type unless c has no fields.
func appendControl(out []byte, c control) []byte {
	size := lengthSize
	withType := c == ready || c == start || c == accept
	if withType {
		size += 2*lengthSize + len(contentType)
	}
	out = binary.BigEndian.AppendUint32(out, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(size))
	out = binary.BigEndian.AppendUint32(out, uint32(c))
	if withType {
		out = binary.BigEndian.AppendUint32(out, fieldContentType)
		out = binary.BigEndian.AppendUint32(out, uint32(len(contentType)))
		out = append(out, contentType...)
	}
	return out
}

// readControl reads a control frame of type want. A frame with content types must list ours.
func readControl(r io.Reader, want control) error {
	var head [2 * lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("no %v: %w", want, err)
	}
	size := binary.BigEndian.Uint32(head[lengthSize:])
	if binary.BigEndian.Uint32(head[:]) != 0 || size < lengthSize || size > maxControl {
		return fmt.Errorf("no %v: the peer does not speak Frame Streams", want)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return fmt.Errorf("no %v: %w", want, err)
	}
	if got := control(binary.BigEndian.Uint32(frame)); got != want {
		return fmt.Errorf("%v in place of %v", got, want)
	}
	return checkContentTypes(frame[lengthSize:])
}

// errContentType is returned for a stream of something else than dnstap.
var errContentType = errors.New("the content type is not " + contentType)

// checkContentTypes checks the fields of a control frame: without a content type, any is accepted.
func checkContentTypes(fields []byte) error {
	listed := false
	for len(fields) > 0 {
		if len(fields) < 2*lengthSize {
			return errors.New("a control frame ends within a field")
		}
		kind, size := binary.BigEndian.Uint32(fields), binary.BigEndian.Uint32(fields[lengthSize:])
		fields = fields[2*lengthSize:]
		if kind != fieldContentType || uint64(size) > uint64(len(fields)) {
			return errors.New("a control frame has an unknown or too long field")
		}
		if bytes.Equal(fields[:size], []byte(contentType)) {
			return nil
		}
		listed, fields = true, fields[size:]
	}
	if listed {
		return errContentType
	}
	return nil
}

// handshake opens a bidirectional stream.
func handshake(peer io.ReadWriter) error {
	if _, err := peer.Write(appendControl(nil, ready)); err != nil {
		return err
	}
	if err := readControl(peer, accept); err != nil {
		return err
	}
	_, err := peer.Write(appendControl(nil, start))
	return err
}
