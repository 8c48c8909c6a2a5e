package resolvers

import (
	"math"
	"time"
)

// The buckets of gaps: the first ends at firstGap, each further one is gapGrowth times as long, the last ends after an hour.
const (
	firstGap   = 100 * time.Millisecond
	gapGrowth  = 1.25
	gapBuckets = 48
)

// gaps counts the times between equal queries.
type gaps struct {
	count   int
	buckets [gapBuckets]uint32
}

func (g *gaps) add(gap time.Duration) {
	i := 0
	if gap > firstGap {
		i = min(gapBuckets-1, int(math.Ceil(math.Log(float64(gap)/float64(firstGap))/math.Log(gapGrowth)-1e-9)))
	}
	g.buckets[i]++
	g.count++
}

// quantile returns an upper bound, at most a quarter too long, of a part of the gaps; 0: there are none.
func (g *gaps) quantile(part float64) time.Duration {
	if g.count == 0 {
		return 0
	}
	left := int(math.Ceil(part * float64(g.count)))
	for i, n := range g.buckets {
		if left -= int(n); left <= 0 {
			return time.Duration(float64(firstGap) * math.Pow(gapGrowth, float64(i))).Round(10 * time.Millisecond)
		}
	}
	return 0 // not reached: the buckets have count gaps
}

// Caching is how a resolver keeps answers.
type Caching string

// The kinds of caching.
const (
	UnknownCaching Caching = ""         // too few queries to say
	KeepsTTL       Caching = "ttl"      // it asks again after about the TTL, or later
	ManyCaches     Caching = "shared"   // it asks again much earlier: several caches share the address, or it does not cache
	KeepsLonger    Caching = "extended" // it never asks again before twice the TTL
)

// enoughGaps is the number of gaps from which on they say how a resolver keeps answers.
const enoughGaps = 20

// caching infers how a resolver keeps answers.
//
//	gaps       a tenth is shorter than  the median is         caching
//	---------  -----------------------  --------------------  --------
//	fewer      any                      any                   unknown
//	enough     any                      less than half a TTL  shared
//	enough     two TTLs or more         more                  extended
//	enough     less                     more                  ttl
func (r *resolver) caching() Caching {
	switch {
	case r.gaps.count < enoughGaps || r.ttl == 0:
		return UnknownCaching
	case r.gaps.quantile(0.5) < r.ttl/2:
		return ManyCaches
	case r.gaps.quantile(0.1) >= 2*r.ttl:
		return KeepsLonger
	}
	return KeepsTTL
}

// keeps returns how long a resolver may keep an answer.
func (r *resolver) keeps(ttl time.Duration) time.Duration {
	if r.caching() == KeepsLonger {
		return max(ttl, r.gaps.quantile(0.1))
	}
	return ttl
}
