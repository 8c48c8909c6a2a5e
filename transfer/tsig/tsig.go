// Package tsig signs and verifies DNS messages with keys that two servers share (RFC 8945).
//
// The messages stay in wire form: a transfer of a million records is signed message by message, without a dns.Msg.
package tsig

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 8945 6 requires it for interoperation; the configuration warns
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"maps"
	"slices"
	"sync/atomic"

	"meridian/dnsname"
)

// Errors of a TSIG record (RFC 8945 3).
const (
	NoError  = 0
	BadSig   = 16
	BadKey   = 17
	BadTime  = 18
	BadTrunc = 22
)

// Fudge is the difference in seconds between the clocks of two servers that is allowed (RFC 8945 10).
const Fudge = 300

// DefaultAlgorithm is that of a key that names none.
const DefaultAlgorithm = "hmac-sha256"

// algorithms are the known algorithms by their names in the configuration.
var algorithms = map[string]func() hash.Hash{
	"hmac-sha1":      sha1.New,
	DefaultAlgorithm: sha256.New,
	"hmac-sha384":    sha512.New384,
	"hmac-sha512":    sha512.New,
}

// Algorithms returns the names of the known algorithms.
func Algorithms() []string { return slices.Sorted(maps.Keys(algorithms)) }

// Key is a secret that two servers share. It is safe for concurrent use.
type Key struct {
	name      dnsname.Wire // lower case
	algorithm dnsname.Wire
	hash      func() hash.Hash
	secret    atomic.Pointer[[]byte]
}

// NewKey returns a key. The algorithm is one of the known ones.
func NewKey(name dnsname.Name, algorithm string, secret []byte) *Key {
	k := &Key{name: name.Wire(), algorithm: dnsname.Name(algorithm + ".").Wire(), hash: algorithms[algorithm]}
	k.secret.Store(&secret)
	return k
}

// Name returns the name of k in wire form. Do not change it.
func (k *Key) Name() dnsname.Wire { return k.name }

func (k *Key) newHash() hash.Hash { return hmac.New(k.hash, *k.secret.Load()) }

// macSize returns the size of an untruncated MAC.
func (k *Key) macSize() int { return k.hash().Size() }
