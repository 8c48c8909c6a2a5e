package daemon

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/dnsname"
)

// A zone with a disk that hangs delays a reload, and the reload delays no other zone.
func TestSlowZoneDelaysNoOtherZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g updateGate
		g.enter("slow.example.")
		locked := false
		go func() { g.lock(); locked = true }()
		synctest.Wait()
		for range 3 {
			begun := time.Now()
			g.enter("quick.example.")
			g.leave("quick.example.")
			if waited := time.Since(begun); waited > 0 {
				t.Errorf("an update of another zone waited %v", waited)
			}
			time.Sleep(time.Hour)
		}
		if locked {
			t.Fatal("the reload did not wait for the update")
		}
		g.leave("slow.example.")
		synctest.Wait()
		if !locked {
			t.Fatal("the reload still waits")
		}
		entered := false
		go func() { g.enter("quick.example."); entered = true }()
		synctest.Wait()
		if entered {
			t.Error("an update was made during the reload")
		}
		g.unlock()
		synctest.Wait()
		if !entered {
			t.Error("the update still waits after the reload")
		}
		g.leave("quick.example.")
	})
}

// A zone that begins to hang while the gate is closed lets others pass again after the patience of the reload.
func TestReloadOpensTheGateAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g updateGate
		g.enter("first.example.")
		done := make(chan struct{})
		go func() { g.lock(); close(done) }()
		synctest.Wait()
		g.enter("hangs.example.") // not among those that the reload waits for
		g.leave("first.example.") // the gate closes
		synctest.Wait()
		begun := time.Now()
		g.enter("other.example.")
		if waited := time.Since(begun); waited != firstPatience {
			t.Errorf("waited %v, want %v", waited, firstPatience)
		}
		g.leave("other.example.")
		time.Sleep(time.Hour)
		select {
		case <-done:
			t.Error("the reload did not wait")
		default:
		}
		g.leave("hangs.example.")
		<-done
		g.unlock()
	})
}

// Zones that change all the time do not keep a reload waiting.
func TestBusyZonesDoNotStarveAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g updateGate
		var stop atomic.Bool
		var zones sync.WaitGroup
		for i := range 20 {
			zone := dnsname.Name(fmt.Sprintf("z%d.example.", i))
			zones.Go(func() {
				for !stop.Load() {
					g.enter(zone)
					time.Sleep(time.Duration(i+1) * 50 * time.Millisecond) // the disk
					g.leave(zone)
				}
			})
		}
		time.Sleep(time.Second)
		for range 10 {
			begun := time.Now()
			g.lock()
			g.unlock()
			if waited := time.Since(begun); waited > 10*time.Second {
				t.Errorf("a reload waited %v", waited)
			}
		}
		stop.Store(true)
		zones.Wait()
	})
}

// No zone has two changes at once, and none has one during a change of all.
func TestGateExcludes(t *testing.T) {
	var g updateGate
	var all atomic.Int32
	var inside [3]atomic.Int32
	var running sync.WaitGroup
	for n := range 6 {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			for range 300 {
				zone := r.IntN(len(inside))
				name := dnsname.Name(fmt.Sprint(zone))
				g.enter(name)
				if inside[zone].Add(1) != 1 || all.Load() != 0 {
					t.Error("two changes at once")
				}
				inside[zone].Add(-1)
				g.leave(name)
			}
		})
	}
	for range 2 {
		running.Go(func() {
			for range 50 {
				g.lock()
				if all.Add(1) != 1 || inside[0].Load()+inside[1].Load()+inside[2].Load() != 0 {
					t.Error("a change of all zones is not alone")
				}
				all.Add(-1)
				g.unlock()
			}
		})
	}
	running.Wait()
}
