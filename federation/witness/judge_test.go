package witness

import (
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/entente-mesh/entente/pki/evidence"
)

func treeOf(n uint64, mark string) *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	for i := range n {
		t.AppendData(fmt.Appendf(nil, "%s %d", mark, i))
	}
	return t
}

func checkpointOf(t *testonly.Tree, size uint64) evidence.Checkpoint {
	return evidence.Checkpoint{Origin: "esp.test.entente/log/1", Size: size, Root: [32]byte(t.HashAt(size))}
}

// Every pair of sizes: an honest proof holds, and that of another tree contradicts wherever it
// shows the beginning's root.
func TestWhatAProofShows(t *testing.T) {
	const most = 70
	one, other := treeOf(most, "one"), treeOf(most, "other")
	for from := uint64(1); from < most; from++ {
		for to := from + 1; to <= most; to++ {
			path, err := one.ConsistencyProof(from, to)
			if err != nil {
				t.Fatal(err)
			}
			if got := judge(checkpointOf(one, from), checkpointOf(one, to), path); got != holds {
				t.Fatalf("%d to %d: an honest proof: %d", from, to, got)
			}
			want := contradicts
			if from&(from-1) == 0 {
				want = showsNothing
			}
			if got := judge(checkpointOf(other, from), checkpointOf(one, to), path); got != want {
				t.Fatalf("%d to %d: another log's beginning: %d, want %d", from, to, got, want)
			}
			if got := judge(checkpointOf(one, from), checkpointOf(other, to), path); got != showsNothing {
				t.Fatalf("%d to %d: another log's end: %d", from, to, got)
			}
		}
	}
}

// FuzzNobodyIsFramed: whatever proof is made up, two checkpoints of one honest log are never shown
// to contradict each other.
func FuzzNobodyIsFramed(f *testing.F) {
	tree := treeOf(300, "leaf")
	f.Add(uint64(101), uint64(150), []byte("made up"), uint8(0))
	f.Add(uint64(128), uint64(300), []byte{}, uint8(3))
	f.Add(uint64(299), uint64(300), make([]byte, 320), uint8(9))
	f.Fuzz(func(t *testing.T, from, to uint64, bytes []byte, keep uint8) {
		from, to = from%300+1, to%300+1
		if from > to {
			from, to = to, from
		}
		path, err := tree.ConsistencyProof(from, to)
		if err != nil {
			t.Fatal(err)
		}
		path = path[:min(int(keep), len(path))]
		for len(bytes) >= 32 {
			path, bytes = append(path, bytes[:32]), bytes[32:]
		}
		if len(bytes) > 0 {
			path = append(path, bytes)
		}
		if got := judge(checkpointOf(tree, from), checkpointOf(tree, to), path); got == contradicts {
			t.Fatalf("%d to %d: an honest log is framed", from, to)
		}
	})
}
