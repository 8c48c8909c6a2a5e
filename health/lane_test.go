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
		if began != maxCrowd {
			t.Errorf("%d probes of one address at once, want %d", began, maxCrowd)
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
		stays, _ := watch(t, p, checksOfOneAddress(maxCrowd))
		synctest.Wait()
		leaves, _ := watch(t, p, checksOfOneAddress(3 * maxCrowd)[maxCrowd:])
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
		if n := len(w.dialledPort(addrs(1)[0], 80+maxCrowd)); n != 0 {
			t.Errorf("what was closed while it waited was probed %d times", n)
		}
	})
}
