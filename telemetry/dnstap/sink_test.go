package dnstap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// pipeSink returns a sink with pipes as connections; each attempt to connect sends the other end to peers, or fails if
// refused returns true.
func pipeSink(refused func() bool) (s *Sink, peers chan net.Conn, log *bytes.Buffer) {
	log = new(bytes.Buffer)
	s = NewSink(Destination{Network: "unix", Address: "/run/d.sock"}, slog.New(slog.NewTextHandler(log, nil)))
	peers = make(chan net.Conn, 10)
	s.connect = func() (io.WriteCloser, error) {
		if refused() {
			return nil, errors.New("connection refused")
		}
		ours, theirs := net.Pipe()
		peers <- theirs
		return greet(ours)
	}
	return s, peers, log
}

// serve plays a reader: it takes the handshake, then frames until the stream ends, and returns how many.
func serve(t *testing.T, peer net.Conn) (frames int) {
	t.Helper()
	if err := accepts(peer); err != nil {
		t.Error(err)
		return 0
	}
	for {
		var head [lengthSize]byte
		if _, err := io.ReadFull(peer, head[:]); err != nil {
			return frames
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == 0 { // STOP
			var rest [2 * lengthSize]byte
			_, _ = io.ReadFull(peer, rest[:])
			_, _ = peer.Write(appendControl(nil, finish))
			return frames
		}
		if _, err := io.CopyN(io.Discard, peer, int64(size)); err != nil {
			return frames
		}
		frames++
	}
}

// accepts plays a reader up to START.
func accepts(peer net.Conn) error {
	if err := readControl(peer, ready); err != nil {
		return err
	}
	if _, err := peer.Write(appendControl(nil, accept)); err != nil {
		return err
	}
	return readControl(peer, start)
}

func TestStalledReaderLosesMessagesAndIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peers, log := pipeSink(func() bool { return false })
		go func() { _ = accepts(<-peers) }() // and reads nothing more
		began := time.Now()
		s.Write(message(t, 1))
		s.Flush()
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("a stalled reader held the sink for %v, want %v", took, writeTimeout)
		}
		if s.Lost() != 1 || !strings.Contains(log.String(), "the reader takes no data") {
			t.Errorf("lost %d, want 1; log:\n%s", s.Lost(), log)
		}
		s.Write(message(t, 2)) // before the next attempt
		if s.Lost() != 2 {
			t.Errorf("lost %d, want 2", s.Lost())
		}
		time.Sleep(firstPause)
		received := make(chan int, 1)
		go func() { received <- serve(t, <-peers) }()
		s.Write(message(t, 3))
		s.Close()
		if n := <-received; n != 1 || s.Delivered() != 1 || s.Lost() != 2 {
			t.Errorf("the reader has %d; delivered %d, lost %d; want 1, 1, 2", n, s.Delivered(), s.Lost())
		}
		if !strings.Contains(log.String(), `msg="query log destination reached again" destination=unix:/run/d.sock lost=2`) {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestReconnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Duration
		began := time.Now()
		s, _, log := pipeSink(func() bool { attempts = append(attempts, time.Since(began)); return true })
		for range 1000 { // one message each 100 ms, for 100 s
			s.Write(message(t, 1))
			time.Sleep(100 * time.Millisecond)
		}
		for i := 2; i < len(attempts); i++ {
			before, pause := attempts[i-1]-attempts[i-2], attempts[i]-attempts[i-1]
			if pause < before || pause > lastPause+100*time.Millisecond {
				t.Errorf("pause %d is %v after one of %v", i, pause, before)
			}
		}
		if len(attempts) > 12 || s.Lost() != 1000 {
			t.Errorf("%d attempts, lost %d", len(attempts), s.Lost())
		}
		if n := strings.Count(log.String(), "query log destination failed"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
	})
}

func TestPeerThatIsNoReaderIsRejected(t *testing.T) {
	other := bytes.Replace(appendControl(nil, accept), []byte("Dnstap"), []byte("Others"), 1)
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"an HTTP server":     {[]byte("HTTP/1.1 400 Bad Request\r\n"), "does not speak Frame Streams"},
		"other content":      {other, errContentType.Error()},
		"another frame":      {appendControl(nil, finish), "FINISH in place of ACCEPT"},
		"an oversized frame": {[]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, "does not speak Frame Streams"},
		"half a frame":       {appendControl(nil, accept)[:20], "no ACCEPT"},
		"half a field":       {[]byte{0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0}, "ends within a field"},
		"silence":            {nil, "the reader takes no data"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, peers, log := pipeSink(func() bool { return false })
			go func() {
				peer := <-peers
				_ = readControl(peer, ready)
				_, _ = peer.Write(c.answer)
				if c.answer != nil {
					_ = peer.Close()
				}
			}()
			s.Write(message(t, 1))
			if s.Lost() != 1 || !strings.Contains(log.String(), c.want) {
				t.Errorf("%s: lost %d, want 1; %q is not in the log:\n%s", name, s.Lost(), c.want, log)
			}
		})
	}
}

