//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/cluster"
	store "meridian/cluster/etcd"
	"meridian/config"
	"meridian/health"
)

// vantage is a simulated vantage: all of a node but the prober.
type vantage struct {
	*cluster.Node
	name     string
	mu       sync.Mutex
	agreed   map[health.ProbeID]health.Verdict
	up, down atomic.Int64 // endpoints that are agreed
}

// agree counts the states that the vantages agree on.
func (v *vantage) agree(all []health.Agreement) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range all {
		if a.Uncertain {
			continue
		}
		v.count(v.agreed[a.ID], -1)
		v.agreed[a.ID] = a.Verdict
		v.count(a.Verdict, 1)
	}
	return true
}

func (v *vantage) count(of health.Verdict, by int64) {
	switch of {
	case health.Up:
		v.up.Add(by)
	case health.Down:
		v.down.Add(by)
	}
}

// simulation is the vantages of a cluster and the endpoints that they find up or down.
type simulation struct {
	vantages []*vantage
	deciding []*vantage
	targets  []health.Target
	ids      []health.ProbeID
}

var simulatedCheck = &config.Check{
	Name: "web", Type: config.HTTP, Port: 80,
	Quorum: config.Quorum{Preset: config.MajorityPreset, Scope: config.GlobalScope, MinVantages: 2, MinRegions: 2},
}

// simulate starts vantages in five regions. Those that do not decide read nothing of the others.
func simulate(ctx context.Context, o options, e *etcd) (*simulation, error) {
	s := new(simulation)
	for i := range o.endpoints {
		t := health.Target{Check: simulatedCheck, Addr: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})}
		s.targets, s.ids = append(s.targets, t), append(s.ids, health.IDOf(simulatedCheck, t.Addr))
	}
	trust, keys := map[string]ed25519.PublicKey{}, map[string]ed25519.PrivateKey{}
	for i := range o.vantages {
		seed := make([]byte, ed25519.SeedSize)
		binary.BigEndian.PutUint64(seed, uint64(i))
		name := fmt.Sprintf("v%02d", i)
		keys[name] = ed25519.NewKeyFromSeed(seed)
		trust[name] = keys[name].Public().(ed25519.PublicKey)
	}
	for i := range o.vantages {
		v := &vantage{name: fmt.Sprintf("v%02d", i), agreed: map[health.ProbeID]health.Verdict{}}
		at, err := store.Open(store.Options{Endpoints: e.endpoints, Prefix: "/meridian", Cluster: "simulated", Patience: cluster.PatienceOf(2*time.Second, 10), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		transport, decides := at.Transport(), i < o.deciding
		if !decides {
			transport.Watch = publishOnly
		} else {
			s.deciding = append(s.deciding, v)
		}
		v.Node = cluster.New(cluster.Options{
			Cluster: "simulated", Name: v.name, Region: fmt.Sprintf("r%d", i%5), Key: keys[v.name], Trust: trust, Heartbeat: 2 * time.Second, Stale: 10,
			Transport: transport, Agree: v.agree, Report: func(slog.Level, string, string) {},
		})
		s.vantages = append(s.vantages, v)
	}
	s.find(health.Up)
	for _, v := range s.vantages {
		go v.Run(ctx)
		v.Begin()
	}
	return s, nil
}

// publishOnly is the watch of a vantage that reads nothing.
func publishOnly(ctx context.Context, receive func(cluster.Update)) {
	receive(cluster.Update{Connected: true})
	<-ctx.Done()
}

// find makes all vantages find all endpoints so.
func (s *simulation) find(verdict health.Verdict) {
	var all sync.WaitGroup
	for _, v := range s.vantages {
		all.Go(func() {
			for i := range s.targets {
				s.findOne(v, i, verdict)
			}
		})
	}
	all.Wait()
}

func (s *simulation) findOne(v *vantage, i int, verdict health.Verdict) {
	v.Opinion(health.Opinion{ID: s.ids[i], Target: s.targets[i], Verdict: verdict, Since: time.Now(), Reason: health.ProbePassed})
}

// awaitAgreed waits until all deciding vantages agree that this many endpoints are up, and the others down.
func (s *simulation) awaitAgreed(ctx context.Context, up int) error {
	return await(ctx, fmt.Sprintf("%d of %d endpoints are up at all vantages", up, len(s.ids)), 3*time.Minute, time.Millisecond, func() bool {
		for _, v := range s.deciding {
			if v.up.Load() != int64(up) || v.down.Load() != int64(len(s.ids)-up) {
				return false
			}
		}
		return true
	})
}

// measureSimulated counts puts, and lets all opinions change.
func measureSimulated(ctx context.Context, o options, e *etcd, r *report, wants func(string) bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := simulate(ctx, o, e)
	if err != nil {
		return err
	}
	if err := s.awaitAgreed(ctx, len(s.ids)); err != nil {
		return err
	}
	if wants("steady") {
		if err := s.measureSteady(ctx, o, e, r); err != nil {
			return err
		}
	}
	if !wants("storm") {
		return nil
	}
	for _, change := range []struct {
		to health.Verdict
		up int
	}{{health.Down, 0}, {health.Up, len(s.ids)}} {
		began, used := time.Now(), processorTime()
		s.find(change.to)
		if err := s.awaitAgreed(ctx, change.up); err != nil {
			return err
		}
		r.atMost(fmt.Sprintf("storm: all %d opinions become %v, agreed at %d nodes", len(s.ids)*len(s.vantages), change.to, len(s.deciding)), 3*time.Second, time.Since(began),
			fmt.Sprintf("; %.1f s of processor time of all vantages", (processorTime()-used).Seconds()))
	}
	size, err := e.metric("etcd_mvcc_db_total_size_in_bytes")
	r.add(row{"storm: database of etcd after it", "-", fmt.Sprintf("%.0f MB", size/1e6), false})
	return err
}

// endpointChange is how often an endpoint changes while puts are counted.
const endpointChange = 10 * time.Second

// measureSteady counts the puts while an endpoint changes from time to time, at all vantages.
func (s *simulation) measureSteady(ctx context.Context, o options, e *etcd, r *report) error {
	const puts = "etcd_debugging_mvcc_put_total"
	before, err := e.metric(puts)
	if err != nil {
		return err
	}
	began, verdict := time.Now(), health.Down
	for time.Since(began) < o.steady {
		for _, v := range s.vantages {
			s.findOne(v, 0, verdict)
		}
		verdict = health.Up + health.Down - verdict
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(endpointChange, o.steady-time.Since(began))):
		}
	}
	after, err := e.metric(puts)
	if err != nil {
		return err
	}
	if verdict == health.Up {
		for _, v := range s.vantages {
			s.findOne(v, 0, verdict)
		}
	}
	r.countAtMost(fmt.Sprintf("steady: puts/s, %d endpoints x %d vantages, one endpoint changes each %v", len(s.ids), len(s.vantages), endpointChange), 15, (after-before)/time.Since(began).Seconds(), "")
	return s.awaitAgreed(ctx, len(s.ids))
}

// processorTime returns the processor time of this process.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
