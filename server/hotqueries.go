package server

import (
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/snapshot"
)

// The queries with signatures that are made before clients ask them again.
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
	at   map[uint64]int // by hotQuery.id: the index in ring
}

// hotQuery is a query with the draw that it was answered by.
type hotQuery struct {
	id     uint64 // see identify
	packet []byte
	source netip.Addr
	draw   uint64
	until  time.Time
}

func newHotQueries() *hotQueries {
	return &hotQueries{seed: maphash.MakeSeed(), at: make(map[uint64]int)}
}

// identify returns the identity of the query that r has answered with out: queries for a name and type that have the
// same records are one, in any order and spelling. It returns false for a query that is not remembered, because most of
// its kind are not asked again, and there may be any number of them: its answer denies, or a name in it has signatures
// of its own by a wildcard.
func (h *hotQueries) identify(r *answer.Responder, out []byte) (id uint64, ok bool) {
	if len(out) < answer.HeaderSize || out[6]|out[7] == 0 {
		return 0, false
	}
	var m dns.Msg
	if m.Unpack(out) != nil || len(m.Question) != 1 {
		return 0, false
	}
	asked := m.Question[0]
	id = h.hash(&dns.ANY{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: asked.Qtype}})
	for _, rr := range m.Answer {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			id += h.hash(rr)
		}
	}
	expanded := func(rr dns.RR) bool { return expands(r, rr) }
	return id, !slices.ContainsFunc(m.Answer, expanded) && !slices.ContainsFunc(m.Ns, expanded)
}

// hash returns the hash of a record without its TTL, which may depend on the time, and without the spelling of the query.
func (h *hotQueries) hash(rr dns.RR) uint64 {
	head := rr.Header()
	head.Name, head.Ttl = strings.ToLower(head.Name), 0
	if alias, ok := rr.(*dns.CNAME); ok {
		alias.Target = strings.ToLower(alias.Target)
	}
	packed := make([]byte, dns.Len(rr))
	n, _ := dns.PackRR(rr, packed, 0, nil, false) // no error: it was unpacked
	return maphash.Bytes(h.seed, packed[:n])
}

// expands reports whether rr is a signature that its owner has from a wildcard, and shares with no other name.
func expands(r *answer.Responder, rr dns.RR) bool {
	sig, ok := rr.(*dns.RRSIG)
	if !ok {
		return false
	}
	owner, err := dnsname.ParseWire(sig.Hdr.Name)
	return err == nil && r.OwnSignatures(owner.Folded(), sig.TypeCovered)
}

// add remembers a query, and takes over its packet.
func (h *hotQueries) add(q hotQuery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, ok := h.at[q.id]; ok {
		h.ring[i].until = q.until
		return
	}
	h.at[q.id] = h.next
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
				s.answerHot(ctx, h, now, answer.Ahead{})
			}
			ahead := s.Snapshot().PresignAhead()
			if interval := min(presignInterval, ahead/2); ahead > 0 && now.Sub(presigned) >= interval {
				presigned = now
				s.answerHot(ctx, h, now, answer.Ahead{Signatures: ahead})
				next := untilNext(interval)
				s.answerHot(ctx, h, now, answer.Ahead{Signatures: next, Decisions: next})
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

// untilNext returns the time in which the next look after an interval is sure to end: what begins before then must be
// signed now.
func untilNext(interval time.Duration) time.Duration {
	return interval + interval/4 + 2*time.Second
}

// answerHot answers the hot queries as at a time ahead.
func (s *Server) answerHot(ctx context.Context, h *answer.Rehearsal, now time.Time, ahead answer.Ahead) {
	for _, q := range s.hot.current(now) {
		if ctx.Err() != nil {
			return
		}
		h.Answer(q.packet, q.source, q.draw, ahead)
	}
}
