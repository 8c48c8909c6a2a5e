package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kept is the number of generations that are kept.
const Kept = 50

// Request is a configuration to be served.
type Request struct {
	Manifest          // Source, Owner, Reason, AllowRemoval and OverrideGuardrail
	Text     string   // empty: that of the generation From
	From     uint64   // of a rollback
	IfMatch  []string // the hashes that the present generation may have; none: any
	Canary   []string // the nodes that serve it first; none: all at once
	Parts    uint32   // of the clients that get it first on all nodes, in hundredths of a percent; 0: all
	For      time.Duration

	takesBack bool // see Target.TakenBack
}

// ErrStale is returned if the present generation is not one that the request expects.
var ErrStale = errors.New("another generation of the shared configuration is served")

// Push stores a generation and makes it the target.
func (n *Node) Push(ctx context.Context, r Request) (Manifest, error) {
	target, revision, err := n.readTarget(ctx)
	if err != nil {
		return Manifest{}, err
	}
	if err := n.mayPush(ctx, &target, &r); err != nil {
		return Manifest{}, err
	}
	return n.push(ctx, &r, &target, revision)
}

// push makes a generation the target in place of one with a revision.
func (n *Node) push(ctx context.Context, r *Request, target *Target, revision int64) (Manifest, error) {
	m, err := r.Manifest, error(nil)
	if r.Text == "" {
		err = n.copyText(ctx, &m, r.From)
	} else {
		err = n.writeText(ctx, &m, r.Text)
	}
	if err != nil {
		return Manifest{}, err
	}
	m.Number, m.Time, m.Node = max(target.Latest, n.Generation())+1, time.Now().UTC(), n.Name
	next := Target{
		Generation: target.Generation, Hash: target.Hash, Previous: target.Previous, Latest: m.Number, Owner: m.Owner, Reason: m.Reason,
		Canary: &Canary{m.Number, r.Canary, r.For, m.Hash, r.Parts}, Since: target.Since, TakenBack: target.TakenBack,
		Ended: target.withEnded(Canceled, m.Owner, m.Reason, m.Time),
	}
	if len(r.Canary) == 0 && r.Parts == 0 {
		next.Hash = m.Hash
		next.Generation, next.Previous, next.Canary, next.Since, next.TakenBack = m.Number, target.Generation, nil, m.Time, r.takesBack
	}
	if err := n.swap(ctx, &next, revision, &m); err != nil {
		return Manifest{}, err
	}
	n.prune(ctx, &next)
	return m, nil
}

// mayPush returns an error if a request does not fit the target.
func (n *Node) mayPush(ctx context.Context, t *Target, r *Request) error {
	if t.Canary != nil && r.Source != rollbackSource {
		return &CanaryError{*t}
	}
	if err := n.mayBegin(t, r); err != nil {
		return err
	}
	if len(r.IfMatch) == 0 {
		return nil
	}
	m, err := n.manifest(ctx, t.Generation)
	if t.Generation != 0 && err != nil {
		return err
	}
	if !slices.Contains(r.IfMatch, m.Hash) {
		return fmt.Errorf("%w: %w", ErrStale, &ConflictError{*t})
	}
	return nil
}

// mayBegin returns an error if the canary of a request cannot begin.
func (n *Node) mayBegin(t *Target, r *Request) error {
	for _, name := range r.Canary {
		if _, known := n.Trust[name]; !known {
			return fmt.Errorf("canary %q is not in cluster.trust; known: %s", name, strings.Join(slices.Sorted(maps.Keys(n.Trust)), ", "))
		}
	}
	if (len(r.Canary) > 0 || r.Parts > 0) && t.Generation == 0 {
		return errors.New("there is no generation that the others could get; push the first one without a canary")
	}
	if old := n.cannotSplit(); r.Parts > 0 && len(old) > 0 {
		return fmt.Errorf("these nodes run a version that serves one generation only: %s; upgrade them, or push with --canary NODE", strings.Join(old, ", "))
	}
	return nil
}

