package health

import (
	"bufio"
	"io"
	"sync"
)

// buffers are what an http probe reads and writes by. They go from one probe to
// the next: made anew, they would be most of what a probe allocates.
type buffers struct {
	in  *bufio.Reader
	out *bufio.Writer
}

// bufferPool keeps buffers between probes.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any {
		return &buffers{bufio.NewReader(nil), bufio.NewWriter(io.Discard)}
	}}}
}

func (p *bufferPool) get() *buffers { return p.pool.Get().(*buffers) }

// put takes back what nobody reads any more.
func (p *bufferPool) put(b *buffers) {
	b.in.Reset(nil)
	b.out.Reset(io.Discard)
	p.pool.Put(b)
}
