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

// Material is what a server needs for TLS. It is immutable.
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
	contents   [][]byte // of the files, when they were read last; Update uses it
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

// Open reads the files. The error is a *PairError.
func Open(pairs []Pair, ticketFile string) (*Store, error) { return open(pairs, ticketFile, time.Now) }

func open(pairs []Pair, ticketFile string, now func() time.Time) (*Store, error) {
	s := &Store{pairs: pairs, ticketFile: ticketFile, now: now}
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

// Update reads the files again and reports whether they have changed. An error, a *PairError, keeps everything that is
// in use. One goroutine may call it at a time.
func (s *Store) Update() (changed bool, err error) {
	changed, err = s.read()
	if err != nil {
		text := err.Error()
		s.failure.Store(&text)
		return false, err
	}
	s.failure.Store(nil)
	if m := s.Current(); m != nil && m.day != s.day() { // the keys of tickets change each day
		s.current.Store(&Material{Certificates: m.Certificates, TicketKeys: ticketKeys(s.secrets, s.day()), day: s.day()})
	}
	return changed, nil
}

func (s *Store) day() int64 { return s.now().Unix() / int64(24*time.Hour/time.Second) }

// read reads the files and uses them if they have changed.
func (s *Store) read() (changed bool, err error) {
	contents, err := s.readAll()
	if err != nil || slices.EqualFunc(contents, s.contents, bytes.Equal) {
		return false, err
	}
	m := &Material{day: s.day()}
	for i, p := range s.pairs {
		pair, err := tls.X509KeyPair(contents[2*i], contents[2*i+1])
		if err != nil {
			return false, &PairError{i, fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err)}
		}
		m.Certificates = append(m.Certificates, pair)
	}
	secrets := s.secrets
	if s.ticketFile != "" {
		if secrets, err = parseTicketSecrets(string(contents[len(contents)-1])); err != nil {
			return false, &PairError{-1, err}
		}
	}
	m.TicketKeys = ticketKeys(secrets, m.day)
	s.contents, s.secrets = contents, secrets
	s.current.Store(m)
	return true, nil
}

// readAll returns the contents of all files.
func (s *Store) readAll() (contents [][]byte, err error) {
	for i, p := range s.pairs {
		for _, file := range []string{p.Cert, p.Key} {
			content, err := Read(file)
			if err != nil {
				return nil, &PairError{i, err}
			}
			contents = append(contents, content)
		}
	}
	if s.ticketFile == "" {
		return contents, nil
	}
	if ReadableByOthers(s.ticketFile) {
		return nil, &PairError{-1, errtext.ReadableByOthersError{File: s.ticketFile}}
	}
	content, err := Read(s.ticketFile)
	if err != nil {
		return nil, &PairError{-1, err}
	}
	return append(contents, content), nil
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
