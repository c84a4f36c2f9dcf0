package gate

import (
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// MustNot is what the officer must not do on a hit alone. It follows from what the hit says of
// itself, and from nothing else of the record: of a hit that was redacted it tells no more than
// is left.
func MustNot(h *hitv1.Hit) []string {
	out := []string{"Do not act on this hit alone: compare person and document first, then have " + h.GetBureau() + " confirm it."}
	if h.GetMinor() {
		out = append(out, "A child: do not arrest, handcuff or question without a guardian or child protection officer.")
	}
	switch h.GetAction() {
	case recordv1.Action_ACTION_PROTECT:
		out = append(out, "Do not treat the person as a suspect: they are to be protected.")
	case recordv1.Action_ACTION_DISCREET:
		out = append(out, "Do not let the person notice, hold or search them.")
	case recordv1.Action_ACTION_LOCATE:
		out = append(out, "Do not hold the person: the owner wants to know where they are.")
	case recordv1.Action_ACTION_INFORM:
		out = append(out, "Do not hold the person on this record.")
	}
	switch h.GetDocumentStatus() {
	case recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED:
		out = append(out, "Do not seize the document: it is valid and belongs to a person of interest.")
	case recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN:
		out = append(out, "Do not take the document for false: a counterfeit with this number was seen, the genuine one may be before you.")
	case recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, recordv1.DocumentStatus_DOCUMENT_STATUS_LOST:
		out = append(out, "Do not take the bearer for the thief: who reports a document lost may find it again.")
	}
	return out
}
