package secondary

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	maxAtOnce    = 64               // questions to primaries at the same time, over all of them
	maxOfPrimary = 8                // of these, to one primary: named sends at most 10 zones at once, and refuses others
	awayTime     = 30 * time.Second // for which a primary that did not answer is asked after the others
)

// errAway is the error of a primary that is asked after the others.
var errAway = errors.New("it did not answer a short time ago")

// silent reports whether an error says that a primary did not answer in time. One that refuses costs no time.
func silent(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, errSilent) || errors.Is(err, errConnect) && ok && timeout.Timeout()
}

// limits bound the questions that are asked at the same time, so that a primary with many zones is not flooded, and one that does not
// answer delays only its own zones.
type limits struct {
	all chan struct{} // a place for each question

	mu        sync.Mutex // guards the field below
	primaries map[netip.AddrPort]*places
}

// places are those of one primary.
type places struct {
	taken chan struct{}

	mu     sync.Mutex // guards the field below
	failed time.Time  // when it last did not answer; zero: it has answered since
}

func newLimits() *limits {
	return &limits{all: make(chan struct{}, maxAtOnce), primaries: map[netip.AddrPort]*places{}}
}

// keep forgets the primaries that no zone has any more.
func (l *limits) keep(wanted []Zone) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := map[netip.AddrPort]*places{}
	for i := range wanted {
		for j := range wanted[i].Primaries {
			address := wanted[i].Primaries[j].Address
			if known := l.primaries[address]; known != nil {
				next[address] = known
			}
		}
	}
	l.primaries = next
}

func (l *limits) of(primary netip.AddrPort) *places {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.primaries[primary]
	if p == nil {
		p = &places{taken: make(chan struct{}, maxOfPrimary)}
		l.primaries[primary] = p
	}
	return p
}

// take waits for a place at a primary. free gives it back.
func (l *limits) take(ctx context.Context, p *places) (free func(), err error) {
	for _, taken := range [...]chan struct{}{p.taken, l.all} {
		select {
		case taken <- struct{}{}:
		case <-ctx.Done():
			if taken == l.all {
				<-p.taken
			}
			return nil, ctx.Err()
		}
	}
	return func() { <-l.all; <-p.taken }, nil
}

// away reports whether the primary did not answer a short time ago.
func (p *places) away(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.failed.IsZero() && now.Sub(p.failed) < awayTime
}

// note notes whether the primary has answered.
func (p *places) note(answered bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = time.Time{}
	if !answered {
		p.failed = now
	}
}
