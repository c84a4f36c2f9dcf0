package server

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

func TestEverySizeIsFilledToABucket(t *testing.T) {
	sizes := map[int]bool{}
	for n := range 40_000 {
		if n > 6000 && n%7 != 0 {
			continue
		}
		answer := &queryv1.Answer{InReplyTo: make([]byte, n)}
		before := proto.Size(answer)
		fill(answer)
		after := proto.Size(answer)
		if after < before || bucket(after) != after {
			t.Fatalf("%d bytes were filled to %d, which is no bucket", before, after)
		}
		if len(answer.GetPadding()) > 65536 {
			t.Fatalf("padding of %d bytes breaks the schema", len(answer.GetPadding()))
		}
		sizes[after] = true
	}
	if len(sizes) > 20 {
		t.Errorf("%d different sizes tell much", len(sizes))
	}
}

func TestAnswersOfAnyContentAreFilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answer := &queryv1.Answer{Padding: []byte("from before")}
		for range rapid.IntRange(0, 50).Draw(t, "hits") {
			c := &queryv1.CollectionAnswer{Hits: []*hitv1.Hit{{Explanation: rapid.StringN(0, 500, -1).Draw(t, "text")}}}
			answer.Results = append(answer.Results, c)
		}
		fill(answer)
		if size := proto.Size(answer); bucket(size) != size {
			t.Fatalf("%d bytes is no bucket", size)
		}
	})
}

// TestCheckpointNeverPushesAHitIntoAnotherSize grows the log from its first checkpoint on: an
// answer with a hit and one without have one size throughout.
func TestCheckpointNeverPushesAHitIntoAnotherSize(t *testing.T) {
	for _, text := range []int{0, 300, 700, 1_200} {
		hit := &queryv1.Answer{Results: []*queryv1.CollectionAnswer{{Hits: []*hitv1.Hit{{Explanation: string(make([]byte, text))}}}}}
		none := &queryv1.Answer{Results: []*queryv1.CollectionAnswer{{}}}
		sizes := map[int]bool{}
		for n := range 2_000 {
			for _, answer := range []*queryv1.Answer{hit, none} {
				answer.LogCheckpoint = make([]byte, n)
				fill(answer)
			}
			if a, b := proto.Size(hit), proto.Size(none); a != b {
				t.Fatalf("with a checkpoint of %d bytes a hit has %d bytes, none %d", n, a, b)
			}
			sizes[proto.Size(hit)] = true
		}
		if len(sizes) > 5 {
			t.Errorf("%d sizes", len(sizes))
		}
	}
}
