package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/entente-mesh/entente/node/match"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// errUnheard is a check in which a bureau concerned was not heard in time.
var errUnheard = errors.New("a bureau was not heard in time")

// check makes a check and refuses any answer but one without a hit that concerned as many bureaus
// as it should: a fast wrong answer must not be measured.
func check(ctx context.Context, b *bureau, heard int, req *screeningv1.CheckRequest) error {
	resp, err := screeningv1.NewScreeningServiceClient(b.officer).Check(ctx, req)
	if err != nil {
		return err
	}
	if resp.GetVerdict() == screeningv1.Verdict_VERDICT_INCOMPLETE {
		return errUnheard
	}
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT || len(resp.GetBureaus()) != heard {
		return fmt.Errorf("%s with %d bureaus, want no hit with %d: %v", resp.GetVerdict(), len(resp.GetBureaus()), heard, resp.GetBureaus())
	}
	return nil
}

func justified(p recordv1.Purpose) *queryv1.Justification {
	return &queryv1.Justification{Purpose: p, CaseRef: "bench", Urgency: queryv1.Urgency_URGENCY_COUNTER}
}

func documentOf(n int) *queryv1.DocumentQuery {
	return &queryv1.DocumentQuery{Number: unheldNumber(n), Issuer: string(home), Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT}
}

// holdDocuments has a bureau hold documents of its own state.
func (b *bench) holdDocuments(ctx context.Context, at *bureau) error {
	var file bytes.Buffer
	if err := writeDocuments(&file, string(at.id), b.documents); err != nil {
		return err
	}
	header := &recordv1.ImportHeader{Collection: "documents", Format: "csv", Source: "invented", Strict: true}
	_, err := importFile(ctx, at, header, file.Bytes())
	return err
}

// documentChecks are checks of documents that are not held.
func documentChecks(at *bureau) work {
	return work{"check", func(ctx context.Context, n int) error {
		return check(ctx, at, 1, &screeningv1.CheckRequest{Document: documentOf(n), Justification: justified(forOne)})
	}}
}

// localDocument is row 1: a document that is not held, at a bureau that deals with nobody.
func (b *bench) localDocument(ctx context.Context) error {
	at := b.mesh.at(home)
	if err := b.holdDocuments(ctx, at); err != nil {
		return err
	}
	checks := documentChecks(at)
	echo := b.yard.echo()
	spreads, err := latencies(ctx, b.rounds, checks, echo)
	if err != nil {
		return err
	}
	rates, err := throughputs(ctx, b.turns, b.calls, checks, echo)
	if err != nil {
		return err
	}
	const what = "Document check at home, no hit, recorded"
	b.note(row{
		what: what + ": throughput, 64 callers", measured: rates[0].String(), yardstick: "bare echo " + rates[1].String(),
		ratio: times(rates[0].rate / rates[1].rate), budget: ">= 0.3 x echo", met: within(rates[0].rate >= 0.3*rates[1].rate),
	})
	b.note(row{
		what: what + ": p50, one client", measured: length(spreads[0].p50()), yardstick: "bare echo " + length(spreads[1].p50()),
		ratio: times(over(spreads[0].p50(), spreads[1].p50())),
	})
	b.note(row{
		what: what + ": p99, one client", measured: length(spreads[0].p99()), yardstick: "bare echo " + length(spreads[1].p99()),
		ratio: times(over(spreads[0].p99(), spreads[1].p99())), budget: "<= 2 ms", met: within(spreads[0].p99() <= 2*time.Millisecond),
	})
	return b.profile(ctx, "check", b.calls, checks)
}

// localName is row 2: the same with a name, beside the matcher alone.
func (b *bench) localName(ctx context.Context) error {
	at := b.mesh.at(home)
	in := newInventor(1)
	persons := in.persons(b.persons)
	file, err := personsFile(persons)
	if err != nil {
		return err
	}
	header := &recordv1.ImportHeader{Collection: "persons", Format: "entente-json", Source: "invented-persons", Strict: true}
	if _, err := importFile(ctx, at, header, file); err != nil {
		return err
	}
	index := match.NewPersons(match.Options{})
	for _, p := range persons {
		index.Put(p.GetRecordId(), p)
	}
	strangers := in.strangers(min(2_000, 4*b.persons), index)
	if err := followed(ctx, at, persons[len(persons)-1]); err != nil {
		return err
	}
	stranger := func(n int) *queryv1.PersonQuery { return strangers[n%len(strangers)] }
	checks := work{"check with a name", func(ctx context.Context, n int) error {
		return check(ctx, at, 1, &screeningv1.CheckRequest{Document: documentOf(n), Person: stranger(n), Justification: justified(forOne)})
	}}
	alone := work{"matcher", func(_ context.Context, n int) error {
		if len(index.Search(stranger(n), 10)) != 0 {
			return fmt.Errorf("a stranger was found")
		}
		return nil
	}}
	spreads, err := latencies(ctx, b.rounds, checks, alone)
	if err != nil {
		return err
	}
	rates, err := throughputs(ctx, b.turns, b.asks, checks, alone)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("The same with a name, %d persons", b.persons)
	b.note(row{
		what: what + ": throughput, 64 callers", measured: rates[0].String(), yardstick: "matcher alone " + rates[1].String(),
		ratio: times(rates[0].rate / rates[1].rate), budget: ">= 0.7 x matcher", met: within(rates[0].rate >= 0.7*rates[1].rate),
	})
	b.note(row{
		what: what + ": p50, one client", measured: length(spreads[0].p50()), yardstick: "matcher alone " + length(spreads[1].p50()),
		ratio: times(over(spreads[0].p50(), spreads[1].p50())),
	})
	return b.profile(ctx, "check-name", b.asks, checks)
}

// followed waits until the node's index has followed the store to a person.
func followed(ctx context.Context, at *bureau, last *recordv1.Record) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	parts := last.GetPerson().GetNames()[0].GetParts()
	req := &screeningv1.CheckRequest{
		Person: &queryv1.PersonQuery{
			Primary: parts[0].GetText(), Secondary: parts[1].GetText(),
			BirthDate: last.GetPerson().GetBirths()[0].GetFrom(), Nationality: last.GetPerson().GetNationalities()[0].GetCode(),
		},
		Justification: justified(forOne),
	}
	for {
		resp, err := screeningv1.NewScreeningServiceClient(at.officer).Check(ctx, req)
		if err != nil {
			return err
		}
		for _, h := range resp.GetHits() {
			if h.GetRecordId() == last.GetRecordId() {
				return nil
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the index does not follow the store: %w", err)
		}
	}
}
