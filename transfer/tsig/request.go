package tsig

import (
	"crypto/hmac"
	"encoding/binary"
	"hash"
	"time"

	"meridian/dnsname"
)

// Response signs the messages of the response to one signed request. It is for one goroutine.
type Response struct {
	Error uint16 // what is wrong with the request; other than NoError: its content must not be used

	key     *Key // nil: the key is not known
	request record
	prior   []byte // the MAC of the request, then that of the last message
	later   bool   // a message was signed
}

// Key returns the key that signed the request; nil: none that is known.
func (r *Response) Key() *Key { return r.key }

// Named returns the name of the key in the request, which may be unknown.
func (r *Response) Named() dnsname.Wire { return r.request.name }

// Verify checks a request with a TSIG record at at, its last record. An error means that the record is malformed, which
// is FORMERR. Otherwise the result signs the response, also one that reports an error (RFC 8945 5.2):
//
//	the request                             error      the response
//	names a key or algorithm not known      BADKEY     is not signed
//	has a wrong MAC                         BADSIG     is not signed
//	was signed more than fudge away         BADTIME    is signed, and has the time of the server
//	has a truncated MAC                     BADTRUNC   is signed
func Verify(keys *Keyring, msg []byte, at int, now time.Time) (*Response, error) {
	from, err := parse(msg, at)
	if err != nil {
		return nil, err
	}
	r := &Response{request: from, prior: from.mac}
	key := keys.find(from.name)
	if key == nil || string(key.algorithm) != string(from.algorithm) {
		r.Error = BadKey
		return r, nil
	}
	size := key.macSize()
	if n := len(from.mac); n > size || n < max(10, size/2) {
		return nil, errMalformed // RFC 8945 5.2.2.1
	}
	h := key.newHash()
	hashMessage(h, msg, at, from.originalID)
	h.Write(from.appendVariables(nil, false))
	if !hmac.Equal(h.Sum(nil)[:len(from.mac)], from.mac) {
		r.Error = BadSig
		return r, nil
	}
	r.key = key
	switch {
	case !within(from.time, from.fudge, now):
		r.Error = BadTime
	case len(from.mac) < size:
		r.Error = BadTrunc
	}
	return r, nil
}

// within reports whether a time is at most fudge seconds from now, in either direction (RFC 8945 5.2.3).
func within(signed uint64, fudge uint16, now time.Time) bool {
	difference := now.Unix() - int64(signed)
	return max(difference, -difference) <= int64(fudge)
}

// hashMessage adds a message without its TSIG record at at, as it was when it was signed (RFC 8945 4.3.2).
func hashMessage(h hash.Hash, msg []byte, at int, originalID uint16) {
	var head [headerSize]byte
	copy(head[:], msg)
	binary.BigEndian.PutUint16(head[:], originalID)
	binary.BigEndian.PutUint16(head[10:], binary.BigEndian.Uint16(head[10:])-1)
	h.Write(head[:])
	h.Write(msg[headerSize:at])
}

// hashPrior adds the MAC of the message before (RFC 8945 4.3.1).
func hashPrior(h hash.Hash, mac []byte) {
	h.Write([]byte{byte(len(mac) >> 8), byte(len(mac))})
	h.Write(mac)
}

// Size returns the size of the record that Append adds.
func (r *Response) Size() int {
	switch {
	case r.key == nil:
		return r.request.size(0, 0)
	case r.Error == BadTime:
		return r.request.size(r.key.macSize(), otherSize)
	}
	return r.request.size(r.key.macSize(), 0)
}

// Append adds the record to the message that begins at base of dst.
func (r *Response) Append(dst []byte, base int, now time.Time) []byte {
	to := record{name: r.request.name, algorithm: r.request.algorithm, time: uint64(now.Unix()), fudge: Fudge, originalID: r.request.originalID, err: r.Error}
	switch {
	case r.key == nil:
		to.time, to.fudge = r.request.time, r.request.fudge
	case r.Error == BadTime:
		to.time, to.fudge, to.other = r.request.time, r.request.fudge, appendTime(nil, uint64(now.Unix()))
	}
	if r.key != nil {
		h := r.key.newHash()
		hashPrior(h, r.prior)
		h.Write(dst[base:])
		h.Write(to.appendVariables(nil, r.later))
		r.prior, r.later = h.Sum(nil), true
		to.mac = r.prior
	}
	count := dst[base+10:]
	binary.BigEndian.PutUint16(count, binary.BigEndian.Uint16(count)+1)
	return to.append(dst)
}
