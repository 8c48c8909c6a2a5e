package health

// maxIdle is the maximum number of idle probe goroutines. A reused goroutine has a grown stack, which saves a twentieth of
// a probe's cost; those left over from a burst end.
const maxIdle = 64

// start probes e on an idle goroutine, else on a new one.
func (o *scheduler) start(e *targetState) {
	select {
	case o.jobs <- e:
	default:
		o.workers.Add(1)
		go o.work(e)
	}
}

// work probes e and further targets, until too many goroutines are idle or the prober stops.
func (o *scheduler) work(e *targetState) {
	defer o.workers.Done()
	for e != nil {
		r, left := e.prepared.run(o.ctx, e.addr, o.dial, o.log)
		o.reports <- report{entry: e, result: r, orphaned: left != nil}
		if left != nil {
			o.waitOrphan(e, left)
		}
		e = o.nextJob()
	}
}

// waitOrphan reports the end of the program that e's probe has left.
func (o *scheduler) waitOrphan(e *targetState, left <-chan struct{}) {
	select {
	case <-left:
	case <-o.ctx.Done():
		return
	}
	select {
	case o.reports <- report{entry: e, orphanExited: true}:
	case <-o.ctx.Done():
	}
}

// nextJob waits for another target to probe; nil: this goroutine must end.
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
