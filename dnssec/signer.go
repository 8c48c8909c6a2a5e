package dnssec

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"

	"meridian/dnsname"
)

const (
	recordFixed = 10 // octets of a record after its owner: type, class, TTL, RDLENGTH
	rrsigFixed  = 18 // octets of RRSIG RDATA before the signer's name (RFC 4034 3.1)

	// maxWait is how long a signature may wait for others that are made at the same time.
	maxWait = time.Second
)

// The reasons why a set has no signature.
var (
	ErrMissing = errors.New("the signature is not in the cache")
	ErrBusy    = errors.New("signing is busy: no signature could be made within 1s")
)

// Signer makes signatures and remembers them. It is safe for concurrent use.
type Signer struct {
	cache   *cache
	seeds   [2]maphash.Seed // of the cache keys; secret, so that no client can choose two sets with equal keys
	running chan struct{}   // one element for each signature being made

	made, failed, evicted atomic.Uint64

	flights flights
	times   signTimes
}

// NewSigner returns a signer with a cache of size octets, that makes at most parallel signatures at a time.
func NewSigner(size, parallel int) *Signer {
	return &Signer{
		cache: newCache(size), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		running: make(chan struct{}, max(1, parallel)),
	}
}

// Stats are the numbers of a signer since it was made.
type Stats struct {
	Made     uint64 // signatures
	Failed   uint64 // signatures that could not be made
	Evicted  uint64 // valid signatures that left the cache for others
	Capacity int    // of the cache, in signatures
	Entries  int    // of these, in use; some may have expired

	Durations SignDurations
}

// Stats returns the numbers of s.
func (s *Signer) Stats() Stats {
	return Stats{Made: s.made.Load(), Failed: s.failed.Load(), Evicted: s.evicted.Load(), Capacity: s.cache.capacity(), Entries: int(s.cache.used.Load()), Durations: s.times.durations()}
}

// Request is what signing one set needs beside the set. It holds memory that is reused, and is for one goroutine.
type Request struct {
	Now  int64 // in seconds since 1970
	Make bool  // make signatures that are not in the cache; else they are ErrMissing

	Hits, Misses, Made uint64 // signatures from the cache, those that it did not have, and new ones

	buf []byte
}

// AppendRRSIGs appends the signature records of a set to dst, one for each key that signs it: owner as in the message,
// and ttl of the set as sent. An error leaves dst as it was.
func (s *Signer) AppendRRSIGs(dst []byte, z *Zone, set *Set, owner []byte, ttl uint32, r *Request) ([]byte, error) {
	at := z.timing.slotAt(set.Owner, set.Type, r.Now)
	begin := len(dst)
	keys := z.keys.Load().signing(set.Type)
	for i := range keys {
		key := &keys[i]
		dst = append(dst, owner...)
		dst = appendHead(dst, ttl, rrsigFixed+len(z.name)+signatureSize)
		rdata := len(dst)
		dst = appendRRSIG(dst, z.name, set, key, at)
		var err error
		if dst, err = s.appendSignature(dst, rdata, set, key, at, r); err != nil {
			return dst[:begin], err
		}
	}
	return dst, nil
}

// Cached reports whether all signatures of a set at now are in the cache.
func (s *Signer) Cached(z *Zone, set *Set, now int64) bool {
	at, r := z.timing.slotAt(set.Owner, set.Type, now), new(Request)
	keys := z.keys.Load().signing(set.Type)
	for i := range keys {
		var found signature
		if !s.cache.get(s.cacheKey(appendRRSIG(nil, z.name, set, &keys[i], at), set, &keys[i], r), &found) {
			return false
		}
	}
	return true
}

// appendHead appends type, class, TTL and RDLENGTH of an RRSIG record.
func appendHead(dst []byte, ttl uint32, size int) []byte {
	return append(dst, 0, typeRRSIG, 0, classIN, byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), byte(size>>8), byte(size))
}

// appendRRSIG appends RRSIG RDATA without the signature (RFC 4034 3.1).
func appendRRSIG(dst []byte, zone dnsname.Wire, set *Set, key *signingKey, at slot) []byte {
	dst = binary.BigEndian.AppendUint16(dst, set.Type)
	dst = append(dst, key.Algorithm, set.labels())
	dst = binary.BigEndian.AppendUint32(dst, set.TTL)
	dst = binary.BigEndian.AppendUint32(dst, at.expiration)
	dst = binary.BigEndian.AppendUint32(dst, at.inception)
	dst = binary.BigEndian.AppendUint16(dst, key.Tag)
	return append(dst, zone...)
}

// appendSignature appends the signature of the RRSIG RDATA at rdata, from the cache or a new one.
func (s *Signer) appendSignature(dst []byte, rdata int, set *Set, key *signingKey, at slot, r *Request) ([]byte, error) {
	id := s.cacheKey(dst[rdata:], set, key, r)
	var found signature
	if s.cache.get(id, &found) {
		r.Hits++
		return append(dst, found[:]...), nil
	}
	r.Misses++
	if !r.Make {
		return dst, ErrMissing
	}
	made, err := s.makeOnce(id, dst[rdata:], set, key, at, r)
	if err != nil {
		return dst, err
	}
	return append(dst, made[:]...), nil
}

// makeOnce makes a signature that was not in the cache, or returns the one that another goroutine makes or has made since.
func (s *Signer) makeOnce(id cacheKey, rdata []byte, set *Set, key *signingKey, at slot, r *Request) (signature, error) {
	made, _, err := s.flights.do(id, func() (made signature, err error) {
		if s.cache.get(id, &made) {
			return made, nil
		}
		if made, err = s.sign(rdata, set, key); err != nil {
			return made, err
		}
		r.Made++
		if s.cache.put(id, &made, at.expiration, r.Now) {
			s.evicted.Add(1)
		}
		return made, nil
	})
	return made, err
}

// cacheKey hashes everything that decides the signature: the key, the RRSIG RDATA, which has the times, and the set.
func (s *Signer) cacheKey(rdata []byte, set *Set, key *signingKey, r *Request) cacheKey {
	buf := binary.LittleEndian.AppendUint64(r.buf[:0], key.id)
	buf = append(buf, rdata...)
	buf = append(buf, set.Owner...)
	buf = append(buf, set.Data...)
	r.buf = buf
	return cacheKey{maphash.Bytes(s.seeds[0], buf), maphash.Bytes(s.seeds[1], buf)}
}

// sign makes a signature, when there are not too many others being made.
func (s *Signer) sign(rdata []byte, set *Set, key *signingKey) (made signature, err error) {
	began := time.Now()
	if !s.begin() {
		s.failed.Add(1)
		return made, ErrBusy
	}
	defer func() { <-s.running }()
	message := append(make([]byte, 0, len(rdata)+len(set.Data)+512), rdata...)
	octets, err := key.Sign(nil, set.appendCanonical(message))
	if err != nil || len(octets) != signatureSize {
		s.failed.Add(1)
		return made, errors.Join(err, ErrBusy)
	}
	s.made.Add(1)
	s.times.observe(time.Since(began))
	return signature(octets), nil
}

// begin waits at most maxWait until a signature may be made.
func (s *Signer) begin() bool {
	select {
	case s.running <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case s.running <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}
