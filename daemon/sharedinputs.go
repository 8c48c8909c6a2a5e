package daemon

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"meridian/cluster/etcd"
	"meridian/cluster/inputs"
	"meridian/config"
	"meridian/control"
	"meridian/discovery"
)

// inputTable holds load reports and targets in etcd, below PREFIX/CLUSTER/inputs/v1/. Versions of nodes that do not know it do
// not read it.
const inputTable = "inputs/v1"

// sharedInputs carries load reports, the state of load controllers and the addresses of targets to and from other nodes.
type sharedInputs struct {
	*inputs.Exchange
	instance *instance
	changed  chan struct{} // capacity 1: inputs of other nodes have changed

	mu    sync.Mutex // guards the fields below
	offer control.LoadOffer
	gives map[string]inputs.Target
}

// shareInputs makes the inputs of the node shared. It runs with the node. An agent gives nothing and uses the targets of nodes,
// so that it probes the same addresses.
func (l *instance) shareInputs(cfg *config.Config, key ed25519.PrivateKey, trust map[string]ed25519.PublicKey) {
	s := &sharedInputs{instance: l, changed: make(chan struct{}, 1)}
	n := l.member
	var table *etcd.Table
	s.Exchange = inputs.New(inputs.Options{
		Cluster: cfg.Cluster.Name, Node: cfg.Node, Key: key, Trust: trust,
		Peers: func() inputs.Peers {
			p := n.Peers()
			return inputs.Peers{Connected: p.Connected, Gives: p.Settled && !l.Agent, Boot: p.Boot, Fresh: p.Fresh}
		},
		Put: func(ctx context.Context, entries []inputs.Entry) error {
			all := make([]etcd.Entry, len(entries))
			for i, e := range entries {
				all[i] = etcd.Entry{Key: e.Key, Value: e.Value}
			}
			return table.Put(ctx, all...)
		},
		Report: func(level slog.Level, message string, attributes ...any) {
			l.Logger.Log(context.Background(), level, message, attributes...)
		},
		Changed: s.wake,
	})
	table = n.store.Table(inputTable, func(u etcd.TableUpdate) {
		entries := make([]inputs.Entry, len(u.Entries))
		for i, e := range u.Entries {
			entries[i] = inputs.Entry{Key: e.Key, Value: e.Value, Deleted: e.Deleted}
		}
		s.Receive(entries, u.Err, time.Now())
	})
	n.inputs = s
	s.Offer(inputs.TargetKind, s.targetBody)
	shared := &control.SharedInputs{
		Node: cfg.Node, Loads: func(fingerprint string) inputs.LoadView { return s.Loads(fingerprint, time.Now()) },
		Offer: s.offerLoads, Status: s.Status, Reject: func(v *inputs.LoadView, err error) {
			s.RejectBody(inputs.LoadKind, &inputs.Record{Node: v.Giver, Seq: v.Seq}, err)
		},
	}
	if !l.Agent {
		s.Offer(inputs.LoadKind, s.loadBody)
	}
	l.control.UseInputs(shared)
}

func (s *sharedInputs) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run shares until ctx ends.
func (s *sharedInputs) run(ctx context.Context) {
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() { s.Run(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			updateSafely(s.instance.control, s.useTargets)
			s.instance.control.ApplyLoads()
		case <-s.instance.tracker.Lookups():
			updateSafely(s.instance.control, s.useTargets)
		}
	}
}

// useTargets makes the targets have the addresses that other nodes give, and publishes those of this node.
func (s *sharedInputs) useTargets() {
	own := map[string]inputs.OwnTarget{}
	for name, r := range s.instance.tracker.Results() {
		own[string(name)] = ownTarget(r)
	}
	given, gives := s.Targets(own, time.Now())
	use := make(map[config.Target]discovery.Given, len(given))
	for name, t := range given {
		use[config.Target(name)] = discovery.Given{Addresses: t.Addresses, From: t.From}
	}
	s.instance.tracker.Use(use)
	s.mu.Lock()
	same := maps.EqualFunc(gives, s.gives, func(a, b inputs.Target) bool {
		return a.Failing == b.Failing && slices.Equal(a.Addresses, b.Addresses)
	})
	s.gives = gives
	s.mu.Unlock()
	if !same {
		s.Dirty(inputs.TargetKind)
	}
}

// ownTarget converts the result of lookups. Addresses for the place of a resolver that ignores the client subnet count as those of
// a failed lookup, so that a node with a better resolver decides.
func ownTarget(r discovery.Result) inputs.OwnTarget {
	return inputs.OwnTarget{Target: inputs.Target{Addresses: r.Addresses, Failing: r.Failing || r.SubnetIgnored}, Found: r.Found && len(r.Addresses) > 0}
}

// targetBody returns the targets that this node gives.
func (s *sharedInputs) targetBody(time.Time) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.gives) == 0 {
		return nil
	}
	return s.gives
}

// offerLoads implements control.SharedInputs.Offer.
func (s *sharedInputs) offerLoads(o control.LoadOffer) {
	s.mu.Lock()
	same := s.offer.Gives == o.Gives && s.offer.Fingerprint == o.Fingerprint && slices.Equal(s.offer.Reports, o.Reports)
	s.offer = o
	s.mu.Unlock()
	if !same {
		s.Dirty(inputs.LoadKind)
	}
}

// loadBody returns the loads that this node gives.
func (s *sharedInputs) loadBody(now time.Time) any {
	s.mu.Lock()
	o := s.offer
	s.mu.Unlock()
	if len(o.Reports) == 0 && !o.Gives {
		return nil
	}
	body := &inputs.Loads{Reports: make([]inputs.Report, len(o.Reports))}
	for i, r := range o.Reports {
		body.Reports[i] = inputs.Report{Key: r.Key, Load: r.Load.Load, Capacity: r.Capacity, Age: max(0, now.Sub(r.At)), From: r.From}
	}
	if o.Gives {
		text, err := json.Marshal(control.Ages(o.Memory, now))
		if err != nil {
			panic(err) // it is one of our types
		}
		body.Fingerprint, body.Controllers = o.Fingerprint, text
	}
	return body
}
