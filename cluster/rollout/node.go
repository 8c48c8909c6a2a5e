package rollout

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options holds the settings and dependencies of a Node.
type Options struct {
	Cluster string
	Name    string // of this node
	Key     ed25519.PrivateKey
	Trust   map[string]ed25519.PublicKey // with this node
	Store   Store
	// Shared says that the node follows the target; otherwise it reads its own file, and only publishes a digest of it.
	Shared bool
	// Serving is the hash of the shared configuration that the node started with; empty: none.
	Serving string
	// Apply makes a configuration serve. Its error is why this node rejects it, unless it is a *TemporaryError.
	Apply func(context.Context, *Manifest, string) error
	// Split makes a configuration serve a share of the clients beside the one that serves, in hundredths of a percent, and
	// Join ends that. The error of Split is as that of Apply.
	Split func(context.Context, *Manifest, string, uint32) error
	Join  func(context.Context) error
	// Digest returns the digest of the configuration that serves.
	Digest func() string
	// Fresh returns the names of the nodes that are alive.
	Fresh func() []string
	// Breach returns why the node cannot go on with a canary that it serves, to all or a share of its clients; empty: it can.
	Breach func() string
	Report func(level slog.Level, subject, message string)
}

// TemporaryError is the error of Apply if it is to be tried again.
type TemporaryError struct{ Err error }

func (e *TemporaryError) Error() string { return e.Err.Error() }

// Node is this node as it follows the shared configuration. Its methods are safe for concurrent use.
type Node struct {
	Options
	signer signer
	wake   chan struct{} // capacity 1

	// Owned by Run.
	served     Manifest  // with a number: it is known which generation serves
	servedAt   time.Time // since when
	rejected   Ack       // the last rejection; generation 0: none
	rejectedAt time.Time
	split      splitState
	failing    bool
	skewSince  time.Time // since when nodes differ; zero: they do not
	skewed     bool      // it was reported

	mu     sync.Mutex // guards all below
	seq    uint64     // of the last target
	number uint64     // of the generation that serves; 0: it is not known
	target Target
	acks   map[string]Ack
	skew   []string // nodes that serve another configuration

	notes      map[string]note // by key: the records that were rejected
	rejections map[Rejection]uint64
}

// New returns a node; Run makes it follow.
func New(o Options) *Node {
	return &Node{
		Options: o, signer: signer{o.Cluster, o.Name, o.Key, o.Trust}, wake: make(chan struct{}, 1), served: Manifest{Hash: o.Serving},
		notes: make(map[string]note), rejections: make(map[Rejection]uint64),
	}
}

const (
	// period is how often a node looks at what depends on time.
	period = time.Second
	// retryAfter is when a rejected generation is tried again: what it misses, such as a file, may be there.
	retryAfter = time.Minute
	// rollbackWithin is how long after a push a rejection takes it back. A node that comes back later must not.
	rollbackWithin = 2 * time.Minute
	// skewAfter is how long nodes may differ, as they do during every change.
	skewAfter = 30 * time.Second
)

// Changed makes the node look at once, such as after a reload.
func (n *Node) Changed() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends.
func (n *Node) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { n.Store.Watch(ctx, n.Changed) })
	tick := time.NewTicker(period)
	defer tick.Stop()
	for ctx.Err() == nil {
		n.report(n.step(ctx))
		select {
		case <-ctx.Done():
		case <-n.wake:
		case <-tick.C:
		}
	}
}

// report reports the first error of several, and the first success after them.
func (n *Node) report(err error) {
	was := n.failing
	n.failing = err != nil && !errors.Is(err, context.Canceled)
	level, failed, again := slog.LevelError, "the shared configuration cannot be followed; what serves goes on: ", "the shared configuration is followed again"
	if !n.Shared {
		level, failed, again = slog.LevelWarn, "it cannot be compared whether the nodes serve the same configuration; what serves goes on: ", "the configurations of the nodes are compared again"
	}
	switch {
	case n.failing && !was:
		n.Report(level, n.Name, failed+err.Error())
	case err == nil && was:
		n.Report(slog.LevelInfo, n.Name, again)
	}
}

