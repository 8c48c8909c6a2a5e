package health

// maxIdle is how many goroutines wait for another probe, at most. A goroutine
// that probes again has a stack that has grown already, which saves a
// twentieth of a probe's cost; those that a burst leaves over end.
const maxIdle = 64

// start has e probed by a goroutine that waits, else by a new one.
func (o *scheduler) start(e *targetState) {
	select {
	case o.jobs <- e:
	default:
		o.workers.Add(1)
		go o.work(e)
	}
}

// work probes e and then what it is given, until too many others wait or the
// prober stops.
func (o *scheduler) work(e *targetState) {
	defer o.workers.Done()
	for e != nil {
		r, left := e.prepared.probe(o.ctx, e.addr, o.dial, o.log)
		o.reports <- report{entry: e, result: r, left: left != nil}
		if left != nil {
			o.waitOrphan(e, left)
		}
		e = o.nextJob()
	}
}

// waitOrphan reports that the program which e's probe has left has ended.
func (o *scheduler) waitOrphan(e *targetState, left <-chan struct{}) {
	select {
	case <-left:
	case <-o.ctx.Done():
		return
	}
	select {
	case o.reports <- report{entry: e, gone: true}:
	case <-o.ctx.Done():
	}
}

// nextJob waits for another target to probe; nil: there is none to wait for.
func (o *scheduler) nextJob() *targetState {
	defer o.idle.Add(-1)
	if o.idle.Add(1) > maxIdle {
		return nil
	}
	select {
	case e := <-o.jobs:
		return e
	case <-o.ctx.Done():
		return nil
	}
}
