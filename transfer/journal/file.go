package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meridian/dnsname"
)

// magic begins each file.
const magic = "meridian journal 1\n"

// An entry in a file has its length, a checksum of the length, one of the data, and the data.
const headSize = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CorruptError reports a file that was set aside.
type CorruptError struct {
	Path, Aside string
	Err         error
	Kept        int     // records of the overlay that its valid part has
	Valid       *uint32 // the serial that the valid part leads to; nil: it has no base entry
}

func (e *CorruptError) Error() string { return e.Path + ": " + e.Err.Error() }

// Open reads the journal of a zone, or begins one. With an empty path it is in memory only. A *CorruptError comes with a
// journal to use; any other error without.
func Open(path string, zone dnsname.Name, bounds Bounds) (*Journal, error) {
	return OpenSyncing(path, zone, bounds, (*os.File).Sync)
}

// OpenSyncing is Open with what makes a file or folder durable.
func OpenSyncing(path string, zone dnsname.Name, bounds Bounds, sync func(*os.File) error) (*Journal, error) {
	j := &Journal{zone: zone, path: path, bounds: bounds, sync: sync}
	if path == "" {
		return j, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	end, invalid := j.read(content)
	if invalid != nil {
		return j.setAside(content, invalid)
	}
	j.current, j.end = true, end
	return j, nil
}

// setAside renames a corrupt file, and begins another one with the overlay of the valid part. No content has its digest, so
// that the zone has a higher serial than before.
func (j *Journal) setAside(content []byte, why error) (*Journal, error) {
	corrupt := &CorruptError{Path: j.path, Aside: j.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405Z"), Err: why}
	if err := os.Rename(j.path, corrupt.Aside); err != nil {
		return nil, err
	}
	if j.known {
		serial := j.serial
		corrupt.Valid = &serial
	}
	j.changes, j.size = nil, 0
	if last, found := j.lastSerial(content); found {
		j.known, j.serial, j.digest = true, last, Digest{}
	}
	corrupt.Kept = len(j.overlay.Added) + len(j.overlay.Deleted)
	if j.known {
		if err := j.rewriteLocked(); err != nil {
			return nil, err
		}
	}
	return j, corrupt
}

// read reads a file. It returns the end of its entries, or an error after the valid ones.
func (j *Journal) read(content []byte) (end int64, err error) {
	rest, ok := bytes.CutPrefix(content, []byte(magic))
	if !ok {
		return 0, errors.New("it does not begin with " + fmt.Sprintf("%q", magic))
	}
	for {
		data, size, err := nextEntry(rest)
		switch {
		case err != nil:
			return 0, fmt.Errorf("at offset %d: %w", len(content)-len(rest), err)
		case data == nil && !j.known:
			return 0, errors.New("it has no base entry")
		case data == nil:
			return int64(len(content) - len(rest)), nil
		}
		if err := j.use(data); err != nil {
			return 0, fmt.Errorf("at offset %d: %w", len(content)-len(rest), err)
		}
		rest = rest[size:]
	}
}

// use applies an entry of a file: a change before the base entry is only history.
func (j *Journal) use(data []byte) error {
	if len(data) > 0 && data[0] == kindBase && !j.known {
		return j.useBase(data)
	}
	c, err := decodeChange(data)
	if err != nil {
		return err
	}
	if (j.known || len(j.changes) > 0) && c.From() != j.serial {
		return fmt.Errorf("a change from serial %d after serial %d", c.From(), j.serial)
	}
	j.inFile++
	if !j.known {
		c.Update = nil // the base has its effect
	}
	j.addLocked(c, entry{c.From(), c.To(), data})
	return nil
}

// useBase applies a base entry.
func (j *Journal) useBase(data []byte) error {
	b, err := decodeBase(data)
	switch {
	case err != nil:
		return err
	case b.zone != j.zone:
		return fmt.Errorf("it is the journal of zone %s", b.zone)
	case len(j.changes) > 0 && b.serial != j.serial:
		return fmt.Errorf("a base with serial %d after serial %d", b.serial, j.serial)
	}
	j.known, j.serial, j.digest, j.overlay = true, b.serial, b.digest, b.overlay
	j.reused = b.reused
	return nil
}

// nextEntry returns the data of the next entry and its whole size; nil: there is none, or only one that a crash cut off.
//
//	what follows                                  the entry is
//	nothing, or less than a head                  cut off
//	a head of zeros only, and zeros after it      cut off: the file has its size, but not yet its content
//	a head with a wrong checksum                  corrupt
//	data that goes on beyond the end              cut off
//	the last data, with a wrong checksum          cut off
//	other data with a wrong checksum              corrupt
func nextEntry(p []byte) (data []byte, size int, err error) {
	if len(p) < headSize || len(bytes.TrimLeft(p, "\x00")) == 0 {
		return nil, 0, nil
	}
	length := binary.BigEndian.Uint32(p)
	if crc32.Checksum(p[:4], castagnoli) != binary.BigEndian.Uint32(p[4:]) {
		return nil, 0, errors.New("the head of an entry has a wrong checksum")
	}
	if uint64(length) > uint64(len(p)-headSize) {
		return nil, 0, nil
	}
	size = headSize + int(length)
	data = p[headSize:size:size]
	if crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(p[8:]) {
		if size == len(p) {
			return nil, 0, nil
		}
		return nil, 0, errors.New("an entry has a wrong checksum")
	}
	return data, size, nil
}

func appendEntry(b, data []byte) []byte {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(data)))
	b = append(b, length[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(length[:], castagnoli))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(data, castagnoli))
	return append(b, data...)
}

