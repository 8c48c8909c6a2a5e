package cluster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// setLost loses what all nodes send to the store and what it sends, without a word, or ends that. A node that watches with
// patience connects again by itself.
func (b *bus) setLost(lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.cut)
	for w := range b.watches {
		b.cut[w.name] = lost
	}
}

func (b *bus) isCut(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut[name]
}

// patientWatch returns a watch that notices the loss of the store as that of etcd does.
func (b *bus) patientWatch(name string, p Patience) func(context.Context, func(Update)) {
	ask := func(ctx context.Context) error {
		if b.isCut(name) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	once := func(ctx context.Context, receive func(Update)) {
		watching, stop := context.WithCancel(ctx)
		ended, heard := make(chan struct{}), make(chan struct{}, 1)
		go func() {
			defer close(ended)
			b.watch(watching, name, func(u Update) {
				select {
				case heard <- struct{}{}:
				default:
				}
				if watching.Err() == nil {
					receive(u)
				}
			})
		}()
		_ = p.Await(ctx, heard, ask)
		stop()
		<-ended
		receive(Update{})
	}
	return func(ctx context.Context, receive func(Update)) {
		for ctx.Err() == nil {
			if !b.isCut(name) {
				once(ctx, receive)
			}
			select {
			case <-ctx.Done():
			case <-time.After(publishInterval):
			}
		}
	}
}

// TestLossOfTheStoreMakesNoVantageStale loses the store at random times between heartbeats that come at random times. The
// nodes, which take 50 ms to each other, must find the loss before the last heartbeats are stale.
func TestLossOfTheStoreMakesNoVantageStale(t *testing.T) {
	for _, stale := range []int{2, 3, 5} {
		for seed := range uint64(4) {
			random := rand.New(rand.NewPCG(seed, uint64(stale)))
			t.Run(fmt.Sprintf("stale %d, seed %d", stale, seed), func(t *testing.T) {
				loseStore(t, stale, func() time.Duration { return time.Duration(random.Int64N(int64(heartbeat))) })
			})
		}
	}
}

func loseStore(t *testing.T, stale int, sometime func() time.Duration) {
	of := newMesh()
	of.delay = 50 * time.Millisecond
	inClusterWith(t, of, "", func(w *world) {
		w.stale, w.patient = stale, true
		w.bus.setDelay(20 * time.Millisecond)
		for _, name := range []string{"a1", "b1", "c1"} {
			w.trust[name] = keyOf(name).Public().(ed25519.PublicKey)
		}
		for name := range w.trust {
			time.Sleep(sometime())
			w.start(name)
		}
		w.findAll(target, "a1+ b1+ c1+")
		w.want(10*time.Second, target, "+++")
		time.Sleep(sometime())
		w.bus.setLost(true)
		w.want(time.Duration(2*stale)*heartbeat, target, "+++")
		for name := range w.members {
			w.wantMode(name, ViaNodes)
		}
		w.bus.setLost(false)
		w.want(10*time.Second, target, "+++")
		for name, m := range w.members {
			w.wantMode(name, ViaStore)
			if m.reported("is lost") || m.changeCount() != 1 {
				t.Errorf("%s: %d changes of state\n%s", name, m.changeCount(), strings.Join(m.allReports(), "\n"))
			}
		}
	})
}

// TestPatienceLeavesTimeToAskTheOthers checks the times against the time until the last heartbeat of another vantage is stale.
func TestPatienceLeavesTimeToAskTheOthers(t *testing.T) {
	for _, h := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 30 * time.Second} {
		for stale := 2; stale <= 100; stale++ {
			p, left := PatienceOf(h, stale), time.Duration(stale-1)*h
			if p.Answer < leastAnswer || p.Quiet <= 0 || p.End < p.Quiet || p.Quiet > 2*h || p.Answer > max(h, leastAnswer) {
				t.Errorf("heartbeat %v, stale %d: %+v", h, stale, p)
			}
			if p.Answer > leastAnswer && left-p.Quiet-p.Answer < left/5 {
				t.Errorf("heartbeat %v, stale %d: %+v leaves %v", h, stale, p, left-p.Quiet-p.Answer)
			}
		}
	}
}

// TestPatienceEnds covers the rows of its table.
func TestPatienceEnds(t *testing.T) {
	p := Patience{Quiet: 2 * time.Second, Answer: time.Second, End: 5 * time.Second}
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for what, c := range map[string]struct {
		ask   func(context.Context) error
		heard []time.Duration // when records come
		after time.Duration   // 0: it goes on
		says  string
	}{
		"the store is lost":                    {silent, nil, 3 * time.Second, "no record for 3s, and etcd does not answer: no answer in 1s"},
		"the store refuses":                    {func(context.Context) error { return errors.New("refused") }, nil, 2 * time.Second, "no record for 2s, and etcd does not answer: refused"},
		"the store answers, and sends no more": {func(context.Context) error { return nil }, nil, 5 * time.Second, "no record for 5s, although etcd answers"},
		"a record comes, and no more":          {silent, []time.Duration{time.Second}, 4 * time.Second, "no record for 3s"},
		"a record comes with the question":     {silent, []time.Duration{2500 * time.Millisecond}, 6 * time.Second, "no record for 3s"},
		"records come": {silent, []time.Duration{
			1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second, 8 * time.Second, 9 * time.Second,
		}, 0, "context canceled"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			heard, begun := make(chan struct{}, 1), time.Now()
			for _, at := range c.heard {
				time.AfterFunc(at, func() { heard <- struct{}{} })
			}
			time.AfterFunc(10*time.Second, stop)
			var asked atomic.Int32
			err := p.Await(ctx, heard, func(ctx context.Context) error { asked.Add(1); return c.ask(ctx) })
			want := c.after
			if want == 0 {
				want = 10 * time.Second
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || time.Since(begun) != want {
				t.Errorf("%s: after %v: %v; want after %v: %s", what, time.Since(begun), err, want, c.says)
			}
			if (asked.Load() == 0) != (c.after == 0) {
				t.Errorf("%s: the store is asked %d times", what, asked.Load())
			}
			stop()
			synctest.Wait()
		})
	}
}
