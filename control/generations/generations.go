// Package generations keeps the configurations that have served, so that an operator can see, compare and
// restore them. A generation is the text of all files of a configuration, without the files that those name
// (master files, keys, databases). Numbers only grow, also over restarts.
package generations

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// File is one file of a configuration.
type File struct {
	Path string `json:"path"` // absolute
	Text string `json:"text"`
}

// Generation is a configuration that has served.
type Generation struct {
	Number uint64    `json:"generation"`
	Time   time.Time `json:"time"`             // when it began to serve first
	Hash   string    `json:"hash"`             // of the texts of its files
	Source string    `json:"source"`           // start, reload, api, rollback
	Who    string    `json:"who,omitempty"`    // user of the API
	Reason string    `json:"reason,omitempty"` // the user's
	Files  []string  `json:"files"`            // paths, in the order read
}

// Hash returns the hash of the texts of files, in hex.
func Hash(files []File) string {
	h := sha256.New()
	for _, f := range files {
		h.Write([]byte(f.Text))
	}
	return hex.EncodeToString(h.Sum(nil))[:hashDigits]
}

const hashDigits = 12

const (
	// Kept is the number of generations that a store keeps.
	Kept = 50
	// maxBytes bounds the compressed size of all generations but the last two.
	maxBytes = 256 << 20
)

// ErrUnknown is returned for a number that the store does not have.
var ErrUnknown = errors.New("no such generation")

// Store keeps the last generations in a directory, or in memory without one. Its methods are safe for
// concurrent use.
type Store struct {
	mu     sync.Mutex
	dir    string // empty: in memory
	list   []stored
	last   uint64            // highest number given
	memory map[uint64][]byte // contents without a directory
}

// stored is a generation and the size of its content.
type stored struct {
	Generation
	size int64
}

// Open returns the store in a directory, which it creates; empty: in memory. Files that cannot be read are
// reported and left alone.
func Open(dir string) (*Store, []error) {
	s := &Store{dir: dir, memory: map[uint64][]byte{}}
	if dir == "" {
		return s, nil
	}
	return s, s.readDir()
}

// List returns the generations, the latest first.
func (s *Store) List() []Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Generation, len(s.list))
	for i := range s.list {
		all[len(all)-1-i] = s.list[i].Generation
	}
	return all
}

// Latest returns the latest generation; nil: there is none.
func (s *Store) Latest() *Generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return nil
	}
	g := s.list[len(s.list)-1].Generation
	return &g
}

// Add stores a configuration as the next generation and returns when it is on disk. One with the content of
// the latest generation is not stored again. On an error the store is unchanged.
func (s *Store) Add(g Generation, files []File) (Generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.Hash, g.Files = Hash(files), nil
	for _, f := range files {
		g.Files = append(g.Files, f.Path)
	}
	if n := len(s.list); n > 0 && s.list[n-1].Hash == g.Hash && slices.Equal(s.list[n-1].Files, g.Files) {
		return s.list[n-1].Generation, nil
	}
	g.Number = s.last + 1
	data, err := encode(g, files)
	if err != nil {
		return Generation{}, err
	}
	if err := s.write(g.Number, data); err != nil {
		return Generation{}, fmt.Errorf("generation %d of the configuration cannot be stored: %w", g.Number, err)
	}
	s.last = g.Number
	s.list = append(s.list, stored{g, int64(len(data))})
	s.prune()
	return g, nil
}

// Remove removes a generation that did not come to serve.
func (s *Store) Remove(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(g stored) bool { return g.Number == number })
	s.remove(number)
}

// Files returns the files of a generation.
func (s *Store) Files(number uint64) (Generation, []File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.list, func(g stored) bool { return g.Number == number }) {
		return Generation{}, nil, ErrUnknown
	}
	data, err := s.read(number)
	if err == nil {
		g, files, invalid := decode(data)
		if invalid == nil {
			return g, files, nil
		}
		err = invalid
	}
	return Generation{}, nil, fmt.Errorf("generation %d cannot be read: %w", number, err)
}

// prune removes the oldest generations beyond the limits.
func (s *Store) prune() {
	size := int64(0)
	for _, g := range s.list {
		size += g.size
	}
	for len(s.list) > Kept || len(s.list) > 2 && size > maxBytes {
		size -= s.list[0].size
		s.remove(s.list[0].Number)
		s.list = s.list[1:]
	}
}