// cannotSplit returns the nodes that are alive and of a version that serves no second generation.
func (n *Node) cannotSplit() (names []string) {
	fresh := n.Fresh()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range fresh {
		if a, ok := n.acks[name]; ok && !a.Splits {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// rollbackSource is the source of a generation with the text of an earlier one.
const rollbackSource = "rollback"

// copyText makes m have the text of another generation.
func (n *Node) copyText(ctx context.Context, m *Manifest, from uint64) error {
	of, err := n.manifest(ctx, from)
	if err != nil {
		return err
	}
	m.Hash, m.Content, m.Chunks, m.Size = of.Hash, of.Content, of.Chunks, of.Size
	return nil
}

// swap replaces the target that has a revision, and stores the manifest of a new generation; nil: there is none.
func (n *Node) swap(ctx context.Context, next *Target, revision int64, m *Manifest) error {
	n.mu.Lock()
	next.Seq, next.Time = n.seq+1, time.Now().UTC()
	n.mu.Unlock()
	sealed, err := n.signer.seal(targetKey, next)
	if err != nil {
		return err
	}
	c := Change{If: map[string]int64{targetKey: revision}, Puts: map[string][]byte{targetKey: sealed}}
	if m != nil {
		key := fmt.Sprintf(manifestOf, m.Number)
		c.If[key] = 0
		if c.Puts[key], err = n.signer.seal(key, m); err != nil {
			return err
		}
	}
	ok, err := n.Store.Write(ctx, c)
	if err != nil || ok {
		return err
	}
	present, _, err := n.readTarget(ctx)
	return cmp.Or(err, error(&ConflictError{present}))
}

// readTarget reads the target and its revision; without one, the zero value.
func (n *Node) readTarget(ctx context.Context) (t Target, revision int64, err error) {
	all, err := n.Store.Read(ctx, targetKey)
	if err != nil {
		return t, 0, err
	}
	v, stored := all[targetKey]
	if !stored {
		return t, 0, nil
	}
	return t, v.Revision, n.openTarget(v.Data, &t)
}

// openTarget verifies a target. An earlier one than this node has seen is a replay, or etcd was restored.
func (n *Node) openTarget(raw []byte, t *Target) error {
	if _, err := n.signer.open(targetKey, raw, t); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if t.Seq < n.seq {
		return fmt.Errorf("%s is an earlier one than this node has seen; if etcd was restored from a snapshot, restart the nodes", targetKey)
	}
	n.seq = t.Seq
	return nil
}

// manifest reads the manifest of a generation.
func (n *Node) manifest(ctx context.Context, number uint64) (m Manifest, err error) {
	key := fmt.Sprintf(manifestOf, number)
	all, err := n.Store.Read(ctx, key)
	if err != nil {
		return m, err
	}
	v, stored := all[key]
	if !stored {
		return m, &UnknownError{number}
	}
	if _, err := n.signer.open(key, v.Data, &m); err != nil {
		return m, &invalidError{err}
	}
	if m.Number != number {
		return m, &invalidError{fmt.Errorf("%s: %w", key, errMalformed)}
	}
	return m, nil
}

// UnknownError is returned for a generation that is not stored; 0: none serves yet.
type UnknownError struct{ Number uint64 }

func (e *UnknownError) Error() string {
	if e.Number == 0 {
		return "the cluster has no configuration yet"
	}
	return fmt.Sprintf("no generation %d in the cluster", e.Number)
}

// List returns the generations, the latest first. Those that cannot be read are left out.
func (n *Node) List(ctx context.Context) ([]Manifest, error) {
	all, err := n.Store.Read(ctx, manifests)
	if err != nil {
		return nil, err
	}
	var list []Manifest
	for _, key := range slices.Sorted(maps.Keys(all)) {
		var m Manifest
		if _, err := n.signer.open(key, all[key].Data, &m); err == nil {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Manifest) int { return cmp.Compare(b.Number, a.Number) })
	return list, nil
}

// Text returns a generation and its text; number 0: the one that the nodes serve.
func (n *Node) Text(ctx context.Context, number uint64) (m Manifest, text string, err error) {
	if number == 0 {
		t, _, err := n.readTarget(ctx)
		if err != nil {
			return m, "", err
		}
		number = t.Generation
	}
	if m, err = n.manifest(ctx, number); err != nil {
		return m, "", err
	}
	text, err = n.readText(ctx, &m)
	return m, text, err
}

// maxBytes bounds the compressed size of the generations that are kept, beside those that serve.
const maxBytes = 64 << 20

// maxDeletes is how many ranges of keys one change deletes: etcd allows 128.
const maxDeletes = 100

// prune removes generations beyond the limits, and the texts that none has any more. What it cannot remove, a later push does.
func (n *Node) prune(ctx context.Context, t *Target) {
	list, err := n.List(ctx)
	if err != nil {
		return
	}
	var c Change
	removed, kept := t.surplus(list)
	for _, m := range removed {
		c.Deletes = append(c.Deletes, fmt.Sprintf(manifestOf, m.Number))
		if !kept[m.Content] {
			c.Deletes = append(c.Deletes, blobs+m.Content+"/")
			kept[m.Content] = true // once
		}
	}
	if len(c.Deletes) > 0 {
		_, _ = n.Store.Write(ctx, c)
	}
}

// surplus returns generations of a list, the latest first, that one change can remove, and the texts of the others. A generation
// may have a text of its own, which is removed with it.
func (t *Target) surplus(list []Manifest) (removed []Manifest, kept map[string]bool) {
	kept, size := map[string]bool{}, 0
	for i, m := range list {
		size += m.Size
		needed := m.Number == t.Generation || m.Number == t.Previous || t.Canary != nil && m.Number == t.Canary.Generation
		if needed || i < Kept && size <= maxBytes || len(removed) == maxDeletes/2 {
			kept[m.Content] = true
			continue
		}
		removed = append(removed, m)
	}
	return removed, kept
}
