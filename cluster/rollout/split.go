package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// splitState is the second generation of a node, which it serves to a share of the clients. Run owns it.
type splitState struct {
	served   Manifest  // number 0: there is none
	since    time.Time // when it began to serve
	rejected SplitAck  // the last rejection; generation 0: none
	at       time.Time // of the rejection
}

// followSplit makes the generation of a share of the clients serve beside the one of the target, or ends that, and completes
// the acknowledgement:
//
//	target                      this node serves                    it
//	no share                    a second generation                 ends it
//	a share                     another generation of the target    waits until it follows
//	a share                     the generation of the target        adds the second one
func (n *Node) followSplit(ctx context.Context, t *Target, a *Ack) error {
	a.Splits = true
	c, s := t.split(), &n.split
	if s.served.Number != 0 && (c == nil || c.Generation != s.served.Number || !isHash(c.Hash, s.served.Hash)) {
		if err := n.Join(ctx); err != nil {
			return err
		}
		n.Report(slog.LevelInfo, n.Name, fmt.Sprintf("the canary of generation %d has ended; all clients get generation %d", s.served.Number, n.served.Number))
		s.served = Manifest{}
	}
	if c == nil || a.State != Serving || a.Generation != t.Generation {
		return nil
	}
	return n.serveSplit(ctx, c, a)
}

// serveSplit makes the generation of a canary serve its share of the clients, unless it does.
func (n *Node) serveSplit(ctx context.Context, c *Canary, a *Ack) error {
	s := &n.split
	if s.served.Number == c.Generation {
		a.Split = SplitAck{Generation: c.Generation, Hash: s.served.Hash, State: Serving}
		return nil
	}
	rejected := s.rejected.Generation == c.Generation && isHash(c.Hash, s.rejected.Hash)
	if rejected && time.Since(s.at) < retryAfter {
		a.Split = s.rejected
		return nil
	}
	m, err := n.addSplit(ctx, c)
	var invalid *invalidError
	var failed *applyError
	switch {
	case err == nil:
		s.served, s.since, s.rejected = m, time.Now(), SplitAck{}
		a.Split = SplitAck{Generation: m.Number, Hash: m.Hash, State: Serving}
		n.Report(slog.LevelInfo, n.Name, fmt.Sprintf("%s get generation %d of the shared configuration, of %s", c, m.Number, m.Owner))
		return nil
	case errors.As(err, &failed) || errors.As(err, &invalid):
		if !rejected {
			n.Report(slog.LevelError, n.Name, fmt.Sprintf("generation %d of the shared configuration, for %s, is rejected; generation %d goes on for all: %v", c.Generation, c, n.served.Number, err))
		}
		s.rejected, s.at = SplitAck{Generation: c.Generation, Hash: c.Hash, State: Rejected, Why: err.Error()}, time.Now()
		a.Split = s.rejected
		return nil
	}
	return err
}

// addSplit fetches the generation of a canary and makes it serve its share of the clients.
func (n *Node) addSplit(ctx context.Context, c *Canary) (m Manifest, err error) {
	if m, err = n.manifest(ctx, c.Generation); err != nil {
		return m, err
	}
	if !isHash(c.Hash, m.Hash) {
		return m, &invalidError{fmt.Errorf("generation %d has another text than the target says", m.Number)}
	}
	text, err := n.readText(ctx, &m)
	if err != nil {
		return m, err
	}
	if err := n.Split(ctx, &m, text, c.Parts); errors.As(err, new(*TemporaryError)) {
		return m, err
	} else if err != nil {
		return m, &applyError{err}
	}
	return m, nil
}

// judgeSplit ends a canary that this node serves to a share of the clients, if it is time. All nodes that are alive must serve
// it before all clients get it.
func (n *Node) judgeSplit(ctx context.Context, t *Target, revision int64, a *SplitAck) error {
	c, s := t.split(), &n.split
	if a.Generation == c.Generation && a.State == Rejected {
		return n.endCanary(ctx, t, revision, fmt.Sprintf("%s rejected generation %d: %s", n.Name, a.Generation, a.Why))
	}
	if s.served.Number != c.Generation {
		return nil
	}
	if why := n.Breach(); why != "" {
		return n.endCanary(ctx, t, revision, fmt.Sprintf("on %s, generation %d for %s %s", n.Name, c.Generation, c, why))
	}
	if time.Since(s.since) < c.For || len(n.Awaited(t)) > 0 {
		return nil
	}
	return n.promote(ctx, t, revision)
}

// splitAcks is acksOf for the generation of a share of the clients.
func (n *Node) splitAcks(s *Status) (acks []NodeAck, done bool) {
	c := s.Target.split()
	for _, a := range s.Acks {
		if of := &a.Split; of.Generation == c.Generation && isHash(of.Hash, c.Hash) {
			acks = append(acks, NodeAck{a.Node, Ack{Generation: of.Generation, Hash: of.Hash, State: of.State, Why: of.Why, Digest: a.Digest, Time: a.Time}})
		}
	}
	return acks, n.complete(acks, func(string) bool { return true })
}

// complete reports whether all nodes that are alive and concerned have acknowledged, or one has rejected.
func (n *Node) complete(acks []NodeAck, concerned func(node string) bool) bool {
	if slices.ContainsFunc(acks, func(a NodeAck) bool { return a.State == Rejected }) {
		return true
	}
	return !slices.ContainsFunc(n.Fresh(), func(name string) bool {
		return concerned(name) && !slices.ContainsFunc(acks, func(a NodeAck) bool { return a.Node == name })
	})
}
