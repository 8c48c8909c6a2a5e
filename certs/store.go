package certs

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"meridian/errtext"
)

// Pair names the files of a certificate with its chain, and of its key.
type Pair struct{ Cert, Key string }

// Material has all that a server needs for TLS. It is immutable.
type Material struct {
	Certificates []tls.Certificate // the first one is for clients that name no other
	TicketKeys   [][32]byte        // of session tickets: the first one makes them, all are accepted
	day          int64             // that the first key is for
}

// Store holds the certificates of a server and the secrets of its session tickets, as their files were when they were
// last valid. It is safe for concurrent use.
type Store struct {
	pairs      []Pair
	ticketFile string // empty: one random secret
	now        func() time.Time
	contents   [][]byte // of each pair and of the ticket secrets in use; Update uses it
	secrets    [][]byte // of tickets; Update uses it
	current    atomic.Pointer[Material]
	failure    atomic.Pointer[string] // the error of the last Update; nil: none
}

// PairError is the error of one pair of a Store.
type PairError struct {
	Pair int // its index; -1: it is the error of the file of ticket secrets
	Err  error
}

func (e *PairError) Error() string { return e.Err.Error() }

// Unwrap returns the error without the pair.
func (e *PairError) Unwrap() error { return e.Err }

// PairErrors are the errors of all files of a Store, the one of the ticket secrets last. There is at least one.
type PairErrors []*PairError

func (e PairErrors) Error() string { return e[0].Error() }

// Unwrap returns the first error.
func (e PairErrors) Unwrap() error { return e[0] }

// Open reads the files. The error is a PairErrors.
func Open(pairs []Pair, ticketFile string) (*Store, error) { return open(pairs, ticketFile, time.Now) }

func open(pairs []Pair, ticketFile string, now func() time.Time) (*Store, error) {
	s := &Store{pairs: pairs, ticketFile: ticketFile, now: now, contents: make([][]byte, len(pairs)+1)}
	if ticketFile == "" {
		random := make([]byte, ticketSecretSize)
		_, _ = rand.Read(random) // it never fails
		s.secrets = [][]byte{random}
	}
	if _, err := s.Update(); err != nil {
		return nil, err
	}
	return s, nil
}

// Current returns the certificates and keys in use.
func (s *Store) Current() *Material { return s.current.Load() }

// Pairs returns the files of the certificates, in the order of those of Current.
func (s *Store) Pairs() []Pair { return s.pairs }

// Expires returns when the first of the certificates in use expires.
func (s *Store) Expires() time.Time {
	all := s.Current().Certificates
	first := all[0].Leaf.NotAfter
	for _, cert := range all[1:] {
		if cert.Leaf.NotAfter.Before(first) {
			first = cert.Leaf.NotAfter
		}
	}
	return first
}

// Failure returns the error of the last Update; empty: it succeeded.
func (s *Store) Failure() string {
	if text := s.failure.Load(); text != nil {
		return *text
	}
	return ""
}

// Update reads the files again and reports whether they have changed. A pair, or the file of ticket secrets, with an error
// stays as it is in use, and the others are renewed; the error is a PairErrors. One goroutine may call it at a
// time.
func (s *Store) Update() (changed bool, err error) {
	changed, err = s.read()
	s.failure.Store(nil)
	if err != nil {
		text := err.Error()
		s.failure.Store(&text)
	}
	if m := s.Current(); m != nil && m.day != s.day() { // the keys of tickets change each day
		s.current.Store(&Material{Certificates: m.Certificates, TicketKeys: ticketKeys(s.secrets, s.day()), day: s.day()})
	}
	return changed, err
}

func (s *Store) day() int64 { return s.now().Unix() / int64(24*time.Hour/time.Second) }

// read reads the files and uses those that have changed. An error while nothing is in use changes nothing.
func (s *Store) read() (changed bool, err error) {
	next := &Material{day: s.day(), Certificates: make([]tls.Certificate, len(s.pairs))}
	if m := s.Current(); m != nil {
		copy(next.Certificates, m.Certificates)
	}
	contents, secrets := slices.Clone(s.contents), s.secrets
	var failed PairErrors
	for i, p := range s.pairs {
		content, pair, err := readPair(p)
		if err != nil {
			failed = append(failed, &PairError{i, err})
		} else if !bytes.Equal(content, contents[i]) {
			contents[i], next.Certificates[i], changed = content, pair, true
		}
	}
	if content, read, err := s.readTickets(); err != nil {
		failed = append(failed, &PairError{-1, err})
	} else if last := len(s.pairs); !bytes.Equal(content, contents[last]) {
		contents[last], secrets, changed = content, read, true
	}
	if len(failed) > 0 {
		err = failed
	}
	if !changed || s.Current() == nil && err != nil {
		return false, err
	}
	next.TicketKeys = ticketKeys(secrets, next.day)
	s.contents, s.secrets = contents, secrets
	s.current.Store(next)
	return true, err
}

// readPair reads the files of a pair; content is that of both.
func readPair(p Pair) (content []byte, pair tls.Certificate, err error) {
	cert, err := Read(p.Cert)
	if err != nil {
		return nil, pair, err
	}
	key, err := Read(p.Key)
	if err != nil {
		return nil, pair, err
	}
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		return nil, pair, fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err)
	}
	return slices.Concat(cert, key), pair, nil
}

// readTickets reads the file of ticket secrets; without one it returns what is in use.
func (s *Store) readTickets() (content []byte, secrets [][]byte, err error) {
	if s.ticketFile == "" {
		return nil, s.secrets, nil
	}
	if ReadableByOthers(s.ticketFile) {
		return nil, nil, errtext.ReadableByOthersError{File: s.ticketFile}
	}
	if content, err = Read(s.ticketFile); err == nil {
		secrets, err = parseTicketSecrets(string(content))
	}
	return content, secrets, err
}

const (
	ticketSecretSize = 32
	maxTicketSecrets = 8 // each one costs attempts to decrypt a ticket that none has made
)

// parseTicketSecrets reads a secret from each line that is not empty. Errors do not repeat what may be a secret.
func parseTicketSecrets(content string) (secrets [][]byte, err error) {
	number := 0
	for line := range strings.Lines(content) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		secret, err := hex.DecodeString(line)
		if err != nil || len(secret) != ticketSecretSize {
			return nil, fmt.Errorf("line %d is not a secret of %d hexadecimal digits", number, 2*ticketSecretSize)
		}
		secrets = append(secrets, secret)
	}
	switch {
	case len(secrets) == 0:
		return nil, errors.New("it has no secret")
	case len(secrets) > maxTicketSecrets:
		return nil, fmt.Errorf("it has %d secrets; want at most %d", len(secrets), maxTicketSecrets)
	}
	return secrets, nil
}

// ticketKeys derives keys from each secret for a day, the day before and the day after, so that a key which becomes
// known opens the sessions of few days only. Nodes with the same secrets have the same keys: the clock of one may be
// ahead of another's.
func ticketKeys(secrets [][]byte, day int64) (keys [][32]byte) {
	for _, of := range []int64{day, day - 1, day + 1} {
		for _, secret := range secrets {
			info := "meridian session ticket " + string(binary.BigEndian.AppendUint64(nil, uint64(of)))
			key, err := hkdf.Key(sha256.New, secret, nil, info, 32)
			if err != nil {
				panic("certs: " + err.Error()) // the size is allowed
			}
			keys = append(keys, [32]byte(key))
		}
	}
	return keys
}
