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
		answer := &queryv1.Answer{LogCheckpoint: make([]byte, n)}
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
