package answer

import (
	"log/slog"
	"time"

	"meridian/snapshot"
)

// newEngine returns an engine that answers from a snapshot; nil draws at random.
func newEngine(snapshot *snapshot.Snapshot, draw func() uint64) *Engine {
	e := NewEngine(slog.New(slog.DiscardHandler), draw, 4)
	e.Begin(snapshot)
	return e
}

// paths holds two responders of one engine with equal draws, one for each path.
type paths struct {
	wire, full *Responder
	draw       uint64
	time       time.Time // of all answers
	last       []byte    // the last answer of wire
}

func newPaths(snapshot *snapshot.Snapshot) *paths {
	p := &paths{time: time.Now()}
	s := newEngine(snapshot, func() uint64 { return p.draw })
	s.clock = func() time.Time { return p.time }
	p.wire, p.full = s.Responder(), s.Responder()
	p.full.slowOnly = true
	return p
}
