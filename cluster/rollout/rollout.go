// Package rollout brings the shared configuration of a cluster to its nodes.
//
// A configuration is a generation: a manifest, and its text in compressed chunks. One record, the [Target], says which
// generation the nodes serve; it is changed by compare-and-swap only, so that of two writers one is refused. Each node follows
// the target, and publishes what it serves, or why it has rejected a generation:
//
//	push ──chunks, manifest──▶ store ──target──▶ each node: fetch, check, serve ──ack──▶ store
//
// There is no leader. A node that rejects a generation which it has just been given takes it back itself; a canary is taken
// back, or made the generation of all nodes, by a node that serves it. All records are signed like observations. A node that
// cannot reach the store serves what it has. A canary is some of the nodes, or a share of the clients on all of them.
package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keys of records.
const (
	// StateKeys is the beginning of the records that change: the target and the acknowledgements.
	StateKeys  = "state/"
	targetKey  = StateKeys + "target"
	ackKeys    = StateKeys + "node/"
	manifests  = "generation/"
	blobs      = "text/"
	manifestOf = manifests + "%012d" // so that keys are in the order of numbers
)

// Target says which generation the nodes serve.
type Target struct {
	Seq        uint64    `json:"seq"`            // grows with each change
	Generation uint64    `json:"generation"`     // 0: none yet
	Hash       string    `json:"hash,omitempty"` // of its text; empty: an earlier version wrote the target
	Previous   uint64    `json:"previous"`       // that the nodes served before; 0: none
	Latest     uint64    `json:"latest"`         // the highest number given
	Canary     *Canary   `json:"canary,omitempty"`
	Owner      string    `json:"owner"`
	Reason     string    `json:"reason,omitempty"`
	Time       time.Time `json:"time"`
	Since      time.Time `json:"since"`                // of the generation
	TakenBack  bool      `json:"taken_back,omitempty"` // a node made the generation, because it rejected the one before

	Ended []EndedCanary `json:"ended,omitempty"` // the last canaries, the latest first; a node of an earlier version leaves them out
}

// Canary is a generation that some nodes serve before the others, or that all nodes serve to some clients.
type Canary struct {
	Generation uint64        `json:"generation"`
	Nodes      []string      `json:"nodes"` // none: a share of the clients
	For        time.Duration `json:"for"`   // then all nodes serve it to all clients
	Hash       string        `json:"hash,omitempty"`
	Parts      uint32        `json:"parts,omitempty"` // of the clients, in hundredths of a percent; 0: Nodes serve it to all
}

// String says where the canary is.
func (c *Canary) String() string {
	if c.Parts > 0 {
		return strconv.FormatFloat(float64(c.Parts)/100, 'f', -1, 64) + "% of the clients"
	}
	return strings.Join(c.Nodes, ", ")
}

// split returns the canary that all nodes serve to some clients; nil: there is none.
func (t *Target) split() *Canary {
	if t.Canary != nil && t.Canary.Parts > 0 {
		return t.Canary
	}
	return nil
}

// Of returns the generation that a node serves.
func (t *Target) Of(node string) uint64 {
	if t.Canary != nil && slices.Contains(t.Canary.Nodes, node) {
		return t.Canary.Generation
	}
	return t.Generation
}

// hashOf returns the hash of a generation that nodes serve; empty: it is not known.
func (t *Target) hashOf(number uint64) string {
	switch {
	case t.Canary != nil && t.Canary.Generation == number:
		return t.Canary.Hash
	case t.Generation == number:
		return t.Hash
	}
	return ""
}

// isHash reports whether the hashes of two generations of one number are of the same text. Numbers begin again in a store that
// was emptied.
func isHash(a, b string) bool { return a == b || a == "" || b == "" }

// Manifest describes a generation.
type Manifest struct {
	Number  uint64    `json:"generation"`
	Hash    string    `json:"hash"`    // of its text
	Content string    `json:"content"` // SHA-256 of the compressed text, which is in chunks below it
	Chunks  int       `json:"chunks"`
	Size    int       `json:"size"` // of the compressed text
	Time    time.Time `json:"time"`
	Source  string    `json:"source"` // api or rollback
	Owner   string    `json:"owner"`
	Node    string    `json:"node"` // that it was given to
	Reason  string    `json:"reason,omitempty"`

	AllowRemoval      bool   `json:"allow_removal,omitempty"`
	OverrideGuardrail string `json:"override_guardrail,omitempty"`
}

// The states of an acknowledgement.
const (
	Serving  = "serving"
	Rejected = "rejected"
)

// Ack says what a node serves.
type Ack struct {
	Generation uint64    `json:"generation"`     // 0: it reads its own file
	Hash       string    `json:"hash,omitempty"` // of the generation; empty: it is not known
	State      string    `json:"state"`          // Serving or Rejected
	Why        string    `json:"why,omitempty"`  // it was rejected
	Digest     string    `json:"digest"`         // of the configuration that it serves
	Time       time.Time `json:"time"`

	Splits bool     `json:"splits,omitempty"` // the node can serve a second generation to a share of the clients
	Split  SplitAck `json:"split,omitzero"`
}

// SplitAck says what a node does with the generation of a share of the clients.
type SplitAck struct {
	Generation uint64 `json:"generation"` // 0: none
	Hash       string `json:"hash"`
	State      string `json:"state"`         // Serving or Rejected
	Why        string `json:"why,omitempty"` // it was rejected
}

// serves reports whether the node serves the generation of a canary.
func (a *SplitAck) serves(c *Canary) bool {
	return a.Generation == c.Generation && a.State == Serving && isHash(a.Hash, c.Hash)
}

// NodeAck is the acknowledgement of a node.
type NodeAck struct {
	Node string `json:"node"`
	Ack
}

// HashText returns the hash of a configuration, in hex.
func HashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:12]
}

// ConflictError is returned to a writer when another one was faster.
type ConflictError struct{ Target Target }

func (e *ConflictError) Error() string {
	t := &e.Target
	what := fmt.Sprintf("generation %d", t.Generation)
	if t.Canary != nil {
		what = fmt.Sprintf("generation %d, a canary on %s", t.Canary.Generation, t.Canary)
	}
	return fmt.Sprintf("the shared configuration was changed by %s at %s: %s", t.Owner, t.Time.UTC().Format(time.RFC3339), what)
}