// frames returns how many whole frames a Frame Streams file has.
func frames(t *testing.T, path string) (n int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := appendControl(nil, start), appendControl(nil, stop)
	if !bytes.HasPrefix(data, begin) || !bytes.HasSuffix(data, end) {
		t.Fatalf("%s does not begin with START or end with STOP", path)
	}
	data = data[len(begin) : len(data)-len(end)]
	for len(data) > 0 {
		size := lengthSize + int(binary.BigEndian.Uint32(data))
		if size == lengthSize || size > len(data) {
			t.Fatalf("%s: a frame of %d octets, of %d left", path, size, len(data))
		}
		data = data[size:]
		n++
	}
	return n
}

func TestMessageCarriesExtra(t *testing.T) {
	m := message(t, 1)
	frame, _ := m.append(nil, nil)
	for len(frame) > 0 {
		field, kind, size := protowire.ConsumeField(frame)
		if size < 0 {
			t.Fatalf("not protobuf: %q", frame)
		}
		if field == fieldExtra {
			_, _, head := protowire.ConsumeTag(frame)
			if extra, _ := protowire.ConsumeBytes(frame[head:]); kind != protowire.BytesType || !bytes.Equal(extra, m.Extra) {
				t.Errorf("extra %q, want %q", extra, m.Extra)
			}
			return
		}
		frame = frame[size:]
	}
	t.Error("no extra field")
}

func TestFileIsContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	to := Destination{Network: "file", Address: path}
	write := func() {
		s := NewSink(to, discard())
		s.Write(message(t, 1))
		s.Write(message(t, 2))
		s.Close()
	}
	write()
	write()
	if n := frames(t, path); n != 4 {
		t.Errorf("%d frames after two runs, want 4", n)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-20], 0o600); err != nil { // a crash within the last frame
		t.Fatal(err)
	}
	write()
	if n := frames(t, path); n != 5 {
		t.Errorf("%d frames after a crash, want 3 and 2 new ones", n)
	}
	if err := os.WriteFile(path, []byte("zones: {}\n some other file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewSink(to, discard())
	if s.Write(message(t, 1)); s.Lost() != 1 {
		t.Error("a file that is not dnstap is overwritten")
	}
}

func TestRenamedFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	s := NewSink(Destination{Network: "file", Address: path}, discard())
	s.Write(message(t, 1))
	s.Flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.checked = time.Time{} // as if the interval were over
	s.Flush()
	s.Write(message(t, 2))
	s.Close()
	if old, now := frames(t, path+".1"), frames(t, path); old != 1 || now != 1 {
		t.Errorf("%d frames in the renamed file, %d in the new one; want 1 and 1", old, now)
	}
}

// memoryFile is a file in memory.
type memoryFile struct {
	data []byte
	at   int64
}

func (f *memoryFile) Read(p []byte) (int, error) {
	if f.at >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[f.at:])
	f.at += int64(n)
	return n, nil
}

func (f *memoryFile) Write(p []byte) (int, error) {
	f.data = append(f.data[:f.at], p...)
	f.at = int64(len(f.data))
	return len(p), nil
}

func (f *memoryFile) Seek(offset int64, whence int) (int64, error) {
	f.at = offset
	if whence == io.SeekEnd {
		f.at += int64(len(f.data))
	}
	return f.at, nil
}

func (f *memoryFile) Truncate(size int64) error { f.data = f.data[:size]; return nil }

// FuzzResume checks that resuming a file keeps a prefix of it, positions at its end, and needs no second repair.
func FuzzResume(f *testing.F) {
	whole := append(appendFrame(appendFrame(appendControl(nil, start), []byte("one")), []byte("three")), appendControl(nil, stop)...)
	for _, end := range []int{0, 5, len(whole) - 20, len(whole) - 12, len(whole)} {
		f.Add(whole[:end])
	}
	f.Add(append(appendFrame(nil, nil), 0, 0, 0, 4, 0, 0, 0, byte(start))) // a start without a content type
	f.Fuzz(func(t *testing.T, data []byte) {
		of := &memoryFile{data: bytes.Clone(data)}
		if err := resume(of); err != nil {
			if !bytes.Equal(of.data, data) {
				t.Error("a rejected file is changed")
			}
			return
		}
		if len(data) > 0 && !bytes.HasPrefix(data, of.data) || of.at != int64(len(of.data)) {
			t.Errorf("%q becomes %q at %d", data, of.data, of.at)
		}
		before := bytes.Clone(of.data)
		if err := resume(of); err != nil || !bytes.Equal(of.data, before) {
			t.Errorf("a second resume changes %q to %q (%v)", before, of.data, err)
		}
	})
}

// FuzzReadControl checks that no answer of a peer is read beyond its frame or panics.
func FuzzReadControl(f *testing.F) {
	f.Add(appendControl(nil, accept))
	f.Add(appendControl(nil, finish))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		if err := readControl(r, accept); err == nil && len(data)-r.Len() > 2*lengthSize+maxControl {
			t.Errorf("read %d octets", len(data)-r.Len())
		}
	})
}
