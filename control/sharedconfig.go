package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"meridian/cluster/rollout"
	"meridian/config"
	"meridian/control/generations"
)

// UseRollout sets how this node follows the configuration of its cluster.
func (c *Control) UseRollout(n *rollout.Node) { c.rollout.Store(n) }

// SharedConfig returns the configuration that this node shares with its cluster; nil: it reads its own files.
func (c *Control) SharedConfig() *rollout.Node {
	if n := c.rollout.Load(); n != nil && n.Shared {
		return n
	}
	return nil
}

// SharedRequest is a shared configuration for the nodes of a cluster.
type SharedRequest struct {
	Text          string // empty: that of the generation From
	From          uint64 // of a rollback
	Canary        []string
	Parts         uint32        // of pools.WholeShare of the clients that get it first; 0: all
	For           time.Duration // of the canary
	ReloadRequest               // the limits of its change, and its origin
}

// awaitAcks is how long PushShared waits for the acknowledgements of the nodes.
const awaitAcks = 10 * time.Second

// PushShared checks a configuration on this node, as a reload does, and gives it to the nodes of the cluster.
func (c *Control) PushShared(ctx context.Context, r SharedRequest) (*Loaded, error) {
	shared := c.SharedConfig()
	if r.Text == "" {
		_, text, err := shared.Text(ctx, r.From)
		if err != nil {
			return nil, sharedError(changing, err)
		}
		r.Text = text
	}
	documents, err := c.Candidate("", []byte(r.Text))
	if err != nil {
		return nil, err
	}
	check := ReloadRequest{
		CheckOnly: true, Documents: documents, AllowRemoval: r.AllowRemoval, OverrideGuardrail: r.OverrideGuardrail, MaxMoved: r.MaxMoved,
	}
	if r.Parts > 0 {
		check.Canary = new(CanaryRequest)
	}
	loaded, err := c.Reload(ctx, check)
	if err != nil {
		return nil, err
	}
	m, err := shared.Push(ctx, rollout.Request{
		Text: r.Text, Canary: r.Canary, Parts: r.Parts, For: r.For, IfMatch: r.IfMatch,
		Manifest: rollout.Manifest{
			Source: r.Origin.Source, Owner: r.Origin.Who, Reason: r.Origin.Reason, AllowRemoval: r.AllowRemoval, OverrideGuardrail: r.OverrideGuardrail,
		},
	})
	if err != nil {
		return nil, sharedError(changing, err)
	}
	waiting, stop := context.WithTimeout(ctx, awaitAcks)
	defer stop()
	loaded.Generation, loaded.Shared, loaded.Nodes = m.Number, true, shared.Await(waiting, m.Number)
	return loaded, nil
}

// RollBackShared ends a canary, or else gives an earlier generation to the nodes of the cluster again:
//
//	generation     a canary serves    else
//	none           the canary ends    the previous generation
//	the present    the canary ends    it is given again
//	another        if it can be served, it is given again, and the canary ends with that
func (c *Control) RollBackShared(ctx context.Context, r SharedRequest) (*Loaded, error) {
	shared := c.SharedConfig()
	target := shared.Status().Target
	if r.From == 0 || r.From == target.Generation {
		canceled, err := shared.CancelCanary(ctx, r.Origin.Who, r.Origin.Reason)
		if err != nil {
			return nil, sharedError(changing, err)
		}
		if canceled {
			return &Loaded{Config: "the canary was ended", Generation: target.Generation, Shared: true}, nil
		}
	}
	if r.From == 0 {
		r.From = target.Previous
	}
	if r.From == 0 {
		return nil, &RequestError{What: "the cluster has no earlier configuration", Hint: "meridian config history lists them"}
	}
	return c.PushShared(ctx, r)
}

// What a request does with the shared configuration, for its error.
const (
	reading  = "read"
	changing = "changed"
)

// sharedError returns the error of a request for an error of the shared configuration.
func sharedError(doing string, err error) error {
	var unknown *rollout.UnknownError
	var conflict *rollout.ConflictError
	var canary *rollout.CanaryError
	switch {
	case errors.As(err, &canary):
		return &RequestError{What: "the shared configuration cannot be " + doing + ": " + err.Error(), Hint: canary.Hint()}
	case errors.As(err, &unknown) && unknown.Number == 0:
		return &RequestError{NotFound: true, What: err.Error(), Hint: "meridian config push FILE gives it the first"}
	case errors.As(err, &unknown):
		return &RequestError{NotFound: true, What: err.Error(), Hint: "meridian config history lists them"}
	case errors.As(err, &conflict):
		return &RequestError{Stale: true, What: err.Error(), Hint: "meridian config history shows the changes, meridian config diff what they are"}
	}
	if errors.As(err, new(*rollout.UncertainError)) {
		return &RequestError{
			Unavailable: true, What: "it is not known whether the shared configuration was changed: " + err.Error(),
			Hint: "meridian config history lists the generation if etcd has it, as soon as etcd answers again; if not, make the change again",
		}
	}
	return &RequestError{What: "the shared configuration cannot be " + doing + "; what serves goes on: " + err.Error(), Hint: "meridian cluster status shows the state of the cluster"}
}

