package health

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// lacksNetwork simulates a network interface of this machine that is down.
func lacksNetwork(context.Context) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETDOWN)}
}

const noNetwork = "this machine cannot probe: connect: network is down"

func TestFirstRoundDoesNotWaitForInconclusiveProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		defer end()
		all := addrs(2)
		w.become(all[1], lacksNetwork)
		either := &config.Check{Name: "either", Type: config.All, Parts: []config.CheckPart{{Check: tcpCheck()}}}
		watching, _ := watch(t, p, append(targetsOf(tcpCheck(), all), Target{either, all[1]}))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		watching.FirstRound(ctx)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the first round took %v, want none", waited)
		}
		if s, _ := watching.Status(1); s.Verdict != Unknown || s.Inconclusive.IsZero() || s.Last[0].Reason != noNetwork {
			t.Errorf("status %+v, want unknown and inconclusive, for want of a route", s)
		}
	})
}

func TestStatusShowsInconclusiveProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _, end := logged(t, nil)
		defer end()
		watching, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		began := time.Now()
		expect := func(when string, inconclusive bool) {
			t.Helper()
			s, _ := watching.Status(0)
			if since := s.Inconclusive; since.IsZero() == inconclusive || inconclusive && since.Sub(began) > 6*time.Second {
				t.Errorf("%s: inconclusive since %v, want %v", when, since, inconclusive)
			}
		}
		expect("before", false)
		w.become(addrs(1)[0], lacksNetwork)
		time.Sleep(time.Hour)
		expect("an hour later", true)
		w.become(addrs(1)[0], accepts)
		time.Sleep(6 * time.Second)
		expect("after", false)
		for _, transition := range l.take() {
			if transition.To == Down || transition.Effective == Down {
				t.Errorf("changed to %v: %s", transition.To, transition.Reason)
			}
		}
	})
}

// TestInconclusiveProbesAreLoggedAtBeginAndEnd has many addresses lose and regain their route.
func TestInconclusiveProbesAreLoggedAtBeginAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		all := addrs(50)
		become := func(b behaviour) {
			for _, a := range all {
				w.become(a, b)
			}
			time.Sleep(10 * time.Second)
		}
		become(lacksNetwork)
		watch(t, p, targetsOf(tcpCheck(), all))
		time.Sleep(10 * time.Minute)
		become(accepts)
		for range 10 { // intermittent causes are not logged each time
			become(lacksNetwork)
			become(accepts)
		}
		time.Sleep(5 * time.Minute)
		lines := slices.DeleteFunc(book.lines(), func(line string) bool { return !strings.Contains(line, "probes ") })
		begin := `level=ERROR msg="probes inconclusive, health states stay as they are" check=web address=`
		done := `level=INFO msg="probes conclusive again" check=web address=`
		for i, line := range lines {
			want := []string{begin, done}[i%2]
			if !strings.HasPrefix(line, want) || !strings.Contains(line, `reason="`+noNetwork+`"`) {
				t.Errorf("line %d is %q, want it to begin %q", i, line, want)
			}
		}
		if len(lines) < 4 || len(lines) > 10 || len(lines)%2 != 0 {
			t.Errorf("%d lines, want as many beginnings as ends, a pair each minute at most", len(lines))
		}
		if !strings.Contains(lines[1], " targets=50 after=10m") {
			t.Errorf("%q, want 50 targets after 10 minutes", lines[1])
		}
	})
}

// TestReloadKeepsInconclusiveSince edits the thresholds of a check.
func TestReloadKeepsInconclusiveSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		w.become(addrs(1)[0], lacksNetwork)
		before, _ := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		time.Sleep(time.Hour)
		was, _ := before.Status(0)
		edited := tcpCheck()
		edited.Fall = 7
		after, _ := watch(t, p, targetsOf(edited, addrs(1)))
		before.Close()
		is, _ := after.Status(0)
		if was.Inconclusive.IsZero() || !is.Inconclusive.Equal(was.Inconclusive) {
			t.Errorf("inconclusive since %v, before the reload since %v", is.Inconclusive, was.Inconclusive)
		}
		if unknown := after.FirstRound(t.Context()); unknown != 0 {
			t.Errorf("the first round waits for %d", unknown)
		}
		time.Sleep(time.Minute)
		if lines := linesWith(book, "probes "); len(lines) != 1 {
			t.Errorf("logged %q, want the beginning alone", lines)
		}
	})
}
