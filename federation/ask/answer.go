package ask

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// take believes an answer, or says why not, and puts what it says into r.
func (a *Asker) take(ctx context.Context, ask *queryv1.Ask, received *signedv1.Signed, r *Result, sent *Sent) error {
	answer, err := a.cfg.Verifier.Answer(received, r.Bureau)
	if err != nil {
		bad := &badAnswer{cause: err, unsigned: !errors.Is(err, signing.ErrMalformed)}
		if !bad.unsigned {
			sent.Answer = received
		}
		return bad
	}
	// From here on the bytes are proven to be the bureau's, so they are evidence, also against it.
	sent.Answer = received
	for _, c := range answer.GetResults() {
		sent.Answered = append(sent.Answered, CollectionStatus{c.GetCollection(), c.GetStatus()})
		for _, h := range c.GetHits() {
			sent.Told = append(sent.Told, h.GetRecordId())
		}
	}
	if a.cfg.Witness != nil { // also of one that shows none: who has a log does not leave it out
		a.cfg.Witness.Saw(r.Bureau, answer.GetLogCheckpoint(), received, answer.GetAnsweredAt().AsTime())
	}
	if err := repliesTo(answer, ask, sent.Ask, a.cfg.Self, r); err != nil {
		return &badAnswer{cause: err}
	}
	if answer.GetDataAsOf().IsValid() {
		r.DataAsOf = answer.GetDataAsOf().AsTime()
	}
	var notes []string
	refused := false
	for _, c := range answer.GetResults() {
		if c.GetStatus() == queryv1.Status_STATUS_REFUSED {
			refused = true
			if len(r.Collections) > 1 {
				notes = append(notes, "it does not answer about "+c.GetCollection())
			}
			continue
		}
		hits, note, err := a.believe(ctx, ask, c, r)
		if err != nil {
			return &badAnswer{cause: err}
		}
		r.Hits = append(r.Hits, hits...)
		notes = append(notes, note...)
	}
	switch {
	case len(r.Hits) > 0:
		r.Status = queryv1.Status_STATUS_HIT
	case refused:
		r.Status = queryv1.Status_STATUS_REFUSED
		if len(notes) == 0 {
			notes = append(notes, "it does not answer such questions of this bureau")
		}
	default:
		r.Status = queryv1.Status_STATUS_NO_HIT
	}
	r.Reason = strings.Join(notes, "; ")
	return nil
}

// repliesTo checks that the answer is the one to this ask, from its bureau to ours, about what
// was asked.
func repliesTo(answer *queryv1.Answer, ask *queryv1.Ask, sent *signedv1.Signed, self identity.Bureau, r *Result) error {
	digest := sha256.Sum256(sent.GetPayload())
	var answered []string
	for _, c := range answer.GetResults() {
		answered = append(answered, c.GetCollection())
	}
	slices.Sort(answered)
	switch {
	case !bytes.Equal(answer.GetInReplyTo(), digest[:]):
		return errors.New("it replies to another ask's bytes")
	case answer.GetAskId() != ask.GetAskId():
		return errors.New("it replies to another ask's id")
	case answer.GetBureau() != string(r.Bureau):
		return errors.New("it is another bureau's")
	case answer.GetAudience() != string(self):
		return errors.New("it is meant for another bureau")
	case !slices.Equal(answered, r.Collections): // both sorted
		return errors.New("it is not about the collections that were asked")
	}
	return nil
}

