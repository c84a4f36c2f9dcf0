package server

import (
	"crypto/rand"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

const (
	// smallestAnswer holds an answer without a hit and one with a usual hit alike: who watches the
	// line and counts bytes sees no difference.
	smallestAnswer = 2 << 10
	// smallStep and largeStep are the steps above it. They are coarser where an answer is large, as
	// then only the order of its size is worth hiding; largeStep stays below the bound of the
	// field.
	smallStep = 1 << 10
	largeFrom = 16 << 10
	largeStep = 16 << 10
	// checkpointStep is by how much the room for a checkpoint grows: one of two signatures fits into
	// the first.
	checkpointStep = 512
	// checkpointField and paddingField are the numbers of Answer.log_checkpoint and Answer.padding.
	checkpointField = 9
	paddingField    = 10
)

// fill sets the answer's padding so that its size in bytes is one of a few. The bytes are random,
// so that no compression on the way undoes it.
//
// The checkpoint grows with the log and with what its keys' names take: it is measured apart, in
// steps of its own, so that it never pushes a hit into another size than no hit.
func fill(answer *queryv1.Answer) {
	answer.Padding = nil
	size := proto.Size(answer)
	free := 0 // what is left of the checkpoint's last step
	if n := len(answer.GetLogCheckpoint()); n > 0 {
		field := protowire.SizeTag(checkpointField) + protowire.SizeBytes(n)
		size -= field
		free = (checkpointStep - field%checkpointStep) % checkpointStep
	}
	for target := bucket(size); ; target = bucket(target + 1) {
		// The field costs its tag, its length and its bytes. A target that no length reaches,
		// because the length itself grows by a byte, is passed over.
		for lengthBytes := 1; lengthBytes <= 3; lengthBytes++ {
			n := target + free - size - protowire.SizeTag(paddingField) - lengthBytes
			if n > 0 && protowire.SizeVarint(uint64(n)) == lengthBytes {
				answer.Padding = make([]byte, n)
				rand.Read(answer.Padding) // never fails, by its contract
				return
			}
		}
		if target+free == size {
			return // it has a bucket's size as it is
		}
	}
}

// bucket returns the smallest size at least as large as this one that an answer may have.
func bucket(size int) int {
	switch {
	case size <= smallestAnswer:
		return smallestAnswer
	case size <= largeFrom:
		return (size + smallStep - 1) / smallStep * smallStep
	default:
		return (size + largeStep - 1) / largeStep * largeStep
	}
}
