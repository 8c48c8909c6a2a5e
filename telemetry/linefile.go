package telemetry

import (
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"meridian/server/answer"
	"meridian/telemetry/dnstap"
)

const (
	// lineFileMode is the mode of new files: queries show what clients do.
	lineFileMode = 0o640
	// fileCheck is the interval at which a file is checked for a new name, and opened again after an error.
	fileCheck = 10 * time.Second
	// lineBuffer is the amount of lines written at once.
	lineBuffer = 64 << 10
)

// lineFile is a file of JSON lines. One goroutine owns it; lost may be read by any.
type lineFile struct {
	path string
	log  *slog.Logger

	file     *os.File // nil: not open
	buffer   []byte
	buffered uint64    // lines in buffer
	checked  time.Time // when the file was opened or checked, or could not be
	failing  bool      // logged

	lost       atomic.Uint64
	lostBefore uint64
}

func newLineFile(path string, log *slog.Logger) *lineFile { return &lineFile{path: path, log: log} }

// write adds a line. It is lost if the file is not open.
func (f *lineFile) write(q *answer.LoggedQuery) {
	if f.file == nil && !f.open() {
		f.lost.Add(1)
		return
	}
	f.buffer = append(appendLine(f.buffer, q), '\n')
	f.buffered++
	if len(f.buffer) >= lineBuffer {
		f.flush()
	}
}

// flush writes the buffer.
func (f *lineFile) flush() {
	if f.file == nil {
		return
	}
	if len(f.buffer) > 0 {
		if _, err := f.file.Write(f.buffer); err != nil {
			f.fail(err)
			return
		}
		f.buffer, f.buffered = f.buffer[:0], 0
	}
	if now := time.Now(); now.Sub(f.checked) >= fileCheck {
		f.checked = now
		if dnstap.Moved(f.file, f.path) {
			f.closeFile()
		}
	}
}

// reopen checks at once whether the file was renamed, or can be opened again.
func (f *lineFile) reopen() {
	f.checked = time.Time{}
	f.flush()
}

func (f *lineFile) close() {
	f.flush()
	f.closeFile()
}

func (f *lineFile) closeFile() {
	if f.file != nil {
		_ = f.file.Close()
	}
	f.file, f.checked = nil, time.Time{}
}

// open opens the file, unless it failed a moment ago.
func (f *lineFile) open() bool {
	now := time.Now()
	if f.failing && now.Sub(f.checked) < fileCheck {
		return false
	}
	f.checked = now
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, lineFileMode)
	if err != nil {
		f.fail(err)
		return false
	}
	f.file = file
	if endsWithinLine(file) {
		f.buffer = append(f.buffer, '\n')
	}
	if f.failing {
		f.log.Info("query log destination reached again", "destination", "file:"+f.path, "lost", f.lost.Load()-f.lostBefore)
	}
	f.failing, f.lostBefore = false, f.lost.Load()
	return true
}

// endsWithinLine reports whether a file ends with a part of a line, after a crash or a full disk.
func endsWithinLine(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return (err == nil || err == io.EOF) && last[0] != '\n'
}

// fail closes the file after an error. It logs the first error in a row.
func (f *lineFile) fail(err error) {
	if f.file != nil {
		_ = f.file.Close()
	}
	f.file, f.checked = nil, time.Now()
	f.lost.Add(f.buffered)
	f.buffer, f.buffered = f.buffer[:0], 0
	if !f.failing {
		f.log.Warn("query log destination failed; queries are not logged until it works", "destination", "file:"+f.path, "error", err.Error())
	}
	f.failing = true
}
