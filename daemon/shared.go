package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/miekg/dns"

	"meridian/cluster/rollout"
	"meridian/config"
	"meridian/control"
	"meridian/control/generations"
	"meridian/pools"
	"meridian/server/answer"
)

// newRollout makes this node follow the configuration of its cluster, or compare its own with those of the others.
func (l *instance) newRollout(cfg *config.Config, n *clusterNode, key ed25519.PrivateKey, trust map[string]ed25519.PublicKey) *rollout.Node {
	canary, split := new(canaryWatch), new(splitWatch)
	return rollout.New(rollout.Options{
		Cluster: cfg.Cluster.Name, Name: cfg.Node, Key: key, Trust: trust, Store: n.store.Rollout(),
		Shared: cfg.Cluster.Shared, Serving: servingHash(cfg),
		Apply: func(ctx context.Context, m *rollout.Manifest, text string) error {
			canary.begin(l.server.Counters(), lostPools(l.served().Pools))
			return l.applyShared(ctx, m, text)
		},
		Split: func(ctx context.Context, m *rollout.Manifest, text string, parts uint32) error {
			err := l.splitShared(ctx, m, text, parts)
			split.before = l.server.Counters()
			return err
		},
		Join:   l.joinShared,
		Digest: func() string { d, _ := l.digest.Load().(string); return d },
		Fresh:  n.freshNodes,
		Breach: func() string {
			if c := l.holdCanary(); c != nil {
				defer c.Release()
				return split.breach(l.server.Counters(), l.snapshotOf(c).Pools, l.served().Pools)
			}
			return canary.breach(l.server.Counters(), lostPools(l.served().Pools))
		},
		Report: l.reportCluster,
	})
}

// servingHash returns the hash of the shared configuration in cfg; empty: it has none, or a copy serves.
func servingHash(cfg *config.Config) string {
	if cfg.Root != "" || !slices.Contains(cfg.Files(), cfg.SharedFile()) {
		return ""
	}
	d, ok, err := control.SharedDocument(cfg)
	if !ok || err != nil {
		return ""
	}
	return rollout.HashText(string(d.Text))
}

// applyShared makes a shared configuration serve, with the files of this node.
func (l *instance) applyShared(ctx context.Context, m *rollout.Manifest, text string) error {
	if l.served().Config.Root != "" { // this node's files are at fault, not the text: the other nodes go on
		return &rollout.TemporaryError{Err: errors.New("the last good configuration serves: correct the files of this node, then reload")}
	}
	documents, err := l.control.Candidate("", []byte(text))
	if err != nil {
		return err
	}
	return l.reloadShared(ctx, control.ReloadRequest{
		Documents: documents, AllowRemoval: m.AllowRemoval, OverrideGuardrail: m.OverrideGuardrail,
		Origin: generations.Generation{Source: "cluster", Who: m.Owner, Reason: m.Reason},
	})
}

// splitShared makes a shared configuration serve a share of the clients.
func (l *instance) splitShared(ctx context.Context, m *rollout.Manifest, text string, parts uint32) error {
	documents, err := l.control.Candidate("", []byte(text))
	if err != nil {
		return err
	}
	return l.reloadShared(ctx, control.ReloadRequest{
		Documents: documents, AllowRemoval: m.AllowRemoval, OverrideGuardrail: m.OverrideGuardrail,
		Canary: &control.CanaryRequest{Generation: m.Number, Hash: m.Hash, Parts: parts},
	})
}

// joinShared makes all clients get what most of them get.
func (l *instance) joinShared(ctx context.Context) error {
	return l.reloadShared(ctx, control.ReloadRequest{Canary: new(control.CanaryRequest)})
}

// reloadShared reloads for the cluster. An error that will pass is a *rollout.TemporaryError.
func (l *instance) reloadShared(ctx context.Context, request control.ReloadRequest) error {
	_, err := l.control.Reload(ctx, request)
	if errors.Is(err, control.ErrUpgrading) || errors.Is(err, control.ErrNotAwaited) {
		return &rollout.TemporaryError{Err: err}
	}
	return firstError(err)
}