// sharedCandidate returns the documents of this node with another shared configuration.
func (c *Control) sharedCandidate(cfg *config.Config, text []byte) ([]config.Document, error) {
	shared := config.Document{File: cfg.SharedFile(), Text: text}
	if err := config.CheckShared(shared); err != nil {
		return nil, err
	}
	own := slices.DeleteFunc(cfg.Files(), func(file string) bool { return file == shared.File })
	documents, err := config.ReadDocuments(own...)
	return append(documents, shared), err
}

// SharedGeneration returns the text of a generation of the cluster; 0: of the one that its nodes serve.
func (c *Control) SharedGeneration(ctx context.Context, number uint64) (hash, text string, err error) {
	m, text, err := c.SharedConfig().Text(ctx, number)
	if err != nil {
		return "", "", sharedError(reading, err)
	}
	return m.Hash, text, nil
}

// ClusterGeneration is a generation of the cluster.
type ClusterGeneration struct {
	generations.Generation
	Serving bool              `json:"serving"`
	Canary  []string          `json:"canary,omitempty"`     // the nodes that serve it before the others
	Percent float64           `json:"percent,omitempty"`    // of the clients, that get it before the others
	Run     *CanaryRun        `json:"canary_run,omitempty"` // how it serves, or has served, as a canary
	Nodes   []rollout.NodeAck `json:"nodes,omitempty"`      // the answers of nodes to it
}

// ClusterGenerations returns the generations of the cluster, the latest first.
func (c *Control) ClusterGenerations(ctx context.Context) ([]ClusterGeneration, error) {
	shared := c.SharedConfig()
	list, err := shared.List(ctx)
	if err != nil {
		return nil, sharedError(reading, err)
	}
	status := shared.Status()
	all := make([]ClusterGeneration, 0, len(list))
	for i := range list {
		m := &list[i]
		g := ClusterGeneration{
			Generation: generations.Generation{Number: m.Number, Time: m.Time, Hash: m.Hash, Source: m.Source, Who: m.Owner, Reason: m.Reason, Files: []string{}},
			Serving:    m.Number == status.Target.Generation,
		}
		if on := status.Target.Canary; on != nil && on.Generation == m.Number {
			g.Canary, g.Percent = on.Nodes, float64(on.Parts)/100
		}
		g.Run = canaryRun(shared, &status.Target, m.Number)
		for _, a := range status.Acks {
			if a.Generation == m.Number {
				g.Nodes = append(g.Nodes, a)
			}
			if a.Split.Generation == m.Number {
				g.Nodes = append(g.Nodes, rollout.NodeAck{Node: a.Node, Ack: rollout.Ack{Generation: m.Number, Hash: a.Split.Hash, State: a.Split.State, Why: a.Split.Why, Time: a.Time}})
			}
		}
		all = append(all, g)
	}
	return all, nil
}

// servedGenerations returns the generations of the shared configuration that nodes serve, by node, and those that they serve
// to a share of the clients.
func (c *Control) servedGenerations() (served, canaries map[string]uint64) {
	served, canaries = map[string]uint64{}, map[string]uint64{}
	if n := c.rollout.Load(); n != nil {
		for _, a := range n.Status().Acks {
			if a.State == rollout.Serving {
				served[a.Node] = a.Generation
			}
			if a.Split.State == rollout.Serving {
				canaries[a.Node] = a.Split.Generation
			}
		}
	}
	return served, canaries
}

// ConfigSkew returns the number of nodes that serve another configuration; ok is false outside a cluster.
func (c *Control) ConfigSkew() (nodes int, ok bool) {
	n := c.rollout.Load()
	if n == nil {
		return 0, false
	}
	return len(n.Status().Skew), true
}

// SharedDocument returns the shared configuration that a node with cfg has on its disk; ok is false without one.
func SharedDocument(cfg *config.Config) (d config.Document, ok bool, err error) {
	d.File = cfg.SharedFile()
	if d.File == "" {
		return d, false, nil
	}
	d.Text, err = os.ReadFile(d.File)
	if errors.Is(err, os.ErrNotExist) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("the shared configuration cannot be read: %w", err)
	}
	return d, true, nil
}
