package inputs

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
)

// version is the version of records. A node reads those of its own version; fields and kinds that it does not know are ignored,
// so that only a change of the meaning needs another version.
const version = 1

// maxRecord bounds the size of a record, in octets.
const maxRecord = 128 << 10

// record is the form of a record: JSON, so that an operator can read it with etcdctl.
type record struct {
	Version   int             `json:"version"`
	Node      string          `json:"node"` // that signed it
	Boot      uint64          `json:"boot"` // of the process, as in its heartbeats
	Seq       uint64          `json:"seq"`  // grows in each boot
	Body      json.RawMessage `json:"body"` // null: the node gives nothing of the kind
	Signature []byte          `json:"signature"`
}

// signed returns the signed text: the signature is good for one cluster, kind and message.
func (r *record) signed(cluster string, kind Kind) []byte {
	return fmt.Appendf(nil, "meridian inputs\x00%s\x00%s\x00%s\x00%d\x00%d\x00%s", cluster, kind, r.Node, r.Boot, r.Seq, r.Body)
}

// seal returns the text of r, signed.
func (r *record) seal(cluster string, kind Kind, key ed25519.PrivateKey) []byte {
	r.Version = version
	r.Signature = ed25519.Sign(key, r.signed(cluster, kind))
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // the body is JSON of ours
	}
	return text
}

// Rejection is why a record was rejected, as in metrics.
type Rejection string

// The reasons.
const (
	Malformed    Rejection = "malformed"
	Oversized    Rejection = "oversized"
	OtherVersion Rejection = "version"
	UnknownNode  Rejection = "unknown_vantage"
	BadSignature Rejection = "signature"
	Replay       Rejection = "replay"
)

// Rejections lists the reasons.
func Rejections() []Rejection {
	return []Rejection{Malformed, Oversized, OtherVersion, UnknownNode, BadSignature, Replay}
}

// rejectionError is a rejected record.
type rejectionError struct {
	reason Rejection
	detail string
}

func (e *rejectionError) Error() string { return e.detail }

func reject(reason Rejection, format string, of ...any) error {
	return &rejectionError{reason, fmt.Sprintf(format, of...)}
}

// reasonOf returns the reason of an error of open.
func reasonOf(err error) Rejection {
	if rejected := (*rejectionError)(nil); errors.As(err, &rejected) {
		return rejected.reason
	}
	return Malformed
}

// open reads and verifies the record of a node.
//
//	the record                      reason
//	------------------------------  ---------------
//	is longer than maxRecord        oversized
//	is no JSON, or has no sequence  malformed
//	has another version             version
//	is of a node not in trust       unknown_vantage
//	is at the key of another node   signature
//	has another signature           signature
func open(raw []byte, cluster string, kind Kind, node string, trust map[string]ed25519.PublicKey) (*record, error) {
	if len(raw) > maxRecord {
		return nil, reject(Oversized, "%s of %s: %d octets, want at most %d", kind, node, len(raw), maxRecord)
	}
	r := new(record)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, reject(Malformed, "%s of %s: %v", kind, node, err)
	}
	key, known := trust[node]
	switch {
	case r.Version != version:
		return nil, reject(OtherVersion, "%s of %s: it is of version %d, and this program reads %d", kind, node, r.Version, version)
	case !known:
		return nil, reject(UnknownNode, "%s of %s: cluster.trust does not name it", kind, node)
	case r.Node != node || !ed25519.Verify(key, r.signed(cluster, kind), r.Signature):
		return nil, reject(BadSignature, "%s of %s: the signature is not of that node in cluster %s", kind, node, cluster)
	case r.Seq == 0:
		return nil, reject(Malformed, "%s of %s: it has no sequence number", kind, node)
	}
	return r, nil
}