var errClosed = errors.New("the journal is closed")

// writeLocked appends entries to the file, with one sync. After an error it writes a new file before the next ones. The
// file is not open between changes: there may be thousands of zones.
func (j *Journal) writeLocked(entries []entry) error {
	switch {
	case j.closed:
		return errClosed
	case j.path == "":
		return nil
	case !j.current:
		if err := j.rewriteLocked(); err != nil {
			return err
		}
	}
	var b []byte
	for _, e := range entries {
		b = appendEntry(b, e.data)
	}
	if err := j.appendFile(b); err != nil {
		j.current = false
		return err
	}
	j.end += int64(len(b))
	j.inFile += len(entries)
	return nil
}

// appendFile writes after the entries of the file, and removes what a crash left there. After an error it removes what it wrote,
// if it can: the entries are not acknowledged.
func (j *Journal) appendFile(b []byte) error {
	f, err := os.OpenFile(j.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = f.Truncate(j.end); err == nil {
		_, err = f.WriteAt(b, j.end)
	}
	if err == nil {
		err = j.sync(f)
	}
	if err != nil {
		_ = f.Truncate(j.end)
		_ = j.sync(f)
	}
	return err
}

// rewriteLocked replaces the file by one with the present state. After an error the file may be the old one or the new one:
// nothing is appended to it before another rewrite succeeds.
func (j *Journal) rewriteLocked() error {
	switch {
	case j.closed:
		return errClosed
	case j.path == "":
		return nil
	}
	j.current = false
	b := []byte(magic)
	for _, e := range j.changes {
		b = appendEntry(b, e.data)
	}
	now := base{zone: j.zone, serial: j.serial, digest: j.digest, overlay: j.overlay, reused: j.reused}
	b = appendEntry(b, now.encode())
	if err := j.replaceFile(b); err != nil {
		return err
	}
	j.current, j.end, j.inFile, j.written = true, int64(len(b)), len(j.changes), int64(len(b))
	return nil
}

// replaceFile makes content the content of the file, even if the machine crashes: it is on disk before it gets its name.
func (j *Journal) replaceFile(content []byte) error {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return err
	}
	next := j.path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = j.sync(f)
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(next, j.path)
	}
	if err != nil {
		_ = os.Remove(next) // free the space on a full disk
		return err
	}
	return j.syncFolder()
}

func (j *Journal) syncFolder() error {
	folder, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return j.sync(folder)
}
