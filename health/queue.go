package health

import (
	"container/heap"
	"time"
)

// queue holds the entries that wait for their due time, the earliest at the root: a heap of entries that know their index, so
// that any can be removed.
type queue struct{ heap dueHeap }

func (q *queue) add(e *targetState, due time.Time) {
	e.due = due
	heap.Push(&q.heap, e)
}

// first returns the entry due first; nil if the queue is empty.
func (q *queue) first() *targetState {
	if len(q.heap) == 0 {
		return nil
	}
	return q.heap[0]
}

// remove removes e, if it is queued.
func (q *queue) remove(e *targetState) {
	if e.queueIndex < len(q.heap) && q.heap[e.queueIndex] == e {
		heap.Remove(&q.heap, e.queueIndex)
	}
}

// dueHeap implements heap.Interface for queue.
type dueHeap []*targetState

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].queueIndex, h[j].queueIndex = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*targetState)
	e.queueIndex = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
