package screening

import (
	"slices"

	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// linked adds to the persons found those whose document is in hand: first, and whatever their names
// say. The documents were found already, in their own collection, and name the person's record. Only
// at home: abroad the two collections are two questions, each under a permit of its own.
func (h *Holdings) linked(q *queryv1.PersonQuery, documents, persons []gate.Found) []gate.Found {
	now := h.now()
	var first []gate.Found
	for _, d := range documents { // the surest first
		id := d.Record.GetDocument().GetPersonRef()
		if id == "" || d.Hit.GetDocumentStatus() != recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED ||
			slices.ContainsFunc(first, func(f gate.Found) bool { return f.Record.GetRecordId() == id }) {
			continue
		}
		c, ok := h.held().Beside(q, id)
		if !ok || expired(c.Record, now) {
			continue
		}
		h.scored.Add(1)
		c = match.WithDocument(c, match.Candidate{Band: d.Hit.GetBand(), Evidence: d.Hit.GetEvidence()})
		first = append(first, gate.Found{Record: c.Record, Hit: hitOf(h.self, c, now)})
	}
	for _, p := range persons {
		if !slices.ContainsFunc(first, func(f gate.Found) bool { return f.Record.GetRecordId() == p.Record.GetRecordId() }) {
			first = append(first, p)
		}
	}
	return first
}
