package rollout

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
)

// version is the version of records. A node reads those of its own version; fields that it does not know are ignored, so that
// only a change of the meaning needs another version.
const version = 1

// record is the form of a record: JSON, so that an operator can read it with etcdctl.
type record struct {
	Version   int             `json:"version"`
	Node      string          `json:"node"` // that signed it
	Body      json.RawMessage `json:"body"`
	Signature []byte          `json:"signature"`
}

// signer signs and verifies records of a cluster.
type signer struct {
	cluster, node string
	key           ed25519.PrivateKey
	trust         map[string]ed25519.PublicKey
}

// signed returns what is signed: the signature is good for one cluster, key and node.
func (s *signer) signed(key, node string, body []byte) []byte {
	return fmt.Appendf(nil, "meridian configuration\x00%s\x00%s\x00%s\x00%s", s.cluster, key, node, body)
}

// seal returns the record of a body.
func (s *signer) seal(key string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(record{version, s.node, text, ed25519.Sign(s.key, s.signed(key, s.node, text))})
}

var (
	errMalformed = errors.New("it is malformed")
	errForged    = errors.New("its signature is wrong")
)

// Rejection is why a record was rejected, as in metrics.
type Rejection string

// The reasons.
const (
	Malformed    Rejection = "malformed"
	OtherVersion Rejection = "version"
	UnknownNode  Rejection = "unknown_vantage"
	BadSignature Rejection = "signature"
)

// rejectionError is the error of a rejected record.
type rejectionError struct {
	reason Rejection
	error
}

func (e *rejectionError) Unwrap() error { return e.error }

func reject(reason Rejection, format string, of ...any) error {
	return &rejectionError{reason, fmt.Errorf(format, of...)}
}

// open reads and verifies the record at a key, and returns the node that signed it.
func (s *signer) open(key string, raw []byte, body any) (node string, err error) {
	var r record
	if json.Unmarshal(raw, &r) != nil {
		return "", reject(Malformed, "%s: %w", key, errMalformed)
	}
	trusted, known := s.trust[r.Node]
	switch {
	case r.Version != version:
		return "", reject(OtherVersion, "%s: it is of version %d, and this program reads %d; upgrade all nodes", key, r.Version, version)
	case !known:
		return "", reject(UnknownNode, "%s: it was signed by %q, which cluster.trust does not name", key, r.Node)
	case !ed25519.Verify(trusted, s.signed(key, r.Node, r.Body), r.Signature):
		return "", reject(BadSignature, "%s of %s: %w", key, r.Node, errForged)
	case json.Unmarshal(r.Body, body) != nil:
		return "", reject(Malformed, "%s of %s: %w", key, r.Node, errMalformed)
	}
	return r.Node, nil
}

// note is what is known of the record at a key that was rejected.
type note struct {
	revision int64
	reason   Rejection
}

// noteRejected counts a record that was rejected and reports it, once.
func (n *Node) noteRejected(key string, revision int64, err error) {
	rejected := (*rejectionError)(nil)
	if !errors.As(err, &rejected) {
		return
	}
	n.mu.Lock()
	last := n.notes[key]
	if last.revision != revision {
		n.notes[key] = note{revision, rejected.reason}
		n.rejections[rejected.reason]++
	}
	n.mu.Unlock()
	if last.revision != revision && last.reason != rejected.reason { // one that is written again and again is reported once
		n.Report(slog.LevelWarn, n.Name, "a record of the shared configuration is rejected: "+err.Error())
	}
}

// noteAccepted makes the next record that is rejected at a key be reported.
func (n *Node) noteAccepted(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.notes, key)
}

// forgetNotes forgets the rejected records that the store no longer has.
func (n *Node) forgetNotes(all map[string]Value) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.notes, func(key string, _ note) bool {
		_, stored := all[key]
		return !stored
	})
}

// Rejected returns how many records were rejected, by reason.
func (n *Node) Rejected() map[Rejection]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[Rejection]uint64)
	for _, reason := range []Rejection{Malformed, OtherVersion, UnknownNode, BadSignature} {
		all[reason] = n.rejections[reason]
	}
	return all
}
