package server

import (
	"bytes"
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
	"weak"

	"meridian/pools"
	"meridian/server/answer"
	"meridian/snapshot"
)

// The queries whose signatures are made before clients ask them again.
const (
	maxHot      = 4096
	hotLifetime = 48 * time.Hour // after the last time that a signature was missing

	stateInterval   = 250 * time.Millisecond // between two looks for changes of states or the configuration
	presignInterval = time.Minute            // between two looks for signatures that are near the end of their slot
)

// hotQueries holds the latest queries whose signatures were missing: when states or the configuration change, and before
// their signatures are replaced, they are answered in the background, so that clients find new signatures in the cache.
// It is safe for concurrent use.
type hotQueries struct {
	mu   sync.Mutex // guards all below
	seed maphash.Seed
	ring []hotQuery
	next int
	at   map[uint64]int // by hash of the answer: the index in ring
}

// hotQuery is a query with the draw that it was answered by.
type hotQuery struct {
	id     uint64
	packet []byte
	source netip.Addr
	draw   uint64
	until  time.Time
}

func newHotQueries() *hotQueries {
	return &hotQueries{seed: maphash.MakeSeed(), at: make(map[uint64]int)}
}

// add remembers a query. Queries with the same answer are one; those whose answer denies are not remembered: most are
// not asked again, and there may be any number of them.
func (h *hotQueries) add(packet, out []byte, source netip.Addr, draw uint64, now time.Time) {
	if len(out) < answer.HeaderSize || out[6]|out[7] == 0 {
		return
	}
	id := maphash.Bytes(h.seed, out[answer.HeaderSize:])
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, ok := h.at[id]; ok {
		h.ring[i].until = now.Add(hotLifetime)
		return
	}
	q := hotQuery{id, bytes.Clone(packet), source, draw, now.Add(hotLifetime)}
	h.at[id] = h.next
	if h.next == len(h.ring) {
		h.ring = append(h.ring, q)
	} else {
		delete(h.at, h.ring[h.next].id)
		h.ring[h.next] = q
	}
	h.next = (h.next + 1) % maxHot
}

// current returns the queries that are remembered at now.
func (h *hotQueries) current(now time.Time) []hotQuery {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]hotQuery, 0, len(h.ring))
	for _, q := range h.ring {
		if now.Before(q.until) {
			all = append(all, q)
		}
	}
	return all
}

// rehearse keeps the signatures of hot queries in the cache until ctx ends.
func (s *Server) rehearse(ctx context.Context) {
	h := s.Rehearsal()
	defer h.End()
	tick := time.NewTicker(stateInterval)
	defer tick.Stop()
	presigned, seen := time.Now(), s.answersFrom()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if at := s.answersFrom(); at != seen {
				seen = at
				s.answerHot(ctx, h, now, 0)
			}
			ahead := s.Snapshot().PresignAhead()
			if ahead > 0 && now.Sub(presigned) >= min(presignInterval, ahead/2) {
				presigned = now
				s.answerHot(ctx, h, now, ahead)
			}
		}
	}
}

// inputs identifies what answers are made from: the snapshot and the state of its pools. It keeps neither in memory.
type inputs struct {
	snapshot weak.Pointer[snapshot.Snapshot]
	pools    pools.Version
}

func (s *Server) answersFrom() inputs {
	at := s.Snapshot()
	return inputs{weak.Make(at), at.Pools.Version()}
}

// answerHot answers the hot queries with the signatures of a time ahead.
func (s *Server) answerHot(ctx context.Context, h *answer.Rehearsal, now time.Time, ahead time.Duration) {
	for _, q := range s.hot.current(now) {
		if ctx.Err() != nil {
			return
		}
		h.Answer(q.packet, q.source, q.draw, ahead)
	}
}
