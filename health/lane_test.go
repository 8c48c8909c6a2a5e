package health

import (
	"testing"
	"testing/synctest"
	"time"
)

// checksOfOneAddress are n different checks of one address.
func checksOfOneAddress(n int) []Target {
	var targets []Target
	for i := range n {
		c := tcpCheck()
		c.Port = 80 + i
		targets = append(targets, Target{c, addrs(1)[0]})
	}
	return targets
}

func TestProbesOfOneAddressAreFewAtOnceAndHoldUpNobodyElse(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		all := addrs(2)
		w.become(all[0], hangs)
		crowd := checksOfOneAddress(10)
		watching, _ := watch(t, p, append(crowd, Target{tcpCheck(), all[1]}))
		synctest.Wait()
		began := 0
		for i := range crowd {
			began += len(w.dialledPort(all[0], uint16(80+i)))
		}
		if want := 6; began != want { // 10 checks that take 2 s of 5 s each, and half as many more
			t.Errorf("%d probes of one address at once, want %d", began, want)
		}
		if s, _ := watching.Status(len(crowd)); s.Verdict != Up {
			t.Errorf("the other address is %v, want up at once", s.Verdict)
		}
		watching.FirstRound(t.Context())
		time.Sleep(time.Minute)
		for i := range crowd {
			if n := len(w.dialledPort(all[0], uint16(80+i))); n < 9 {
				t.Errorf("check %d was probed %d times in a minute, want it to have its turn", i, n)
			}
		}
	})
}

func TestATargetThatWaitsForItsAddressCanBeForgotten(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		w.become(addrs(1)[0], hangs)
		stays, _ := watch(t, p, checksOfOneAddress(8))
		synctest.Wait()
		leaves, _ := watch(t, p, checksOfOneAddress(24)[8:])
		synctest.Wait()
		leaves.Close()
		stays.FirstRound(t.Context())
		stays.Close()
		time.Sleep(time.Minute)
		p.call(func(o *owner) {
			if len(o.entries)+len(o.lanes)+len(o.waiting.heap)+o.running > 0 {
				t.Errorf("%d entries, %d lanes, %d waiting, %d running are left", len(o.entries), len(o.lanes), len(o.waiting.heap), o.running)
			}
		})
		began := 0
		for port := uint16(80 + 8); port < 80+24; port++ {
			began += len(w.dialledPort(addrs(1)[0], port))
		}
		if want := 15 - 5; began != want { // of 24 checks that take 2 s of 5 s each, and half as many more; of 8 of them
			t.Errorf("of those that were closed %d were probed, want the %d that did not wait", began, want)
		}
	})
}

// TestManyChecksOfAnAddressThatHangsGoDownInTime kills a host with many checks: all
// of them are down within what the manual promises for one, and none is uncertain.
func TestManyChecksOfAnAddressThatHangsGoDownInTime(t *testing.T) {
	for _, checks := range []int{5, 30, 60, 200} {
		probing(t, func(t *testing.T, w *world, p *Prober) {
			addr, targets := addrs(1)[0], checksOfOneAddress(checks)
			watching, l := watch(t, p, targets)
			watching.FirstRound(t.Context())
			time.Sleep(time.Minute)
			l.heard()
			w.become(addr, hangs)
			died := time.Now()
			time.Sleep(2 * time.Minute)
			turns := l.heard()
			c := targets[0].Check
			budget := time.Duration(float64(c.Fall)*(1+jitter)*float64(c.Interval)) + c.Timeout
			for _, turn := range turns {
				if turn.To != Down || turn.At.Sub(died) > budget {
					t.Errorf("%d checks: %v after %v, want down within %v", checks, turn.To, turn.At.Sub(died), budget)
				}
			}
			if len(turns) != checks {
				t.Errorf("%d turns of %d checks", len(turns), checks)
			}
		})
	}
}
