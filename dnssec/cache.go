package dnssec

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
)

const (
	signatureSize  = 64 // octets, of both algorithms
	signatureWords = signatureSize / 8

	// An entry has 16 words of 8 octets, two cache lines.
	entryWords = 16
	ways       = 4 // the entries in which a signature may be
	setWords   = ways * entryWords
)

// EntrySize is the memory that one signature takes in the cache, in octets.
const EntrySize = 8 * entryWords

// The words of an entry. sequence is odd while the entry is written, and higher by two after it: a reader that sees
// the same even number before and after has read a whole entry.
const (
	wordSequence  = 0
	wordKey       = 1 // two words
	wordExpires   = 3 // in seconds since 1970
	wordUsed      = 4 // not 0: it was used since its set was last full
	wordSignature = 5
)

// cache holds signatures by a key of 128 bits. Reading and writing it takes no lock; a full set gives up an entry that
// has expired, or else one that was not used of late. Its memory is outside the heap, and is returned when the cache
// is no longer reachable.
type cache struct {
	words []atomic.Uint64
	mask  uint64 // the number of sets less one
	used  atomic.Int64
}

// cacheKey identifies a signature.
type cacheKey struct{ lo, hi uint64 }

// signature is the signature in an RRSIG.
type signature [signatureSize]byte

// newCache returns a cache of at most size octets, and of at least one set.
func newCache(size int) *cache {
	sets := 1
	for 2*sets*setWords*8 <= size {
		sets *= 2
	}
	words, release := allocate(sets * setWords)
	c := &cache{words: words, mask: uint64(sets - 1)}
	if release != nil {
		runtime.AddCleanup(c, func(release func()) { release() }, release)
	}
	return c
}

// capacity returns the number of signatures that fit.
func (c *cache) capacity() int { return len(c.words) / entryWords }

// set returns the entries in which a key may be.
func (c *cache) set(k cacheKey) []atomic.Uint64 {
	begin := (k.hi & c.mask) * setWords
	return c.words[begin:][:setWords:setWords]
}

// get copies the signature of a key, if it is there.
func (c *cache) get(k cacheKey, to *signature) bool {
	defer runtime.KeepAlive(c) // the memory of words is freed with c
	set := c.set(k)
	for way := range ways {
		e := set[way*entryWords:][:entryWords:entryWords]
		if e[wordKey].Load() == k.lo && e[wordKey+1].Load() == k.hi && copyEntry(e, k, to) {
			if e[wordUsed].Load() == 0 {
				e[wordUsed].Store(1)
			}
			return true
		}
	}
	return false
}

// copyEntry copies the signature of e, unless e is written at the same time or has another key now.
func copyEntry(e []atomic.Uint64, k cacheKey, to *signature) bool {
	before := e[wordSequence].Load()
	if before&1 != 0 || e[wordKey].Load() != k.lo || e[wordKey+1].Load() != k.hi {
		return false
	}
	for i := range signatureWords {
		putWord(to, i, e[wordSignature+i].Load())
	}
	return e[wordSequence].Load() == before
}

// put stores a signature, and reports whether it replaced one that is still valid at now. It stores nothing if
// another goroutine writes the same entry.
func (c *cache) put(k cacheKey, from *signature, expires uint32, now int64) (evicted bool) {
	defer runtime.KeepAlive(c)
	set := c.set(k)
	e, evicted := victim(set, k, now)
	before := e[wordSequence].Load()
	if before&1 != 0 || !e[wordSequence].CompareAndSwap(before, before+1) {
		return false
	}
	if e[wordExpires].Load() == 0 { // it was empty
		c.used.Add(1)
	}
	e[wordKey].Store(k.lo)
	e[wordKey+1].Store(k.hi)
	e[wordExpires].Store(uint64(expires))
	e[wordUsed].Store(0)
	for i := range signatureWords {
		e[wordSignature+i].Store(word(from, i))
	}
	e[wordSequence].Store(before + 2)
	return evicted
}

// victim returns the entry to replace by k, and whether it is still valid.
func victim(set []atomic.Uint64, k cacheKey, now int64) (e []atomic.Uint64, valid bool) {
	unused := -1
	for way := range ways {
		e := set[way*entryWords:][:entryWords:entryWords]
		if int64(e[wordExpires].Load()) <= now || e[wordKey].Load() == k.lo && e[wordKey+1].Load() == k.hi {
			return e, false
		}
		if e[wordUsed].Load() == 0 {
			unused = way
		}
	}
	if unused < 0 { // all were used: begin again
		for way := range ways {
			set[way*entryWords+wordUsed].Store(0)
		}
		unused = int(k.lo % ways)
	}
	return set[unused*entryWords:][:entryWords:entryWords], true
}

// word returns the i-th word of s.
func word(s *signature, i int) uint64 { return binary.LittleEndian.Uint64(s[8*i:]) }

// putWord sets the i-th word of s.
func putWord(s *signature, i int, w uint64) { binary.LittleEndian.PutUint64(s[8*i:], w) }
