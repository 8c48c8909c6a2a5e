package probe

import (
	"bufio"
	"io"
	"sync"
)

// buffers holds the read and write buffers of an http probe. Probes reuse them: new ones would be most of a probe's
// allocations.
type buffers struct {
	in  *bufio.Reader
	out *bufio.Writer
}

// bufferPool holds buffers between probes.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any {
		return &buffers{bufio.NewReader(nil), bufio.NewWriter(io.Discard)}
	}}}
}

func (p *bufferPool) get() *buffers { return p.pool.Get().(*buffers) }

// put returns b for reuse, without references to its connection.
func (p *bufferPool) put(b *buffers) {
	b.in.Reset(nil)
	b.out.Reset(io.Discard)
	p.pool.Put(b)
}
