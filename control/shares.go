package control

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"meridian/pools"
	"meridian/server/answer"
)

// Answers counts the answers with an address or alias of each member in the last minutes, as JSON. Members without one
// are left out.
type Answers struct {
	Since   time.Time       `json:"since"`
	At      time.Time       `json:"at"`
	Members []MemberAnswers `json:"members"`
}

// MemberAnswers is the number of answers with an address or alias of a member.
type MemberAnswers struct {
	Pool    string `json:"pool"`
	Member  string `json:"member"`
	Region  string `json:"region,omitempty"`
	Answers uint64 `json:"answers"`
}

const (
	shareInterval = time.Minute
	maxShares     = 6 // so that the oldest counts are five to six minutes old
)

// shares holds the counts of answers of the last minutes. It is safe for concurrent use.
type shares struct {
	mu     sync.Mutex
	counts []memberCounts // the oldest first; never empty
}

// memberCounts holds the answers of each member from the start until a time.
type memberCounts struct {
	at      time.Time
	answers map[pools.MemberNames]uint64
}

// newShares returns the counts of the start of the server, which are 0.
func newShares(start time.Time) *shares {
	return &shares{counts: []memberCounts{{at: start}}}
}

// sample keeps the counts of now if the last ones are old enough.
func (s *shares) sample(now time.Time, read func() answer.AnswerTotals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.counts)
	if now.Sub(s.counts[n-1].at) < shareInterval {
		return
	}
	if n == maxShares {
		s.counts = append(s.counts[:0], s.counts[1:]...)
	}
	s.counts = append(s.counts, memberCounts{now, read().Members})
}

// oldest returns the oldest counts.
func (s *shares) oldest() memberCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[0]
}

// Answers returns how many answers each member got in the last minutes.
func (c *Control) Answers() Answers {
	from := c.shares.oldest()
	a := Answers{Since: from.at, At: time.Now(), Members: []MemberAnswers{}}
	for names, n := range c.server.AnswerTotals().Members {
		before := from.answers[names]
		if n < before { // the member was removed, and is back
			before = 0
		}
		if n > before && names.Member != "" {
			a.Members = append(a.Members, MemberAnswers{names.Pool, names.Member, names.Region, n - before})
		}
	}
	slices.SortFunc(a.Members, func(x, y MemberAnswers) int {
		return cmp.Or(cmp.Compare(x.Pool, y.Pool), cmp.Compare(x.Member, y.Member), cmp.Compare(x.Region, y.Region))
	})
	return a
}