// step looks at the records and does what they ask for.
func (n *Node) step(ctx context.Context) error {
	t, revision, err := n.look(ctx)
	if err != nil {
		return err
	}
	ack := Ack{State: Serving, Digest: n.Digest()}
	if n.Shared {
		if ack, err = n.follow(ctx, &t); err != nil {
			return err
		}
		if err = n.followSplit(ctx, &t, &ack); err != nil {
			return err
		}
	}
	n.countSkew(time.Now())
	if err := n.acknowledge(ctx, ack); err != nil || !n.Shared {
		return err
	}
	return n.judge(ctx, &t, revision, ack)
}

// look reads the target and the acknowledgements.
func (n *Node) look(ctx context.Context) (t Target, revision int64, err error) {
	all, err := n.Store.Read(ctx, StateKeys)
	if err != nil {
		return t, 0, err
	}
	if v, ok := all[targetKey]; ok && n.Shared {
		if err := n.openTarget(v.Data, &t); err != nil {
			n.noteRejected(targetKey, v.Revision, err)
			return t, 0, err
		}
		n.noteAccepted(targetKey)
		revision = v.Revision
	}
	acks := n.openAcks(all)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target, n.acks = t, acks
	return t, revision, nil
}

// openAcks verifies the acknowledgements, by node. One that is rejected counts as none.
func (n *Node) openAcks(all map[string]Value) map[string]Ack {
	n.forgetNotes(all)
	acks := map[string]Ack{}
	for key, v := range all {
		var a Ack
		name, ok := strings.CutPrefix(key, ackKeys)
		if !ok {
			continue
		}
		signedBy, err := n.signer.open(key, v.Data, &a)
		if err == nil && signedBy != name {
			err = reject(BadSignature, "%s: it was signed by %s", key, signedBy)
		}
		if err != nil {
			n.noteRejected(key, v.Revision, err)
			continue
		}
		n.noteAccepted(key)
		acks[name] = a
	}
	return acks
}

// follow makes the generation of the target serve, and returns the acknowledgement.
func (n *Node) follow(ctx context.Context, t *Target) (Ack, error) {
	wanted := t.Of(n.Name)
	hash := t.hashOf(wanted)
	if wanted == 0 || wanted == n.served.Number && isHash(hash, n.served.Hash) {
		return n.serving(), nil
	}
	rejected := wanted == n.rejected.Generation && isHash(hash, n.rejected.Hash)
	if rejected && time.Since(n.rejectedAt) < retryAfter {
		return n.rejected, nil
	}
	err := n.change(ctx, wanted, hash)
	var invalid *invalidError
	var failed *applyError
	switch {
	case err == nil:
		n.rejected = Ack{}
		return n.serving(), nil
	case errors.As(err, &failed) || errors.As(err, &invalid):
		if !rejected {
			n.Report(slog.LevelError, n.Name, fmt.Sprintf("generation %d of the shared configuration is rejected; generation %d goes on: %v", wanted, n.served.Number, err))
		}
		n.rejected, n.rejectedAt = Ack{Generation: wanted, Hash: hash, State: Rejected, Why: err.Error(), Digest: n.Digest()}, time.Now()
		return n.rejected, nil
	}
	return Ack{}, err
}

func (n *Node) serving() Ack {
	return Ack{Generation: n.served.Number, Hash: n.served.Hash, State: Serving, Digest: n.Digest()}
}

// applyError is the reason for a rejection.
type applyError struct{ error }

// change makes a generation serve. One with the text that serves only has another number.
func (n *Node) change(ctx context.Context, number uint64, hash string) error {
	m, err := n.manifest(ctx, number)
	if err != nil {
		return err
	}
	if !isHash(hash, m.Hash) {
		return &invalidError{fmt.Errorf("generation %d has another text than the target says", number)}
	}
	if m.Hash != n.served.Hash {
		text, err := n.readText(ctx, &m)
		if err != nil {
			return err
		}
		if err := n.Apply(ctx, &m, text); errors.As(err, new(*TemporaryError)) {
			return err
		} else if err != nil {
			return &applyError{err}
		}
		n.Report(slog.LevelInfo, n.Name, fmt.Sprintf("generation %d of the shared configuration serves, of %s", m.Number, m.Owner))
	}
	n.served, n.servedAt = m, time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.number = m.Number
	return nil
}

