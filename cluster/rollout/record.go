package rollout

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
)

// version is the version of records. A node reads those of its own version and of the one before; fields that it does not know
// are ignored, so that only a change of the meaning needs another version.
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

// open reads and verifies the record at a key, and returns the node that signed it.
func (s *signer) open(key string, raw []byte, body any) (node string, err error) {
	var r record
	if json.Unmarshal(raw, &r) != nil {
		return "", fmt.Errorf("%s: %w", key, errMalformed)
	}
	trusted, known := s.trust[r.Node]
	switch {
	case r.Version != version:
		return "", fmt.Errorf("%s: it is of version %d, and this program reads %d; upgrade all nodes", key, r.Version, version)
	case !known:
		return "", fmt.Errorf("%s: it was signed by %q, which cluster.trust does not name", key, r.Node)
	case !ed25519.Verify(trusted, s.signed(key, r.Node, r.Body), r.Signature):
		return "", fmt.Errorf("%s of %s: %w", key, r.Node, errForged)
	case json.Unmarshal(r.Body, body) != nil:
		return "", fmt.Errorf("%s of %s: %w", key, r.Node, errMalformed)
	}
	return r.Node, nil
}