// firstError returns the first error of a configuration and the number of the others: an acknowledgement is short.
func firstError(err error) error {
	switch all := errorsIn(err); len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	default:
		return fmt.Errorf("%w (and %d more errors)", all[0], len(all)-1)
	}
}

// documents returns the files of the configuration, with the shared one.
func (l *instance) documents() ([]config.Document, error) {
	documents, err := l.Documents()
	if err != nil {
		return nil, err
	}
	d, ok, err := control.SharedDocument(l.served().Config)
	if ok && !slices.ContainsFunc(documents, func(of config.Document) bool { return of.File == d.File }) {
		documents = append(documents, d)
	}
	return documents, err
}

// noteDigest computes the digest of the configuration that has begun to serve, and compares it with those of the other nodes.
func (l *instance) noteDigest() {
	if l.member == nil || l.member.rollout == nil || l.Documents == nil {
		return
	}
	documents, err := l.documents()
	if err != nil {
		l.Logger.Warn("the configuration cannot be compared with that of the other nodes", "error", err)
		return
	}
	l.digest.Store(config.SharedDigest(documents))
	l.member.rollout.Changed()
}

// canaryWatch compares what a node answers under a canary with what it answered before. The goroutine of the rollout owns it.
type canaryWatch struct {
	begun  bool                  // since the start of the process
	before answer.Counters       // when the last generation began to serve
	lost   map[string]pools.Mode // see lostPools, then
	// What was answered before that, since the generation before.
	answers, failures uint64
}

// The guardrails of a canary.
const (
	maxFailures = 0.001 // more of the answers that are SERVFAIL than before
	minFailures = 10    // fewer say nothing
)

// begin notes what the node has answered, and the lost pools, before a generation serves.
func (w *canaryWatch) begin(now answer.Counters, lost map[string]pools.Mode) {
	w.begun = true
	w.answers, w.failures = answersOf(&now)-answersOf(&w.before), failuresOf(&now)-failuresOf(&w.before)
	w.before, w.lost = now, lost
}

func failuresOf(c *answer.Counters) uint64 { return c.Rcodes[dns.RcodeServerFailure] }

func answersOf(c *answer.Counters) (n uint64) {
	for _, count := range c.Rcodes {
		n += count
	}
	return n
}

// lostPools returns the pools that fail open or have no answer in a family, with the worse of the modes of their families.
func lostPools(tree *pools.Tree) map[string]pools.Mode {
	lost := map[string]pools.Mode{}
	for _, change := range tree.Modes() {
		if change.To >= pools.FailedOpen {
			lost[change.Pool] = max(lost[change.Pool], change.To)
		}
	}
	return lost
}

// breach returns why the generation that serves breaks a guardrail of canaries; empty: it does not.
//
//	guardrail   broken if
//	answers     more of them are SERVFAIL than before, by maxFailures
//	pools       one fails open that did not before, or has no answer any more
func (w *canaryWatch) breach(now answer.Counters, lost map[string]pools.Mode) string {
	if !w.begun { // a restarted node serves the canary already: it is compared with itself from now on
		w.begin(now, lost)
	}
	return w.breachOf(answersOf(&now)-answersOf(&w.before), failuresOf(&now)-failuresOf(&w.before), lost, "before")
}

// breachOf is breach for numbers of answers, compared with those of w, which were given at another time or to other clients.
func (w *canaryWatch) breachOf(answers, failures uint64, lost map[string]pools.Mode, others string) string {
	if share := shareOf(failures, answers); failures >= minFailures && share > shareOf(w.failures, w.answers)+maxFailures {
		return fmt.Sprintf("answers %.1f %% of the queries with SERVFAIL, and %.1f %% %s", 100*share, 100*shareOf(w.failures, w.answers), others)
	}
	for _, pool := range slices.Sorted(maps.Keys(lost)) {
		switch mode := lost[pool]; {
		case mode <= w.lost[pool]:
		case mode == pools.Dead:
			return fmt.Sprintf("leaves pool %q without an answer", pool)
		default:
			return fmt.Sprintf("makes pool %q fail open", pool)
		}
	}
	return ""
}

func shareOf(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