// Generation returns the number of the generation that serves; 0: it is not known.
func (n *Node) Generation() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.number
}

// acknowledge publishes what the node serves, if that has changed.
func (n *Node) acknowledge(ctx context.Context, a Ack) error {
	n.mu.Lock()
	stored, ok := n.acks[n.Name]
	n.mu.Unlock()
	a.Time, stored.Time = time.Time{}, time.Time{}
	if ok && stored == a {
		return nil
	}
	a.Time = time.Now().UTC()
	sealed, err := n.signer.seal(ackKeys+n.Name, a)
	if err != nil {
		return err
	}
	if _, err := n.Store.Write(ctx, Change{Puts: map[string][]byte{ackKeys + n.Name: sealed}}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acks[n.Name] = a
	return nil
}

// judge takes a generation back that this node rejects, and ends a canary that this node serves:
//
//	this node                                    target
//	rejects a generation that was just pushed    the generation before, again; see mayBeTakenBack
//	rejects the canary, or breaks a guardrail    without the canary
//	serves the canary for its time, all its
//	nodes too                                    the canary, on all nodes and for all clients
func (n *Node) judge(ctx context.Context, t *Target, revision int64, a Ack) error {
	canary := t.Canary != nil && slices.Contains(t.Canary.Nodes, n.Name)
	switch {
	case t.split() != nil:
		return n.judgeSplit(ctx, t, revision, &a.Split)
	case canary && a.State == Rejected:
		return n.endCanary(ctx, t, revision, fmt.Sprintf("%s rejected generation %d: %s", n.Name, a.Generation, a.Why))
	case canary:
		return n.judgeCanary(ctx, t, revision)
	case a.State == Rejected && a.Generation == t.Generation && t.mayBeTakenBack():
		why := fmt.Sprintf("%s rejected generation %d", n.Name, a.Generation)
		_, err := n.push(ctx, &Request{From: t.Previous, takesBack: true, Manifest: Manifest{
			Source: rollbackSource, Owner: n.Name, Reason: why + ": " + a.Why, AllowRemoval: true, OverrideGuardrail: why,
		}}, t, revision)
		if err == nil {
			n.Report(slog.LevelError, n.Cluster, fmt.Sprintf("%s; all nodes serve generation %d again", why, t.Previous))
		}
		return unlessConflict(err)
	}
	return nil
}

// mayBeTakenBack reports whether the generation was just pushed: a node that rejects it later must not move the others. What
// a node has taken back stays, because nodes that reject different generations would change the target without end.
func (t *Target) mayBeTakenBack() bool {
	return t.Previous != 0 && t.Canary == nil && !t.TakenBack && time.Since(t.Since).Abs() < rollbackWithin
}

// unlessConflict returns an error, unless another node was faster.
func unlessConflict(err error) error {
	if errors.As(err, new(*ConflictError)) {
		return nil
	}
	return err
}

// judgeCanary ends a canary that this node serves, if it is time.
func (n *Node) judgeCanary(ctx context.Context, t *Target, revision int64) error {
	c := t.Canary
	if n.served.Number != c.Generation || !isHash(c.Hash, n.served.Hash) {
		return nil
	}
	if why := n.Breach(); why != "" {
		return n.endCanary(ctx, t, revision, fmt.Sprintf("on %s, generation %d %s", n.Name, c.Generation, why))
	}
	if time.Since(n.servedAt) < c.For || len(n.Awaited(t)) > 0 {
		return nil
	}
	return n.promote(ctx, t, revision)
}

// promote makes all nodes serve the canary.
func (n *Node) promote(ctx context.Context, t *Target, revision int64) error {
	c := t.Canary
	now := time.Now().UTC()
	next := Target{
		Generation: c.Generation, Hash: c.Hash, Previous: t.Generation, Latest: t.Latest, Owner: t.Owner, Reason: t.Reason, Since: now,
		Ended: t.withEnded(Promoted, n.Name, fmt.Sprintf("it was served for %v without a breach of a guardrail", c.For), now),
	}
	err := n.swap(ctx, &next, revision, nil)
	if err == nil {
		n.Report(slog.LevelInfo, n.Name, fmt.Sprintf("generation %d was a canary on %s for %v; all nodes serve it now", c.Generation, c, c.For))
	}
	return unlessConflict(err)
}

// differing returns those of the nodes that serve another configuration.
func (n *Node) differing(fresh []string, own string) (names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range fresh {
		a, ok := n.acks[name]
		same := a.Digest == own
		if n.Shared {
			of := n.target.Of(name)
			same = a.State == Serving && a.Generation == of && isHash(a.Hash, n.target.hashOf(of))
			if c := n.target.split(); c != nil {
				same = same && a.Split.serves(c)
			}
		}
		if name != n.Name && ok && !same {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// countSkew counts the nodes that serve another configuration than they should, or than this one.
func (n *Node) countSkew(now time.Time) {
	skew := n.differing(n.Fresh(), n.Digest())
	n.mu.Lock()
	n.skew = skew
	n.mu.Unlock()
	differing := strings.Join(skew, ", ")
	switch {
	case differing == "" && n.skewed:
		n.Report(slog.LevelInfo, n.Cluster, "all nodes serve the same configuration again")
		n.skewed = false
	case differing != "" && n.skewSince.IsZero():
		n.skewSince = now
	case differing != "" && !n.skewed && now.Sub(n.skewSince) >= skewAfter:
		n.skewed = true
		n.Report(slog.LevelWarn, n.Cluster, "nodes serve another configuration: "+differing+"; give all nodes the same, or look for why they reject it")
	}
	if differing == "" {
		n.skewSince = time.Time{}
	}
}

// Status is the shared configuration as a node sees it.
type Status struct {
	Target Target
	Acks   []NodeAck // by name
	Skew   []string  // nodes that serve another configuration
}

// Status returns what n knows now.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{Target: n.target, Skew: slices.Clone(n.skew)}
	for name, a := range n.acks {
		s.Acks = append(s.Acks, NodeAck{name, a})
	}
	slices.SortFunc(s.Acks, func(a, b NodeAck) int { return strings.Compare(a.Node, b.Node) })
	return s
}

// Await waits until all nodes that are alive have acknowledged a generation that they are to serve, or one rejects it, and
// returns their acknowledgements.
func (n *Node) Await(ctx context.Context, number uint64) []NodeAck {
	tick := time.NewTicker(period / 10)
	defer tick.Stop()
	for {
		acks, done := n.acksOf(number)
		if done {
			return acks
		}
		select {
		case <-ctx.Done():
			return acks
		case <-tick.C:
		}
	}
}

// takenBack returns the rejection of the node that has taken a generation back; none if an operator has replaced it.
func (n *Node) takenBack(t *Target, number uint64) []NodeAck {
	if _, isNode := n.Trust[t.Owner]; !isNode {
		return nil
	}
	return []NodeAck{{t.Owner, Ack{Generation: number, State: Rejected, Why: t.Reason, Time: t.Time}}}
}

// acksOf returns the acknowledgements of a generation, and whether no more are to come.
func (n *Node) acksOf(number uint64) (acks []NodeAck, done bool) {
	s := n.Status()
	if s.Target.Latest < number {
		return nil, false
	}
	if s.Target.Generation != number && (s.Target.Canary == nil || s.Target.Canary.Generation != number) {
		return n.takenBack(&s.Target, number), true
	}
	if c := s.Target.split(); c != nil && c.Generation == number {
		return n.splitAcks(&s)
	}
	for _, a := range s.Acks {
		if a.Generation == number && isHash(a.Hash, s.Target.hashOf(number)) {
			acks = append(acks, a)
		}
	}
	return acks, n.complete(acks, func(name string) bool { return s.Target.Of(name) == number })
}
