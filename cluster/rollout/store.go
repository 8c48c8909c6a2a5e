package rollout

import "context"

// UncertainError is the error of a write that the store may have made: it has not answered.
type UncertainError struct{ Err error }

func (e *UncertainError) Error() string { return e.Err.Error() + "; the write may have been made" }
func (e *UncertainError) Unwrap() error { return e.Err }

// Store holds the records.
type Store struct {
	// Read returns the records with keys that begin with a prefix.
	Read func(ctx context.Context, prefix string) (map[string]Value, error)
	// Write makes a change, whole or not at all. ok is false if a record has another revision than the change expects.
	Write func(ctx context.Context, c Change) (ok bool, err error)
	// Watch calls changed when a record below StateKeys changes, and after each new connection, until ctx ends.
	Watch func(ctx context.Context, changed func())
}

// Value is a record, and the revision of its last change.
type Value struct {
	Data     []byte
	Revision int64
}

// Change is the change of a writer.
type Change struct {
	If      map[string]int64 // the revisions that records must have; 0: there is none
	Puts    map[string][]byte
	Deletes []string // prefixes of keys
}
