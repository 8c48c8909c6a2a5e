//go:build !unix

package handover

// FromServiceManager returns nil: this system has no such service manager.
func FromServiceManager() (*Sockets, []error) { return nil, nil }

// Store keeps sockets between two processes. This system has none.
type Store struct{}

// NewStore returns nil.
func NewStore(*Sockets) *Store { return nil }

// Keep does nothing.
func (s *Store) Keep([]Open) error { return nil }
