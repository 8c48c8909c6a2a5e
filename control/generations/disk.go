package generations

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxContent bounds the text of a generation, which is decompressed in memory.
const maxContent = 1 << 30

// content is the content of a file of the store: JSON, compressed by gzip, which has a checksum.
type content struct {
	Generation
	Texts []File `json:"texts"`
}

func encode(g Generation, files []File) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := json.NewEncoder(w).Encode(content{g, files}); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decode(data []byte) (Generation, []File, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return Generation{}, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	if err != nil {
		return Generation{}, nil, err
	}
	var c content
	switch err := json.Unmarshal(text, &c); {
	case len(text) > maxContent:
		return Generation{}, nil, fmt.Errorf("it is longer than %d bytes", maxContent)
	case err != nil:
		return Generation{}, nil, err
	case Hash(c.Texts) != c.Hash:
		return Generation{}, nil, errors.New("its text does not match its hash")
	}
	return c.Generation, c.Texts, nil
}

func (s *Store) path(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%d.json.gz", number))
}

// readDir reads the generations of the directory.
func (s *Store) readDir() (errs []error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return []error{fmt.Errorf("generations of the configuration cannot be stored: %w", err)}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return []error{fmt.Errorf("generations of the configuration cannot be read: %w", err)}
	}
	for _, e := range entries {
		number := uint64(0)
		if _, err := fmt.Sscanf(e.Name(), "%d.json.gz", &number); err != nil || e.Name() != filepath.Base(s.path(number)) {
			continue
		}
		s.last = max(s.last, number)
		data, err := s.read(number)
		var g Generation
		if err == nil {
			g, _, err = decode(data)
		}
		if err != nil || g.Number != number {
			errs = append(errs, fmt.Errorf("generation %d of the configuration cannot be read and is left out: %w", number, cmp.Or(err, errNumber)))
			continue
		}
		s.list = append(s.list, stored{g, int64(len(data))})
	}
	slices.SortFunc(s.list, func(a, b stored) int { return cmp.Compare(a.Number, b.Number) })
	return errs
}

var errNumber = errors.New("its number is not that of its file")

func (s *Store) read(number uint64) ([]byte, error) {
	if s.dir == "" {
		return s.memory[number], nil
	}
	path := s.path(number)
	if info, err := os.Lstat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() || info.Size() > maxContent {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxContent)
	}
	return os.ReadFile(path)
}

func (s *Store) write(number uint64, data []byte) error {
	if s.dir == "" {
		s.memory[number] = data
		return nil
	}
	return ReplaceFile(s.path(number), data, 0o600)
}

func (s *Store) remove(number uint64) {
	if s.dir == "" {
		delete(s.memory, number)
		return
	}
	_ = os.Remove(s.path(number)) // a file that stays is read again at the next start, and removed then
}

// ReplaceFile replaces a file atomically. It returns when the new content is on disk; on an error the old
// content stays.
func ReplaceFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := writeNext(path+".new", data, mode); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		_ = os.Remove(path + ".new")
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// writeNext writes a file and syncs it; on an error it removes the file.
func writeNext(path string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err = cmp.Or(err, f.Close()); err != nil {
			_ = os.Remove(path) // free the space on a full disk
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil { // beyond the umask
		return err
	}
	return f.Sync()
}
