package dnstap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// fileMode is the mode of new files: queries show what clients do.
const fileMode = 0o640

// openFile opens a Frame Streams file for appending. What follows the last complete frame of an existing file is
// removed: STOP after a regular end, a part of a frame after a crash.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := resume(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// file is the part of os.File that resume needs.
type file interface {
	io.ReadWriteSeeker
	Truncate(size int64) error
}

// resume positions f after its last complete frame. It begins the stream of an empty file.
func resume(f file) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || !seekable(f) {
		_, err = f.Write(appendControl(nil, start)) // a pipe or a device
		return err
	}
	if end == 0 {
		_, err := f.Write(appendControl(nil, start))
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 1<<16)
	var begin bytes.Buffer // of another length than ours, if another program wrote it
	if err := readControl(io.TeeReader(r, &begin), start); err != nil {
		return errors.New("it is not a dnstap file: " + err.Error())
	}
	last := int64(begin.Len())
	for {
		size, ok := skipFrame(r)
		if !ok {
			break
		}
		last += size
	}
	if err := f.Truncate(last); err != nil {
		return err
	}
	_, err = f.Seek(last, io.SeekStart)
	return err
}

// seekable reports whether f is a file with content; reading from a device such as /dev/null is not useful.
func seekable(f file) bool {
	of, ok := f.(*os.File)
	if !ok {
		return true
	}
	info, err := of.Stat()
	return err == nil && info.Mode().IsRegular()
}

// skipFrame reads a whole data frame and returns its size. ok is false at the end, at a control frame, and within a
// frame.
func skipFrame(r *bufio.Reader) (size int64, ok bool) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, false
	}
	length := int(binary.BigEndian.Uint32(head[:]))
	if length == 0 || length > maxFrame {
		return 0, false
	}
	if n, err := r.Discard(length); err != nil || n < length {
		return 0, false
	}
	return int64(lengthSize + length), true
}

// maxFrame is longer than any frame of ours: two DNS messages and the fields around them.
const maxFrame = 256 << 10
