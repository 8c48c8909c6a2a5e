package inputs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"time"
)

// errUnwritten is the problem of a node with a failed last write.
var errUnwritten = errors.New("what this node gives cannot be written; see the log")

// Run publishes the inputs of this node until ctx ends.
func (x *Exchange) Run(ctx context.Context) {
	tick := time.NewTicker(peersInterval)
	defer tick.Stop()
	for {
		next := x.publish(ctx, time.Now())
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-x.wake:
		case <-timer.C:
		case <-tick.C:
			x.lookAtPeers()
		}
		timer.Stop()
	}
}

// lookAtPeers reports a change if other nodes are fresh than before.
func (x *Exchange) lookAtPeers() {
	now := x.Peers()
	x.mu.Lock()
	before := x.peers
	x.peers = now
	x.mu.Unlock()
	if before.Connected != now.Connected || before.Gives != now.Gives || before.Boot != now.Boot || !maps.Equal(before.Fresh, now.Fresh) {
		x.Changed()
	}
}

// publish publishes the records that are due at now, and returns when to look again.
func (x *Exchange) publish(ctx context.Context, now time.Time) (next time.Duration) {
	peers := x.Peers()
	due, next := x.due(peers, now)
	if len(due) == 0 {
		return next
	}
	bodies := map[Kind]json.RawMessage{}
	for _, kind := range due {
		bodies[kind] = x.body(kind, now)
	}
	entries := x.seal(bodies, peers.Boot)
	if len(entries) == 0 {
		return next
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := x.Put(ctx, entries)
	x.record(ctx, err, bodies, entries, time.Now())
	return publishInterval
}

// due returns the kinds to publish at now, and when to look again.
func (x *Exchange) due(peers Peers, now time.Time) (due []Kind, next time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	pause := max(publishInterval, time.Duration(x.size)*time.Second/octetsPerSecond)
	switch {
	case !peers.Gives:
		return nil, peersInterval
	case !x.failedAt.IsZero() && now.Sub(x.failedAt) < retryInterval:
		return nil, retryInterval - now.Sub(x.failedAt)
	case now.Sub(x.publishedAt) < pause:
		return nil, pause - now.Sub(x.publishedAt)
	}
	renew := now.Sub(x.publishedAt) >= renewInterval || peers.Boot != x.boot
	for _, kind := range kinds {
		if x.offers[kind] != nil && (x.dirty[kind] || renew) {
			due = append(due, kind)
			x.dirty[kind] = false
		}
	}
	return due, peersInterval
}

// body returns the inputs of a kind that this node gives; nil: none. Inputs that are too long are not given, and reported once.
func (x *Exchange) body(kind Kind, now time.Time) json.RawMessage {
	of := x.offers[kind](now)
	if of == nil {
		return nil
	}
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // it is one of our types
	}
	const overhead = 1 << 10 // of the record around the body
	long := len(text) > maxRecord-overhead
	x.mu.Lock()
	was := x.oversized[kind]
	x.oversized[kind] = long
	x.mu.Unlock()
	if long && !was {
		x.Report(slog.LevelError, "shared inputs are too long and not given to other nodes", "kind", string(kind), "octets", len(text), "limit", maxRecord-overhead)
	}
	if long {
		return nil
	}
	return text
}

// seal returns the records of bodies. A kind without a body has one only to take back an earlier record.
func (x *Exchange) seal(bodies map[Kind]json.RawMessage, boot uint64) (entries []Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if boot != x.boot {
		x.boot, x.seq = boot, 0
	}
	for _, kind := range kinds {
		body, due := bodies[kind]
		if !due || body == nil && !x.published[kind] {
			continue
		}
		if body == nil {
			body = json.RawMessage("null")
		}
		x.seq++
		r := record{Node: x.Node, Boot: boot, Seq: x.seq, Body: body}
		entries = append(entries, Entry{Key: string(kind) + "/" + x.Node, Value: r.seal(x.Cluster, kind, x.Key)})
	}
	if len(entries) == 0 {
		x.publishedAt = time.Now() // nothing to renew
	}
	return entries
}

// record records the outcome of a publication, and reports the first error and the first success after it.
func (x *Exchange) record(ctx context.Context, err error, bodies map[Kind]json.RawMessage, entries []Entry, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.publishedAt, x.size = now, 0
	for _, e := range entries {
		x.size += len(e.Value)
	}
	if err == nil {
		x.writes++
		for kind, body := range bodies {
			x.published[kind] = body != nil
		}
		if x.failing {
			x.Report(slog.LevelInfo, "shared inputs are written to etcd again")
		}
		x.failing, x.failedAt = false, time.Time{}
		return
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return // the process ends
	}
	x.failedAt = now
	for kind := range bodies {
		x.dirty[kind] = true
		x.published[kind] = true // it may have been written
	}
	if !x.failing {
		x.Report(slog.LevelWarn, "shared inputs cannot be written to etcd", "error", err)
	}
	x.failing = true
}
