package telemetry

import (
	"maps"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// nativeBuckets encodes the counts of native buckets by their index: spans of consecutive indices, each with its distance
// from the previous one, and the difference of each count from the one before it.
func nativeBuckets(counts map[int]uint64) (spans []*dto.BucketSpan, deltas []int64) {
	next, last := 0, int64(0)
	for n, i := range slices.Sorted(maps.Keys(counts)) {
		if n == 0 || i != next {
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(int32(i - next)), Length: proto.Uint32(0)})
		}
		span := spans[len(spans)-1]
		span.Length = proto.Uint32(span.GetLength() + 1)
		deltas = append(deltas, int64(counts[i])-last)
		next, last = i+1, int64(counts[i])
	}
	if len(spans) == 0 {
		spans = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}} // marks an empty native histogram
	}
	return spans, deltas
}
