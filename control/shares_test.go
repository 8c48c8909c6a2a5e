package control

import (
	"testing"
	"time"

	"meridian/pools"
	"meridian/server/answer"
)

func TestSharesCoverFiveMinutes(t *testing.T) {
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := newShares(start)
	if got := s.oldest(); !got.at.Equal(start) || got.answers != nil {
		t.Errorf("at the start: %+v", got)
	}
	web := pools.MemberNames{Pool: "web", Member: "a"}
	for second := range 3600 {
		now := start.Add(time.Duration(second) * time.Second)
		s.sample(now, func() answer.AnswerTotals {
			return answer.AnswerTotals{Members: map[pools.MemberNames]uint64{web: uint64(second)}}
		})
		covered := now.Sub(s.oldest().at)
		if second > 400 && (covered < 5*time.Minute || covered > 6*time.Minute) {
			t.Fatalf("after %d s: %v", second, covered)
		}
	}
	if n := len(s.counts); n != maxShares {
		t.Errorf("%d counts", n)
	}
}
