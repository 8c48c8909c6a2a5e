package tsig

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"
)

// maxUnsigned is the largest number of messages of a stream without a signature between two with one (RFC 8945 5.3.1).
const maxUnsigned = 99

// Request signs one request and verifies the messages of the response. It is for one goroutine.
type Request struct {
	key      *Key
	prior    []byte
	hash     hash.Hash // of prior and of the messages since
	unsigned int       // messages since the last one with a signature
	later    bool      // a message of the response was verified
}

// Sign adds a record to a request. The result verifies the response.
func (k *Key) Sign(msg []byte, now time.Time) ([]byte, *Request) {
	r := record{name: k.name, algorithm: k.algorithm, time: uint64(now.Unix()), fudge: Fudge, originalID: binary.BigEndian.Uint16(msg)}
	h := k.newHash()
	h.Write(msg)
	h.Write(r.appendVariables(nil, false))
	r.mac = h.Sum(nil)
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	sent := &Request{key: k, prior: r.mac}
	sent.begin()
	return r.append(msg), sent
}

// begin prepares for the next message with a signature.
func (r *Request) begin() {
	r.hash, r.unsigned = r.key.newHash(), 0
	hashPrior(r.hash, r.prior)
}

// errorTexts explain the errors that a server reports.
var errorTexts = map[uint16]string{
	BadSig:   "the server reports BADSIG: its secret of the key is another one",
	BadKey:   "the server reports BADKEY: it does not know the key, or has it with another algorithm",
	BadTime:  "the server reports BADTIME: its clock differs by more than 5 minutes",
	BadTrunc: "the server reports BADTRUNC: it refuses truncated signatures",
}

// Verify checks the next message of the response. It accepts a message without a record between two that have one: End
// reports whether the last one had.
func (r *Request) Verify(msg []byte, now time.Time) error {
	at, err := find(msg)
	if err != nil {
		return err
	}
	if at == 0 {
		return r.withoutRecord(msg)
	}
	from, err := parse(msg, at)
	if err != nil {
		return err
	}
	if err := r.checkRecord(&from); err != nil {
		return err
	}
	hashMessage(r.hash, msg, at, from.originalID)
	r.hash.Write(from.appendVariables(nil, r.later))
	switch {
	case !hmac.Equal(r.hash.Sum(nil), from.mac):
		return errors.New("the answer has a wrong signature: the secrets of the key differ")
	case from.err != NoError:
		return reported(from.err)
	case !within(from.time, from.fudge, now):
		return errors.New("the answer was signed at another time: the clocks differ by more than 5 minutes")
	}
	r.prior, r.later = from.mac, true
	r.begin()
	return nil
}

// withoutRecord accepts a message without a record, after one that had a record.
func (r *Request) withoutRecord(msg []byte) error {
	if r.unsigned++; !r.later || r.unsigned > maxUnsigned {
		return errors.New("the answer is not signed")
	}
	r.hash.Write(msg)
	return nil
}

// checkRecord checks everything but the MAC itself.
func (r *Request) checkRecord(from *record) error {
	switch {
	case string(from.name) != string(r.key.name) || string(from.algorithm) != string(r.key.algorithm):
		return errors.New("the answer is signed with another key")
	case from.err != NoError && len(from.mac) == 0:
		return reported(from.err)
	case len(from.mac) != r.key.macSize():
		return errors.New("the answer has a truncated signature")
	}
	return nil
}

// End checks that the last message had a signature.
func (r *Request) End() error {
	if !r.later || r.unsigned > 0 {
		return errors.New("the last message of the answer is not signed")
	}
	return nil
}

func reported(code uint16) error {
	if text := errorTexts[code]; text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("the server reports TSIG error %d", code)
}
