package gate

import (
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/ask"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// maxTold is how large the hits of one answer may be: what an asker takes, less room for the rest
// of the answer, what fills it up, and its signatures.
const maxTold = ask.MaxAnswer - 96<<10

// lighten takes out of an answer that is too large what weighs most and is needed least at a
// counter, from the last hit to the first, until it fits: pictures, then the records, then the
// comparisons. Every hit stays, with what is to be done: the asker asks the bureau for the rest.
func lighten(answer *queryv1.Answer) {
	size := proto.Size(answer)
	for _, take := range []func(*hitv1.Hit){withoutPictures, withoutRecord, withoutComparisons} {
		for r := len(answer.GetResults()) - 1; r >= 0; r-- {
			hits := answer.GetResults()[r].GetHits()
			for i := len(hits) - 1; i >= 0; i-- {
				if size <= maxTold {
					return
				}
				before := proto.Size(hits[i])
				take(hits[i])
				size -= before - proto.Size(hits[i])
			}
		}
	}
}

func withoutPictures(h *hitv1.Hit) {
	if p := h.GetPerson(); len(p.GetImages())+len(p.GetBiometrics()) > 0 {
		p = proto.CloneOf(p) // it may be the own record
		p.Images, p.Biometrics = nil, nil
		h.Subject = &hitv1.Hit_Person{Person: p}
	}
}

func withoutRecord(h *hitv1.Hit) { h.Subject = nil }

func withoutComparisons(h *hitv1.Hit) { h.Evidence = nil }