// believe returns the hits of one collection that this bureau believes, made safe to show, and a
// note for the officer on those that it does not.
func (a *Asker) believe(ctx context.Context, ask *queryv1.Ask, c *queryv1.CollectionAnswer, r *Result) (hits []*hitv1.Hit, notes []string, err error) {
	if (c.GetStatus() == queryv1.Status_STATUS_HIT) != (len(c.GetHits()) > 0) {
		return nil, nil, fmt.Errorf("it says %s with %d hits", c.GetStatus(), len(c.GetHits()))
	}
	foreign := 0
	for _, hit := range c.GetHits() {
		if err := belongs(hit, c.GetCollection(), r.Bureau); err != nil {
			return nil, nil, err
		}
		if c.GetCollection() == Documents && !credible(hit, ask.GetDocument(), r.Bureau) {
			foreign++
			continue
		}
		keepToItsKind(hit)
		makeSafe(hit)
		if hit.GetRecordId() == "" {
			return nil, nil, errors.New("a hit's record id is not text")
		}
		// A fresh hit is a lead. Only the owner's own, later word confirms it.
		hit.Confirmed = false
		hits = append(hits, hit)
	}
	if foreign > 0 {
		a.cfg.Logger.WarnContext(ctx, "claims on documents that their claimant did not issue were dropped",
			"peer", string(r.Bureau), "ask_id", r.AskID, "count", foreign)
		notes = append(notes, fmt.Sprintf("%d of its claims not believed: only the state that issued a document may report it as stolen, lost, revoked or invalid", foreign))
	}
	if most := int(ask.GetMaxCandidates()); len(hits) > most {
		a.cfg.Logger.WarnContext(ctx, "more hits than were asked for", "peer", string(r.Bureau), "ask_id", r.AskID, "count", len(hits))
		notes = append(notes, fmt.Sprintf("it sent more hits than were asked for; the first %d are shown", most))
		hits = hits[:most]
	}
	return hits, notes, nil
}

// belongs checks that a hit is the answering bureau's own, of the collection that it stands in.
func belongs(hit *hitv1.Hit, collection string, from identity.Bureau) error {
	kind := hitv1.HitKind_HIT_KIND_DOCUMENT
	foreignSubject := hit.GetPerson() != nil
	if collection == Persons {
		kind = hitv1.HitKind_HIT_KIND_PERSON
		foreignSubject = hit.GetDocument() != nil
	}
	switch {
	case hit.GetBureau() != string(from):
		return errors.New("a hit is given as another bureau's")
	case hit.GetCollection() != collection || hit.GetKind() != kind || foreignSubject:
		return errors.New("a hit is of another kind than its collection")
	case hit.GetBand() == hitv1.Band_BAND_UNSPECIFIED:
		return errors.New("a hit does not say how sure it is")
	}
	return nil
}

// credible reports whether a hit on a document is one that its claimant may make. That a document
// is stolen, lost, revoked or invalid only the state that issued it may say: nobody else's such
// claim is believed, for it would let one state stop the citizens of another. Who issued it is
// what the asker read from the document, where it could be read, and never the claimant's word
// against it.
func credible(hit *hitv1.Hit, asked *queryv1.DocumentQuery, from identity.Bureau) bool {
	issuer, issuerKnown := identity.BureauOfIssuer(hit.GetIssuer())
	read, wasRead := identity.BureauOfIssuer(asked.GetIssuer())
	if wasRead && hit.GetIssuer() != "" && (!issuerKnown || issuer != read) {
		return false // another document
	}
	own := issuerKnown && issuer == from && (!wasRead || read == from)
	status := hit.GetDocumentStatus()
	if status == recordv1.DocumentStatus_DOCUMENT_STATUS_UNSPECIFIED || onlyByIssuer(status) && !own {
		return false
	}
	if d := hit.GetDocument(); d != nil && (d.GetStatus() != status || d.GetIssuer() != hit.GetIssuer()) {
		return false // it says one thing in its head and another in its body
	}
	return true
}

// keepToItsKind takes out of a hit what its kind cannot say: a person has no document's status,
// and a document that its issuer does not report is not to be taken away.
func keepToItsKind(hit *hitv1.Hit) {
	if hit.GetKind() == hitv1.HitKind_HIT_KIND_PERSON {
		hit.DocumentStatus, hit.Issuer = recordv1.DocumentStatus_DOCUMENT_STATUS_UNSPECIFIED, ""
		return
	}
	if !onlyByIssuer(hit.GetDocumentStatus()) && hit.GetAction() == recordv1.Action_ACTION_SEIZE_DOCUMENT {
		hit.Action = recordv1.Action_ACTION_INFORM
	}
}

// onlyByIssuer reports whether a status is the issuing state's to give.
func onlyByIssuer(status recordv1.DocumentStatus) bool {
	switch status {
	case recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK,
		recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
		recordv1.DocumentStatus_DOCUMENT_STATUS_LOST,
		recordv1.DocumentStatus_DOCUMENT_STATUS_REVOKED,
		recordv1.DocumentStatus_DOCUMENT_STATUS_INVALID:
		return true
	default:
		return false
	}
}
