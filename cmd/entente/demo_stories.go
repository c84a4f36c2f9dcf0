package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// fill gives Spain and Belgium their records, through the operator's service of each.
func (d *demo) fill(ctx context.Context) error {
	d.title("Spain enters three persons, Belgium a stolen passport and a profile; everybody keeps their own")
	if err := d.importRecords(ctx, "ESP", "persons", "entente-json", recordLines(spanishPersons(d.app.now())...)); err != nil {
		return err
	}
	if err := d.importRecords(ctx, "BEL", "persons", "entente-json", recordLines(belgianFighter())); err != nil {
		return err
	}
	return d.importRecords(ctx, "BEL", "documents", "csv", []byte(stolenPassport))
}

func recordLines(records ...*recordv1.Record) []byte {
	var b bytes.Buffer
	for _, r := range records {
		line, err := protojson.Marshal(r)
		if err != nil {
			panic(err) // our own invented records
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (d *demo) importRecords(ctx context.Context, id identity.Bureau, collection, format string, file []byte) error {
	stream, err := recordv1.NewRecordServiceClient(d.bureau(id).desk).Import(ctx)
	if err != nil {
		return err
	}
	header := &recordv1.ImportHeader{
		Collection: collection, Format: format, Source: "demo", Strict: true,
		Audience: &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
	}
	for _, part := range []*recordv1.ImportRequest{
		{Part: &recordv1.ImportRequest_Header{Header: header}}, {Part: &recordv1.ImportRequest_Chunk{Chunk: file}},
	} {
		if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: import of %s: %w", id, collection, err)
		}
		if r := resp.GetReport(); r != nil {
			d.event("import", map[string]any{"bureau": id, "collection": collection, "created": r.GetCreated()},
				"  %s  %d %s", id, r.GetCreated(), collection)
		}
	}
}

// story is one check of a story and what must come of it.
type story struct {
	name      string // "a" or "b"
	at        identity.Bureau
	text      string // what the post sees
	mrz       string
	verdict   screeningv1.Verdict
	record    string // the record that must be hit; empty: none
	kind      string // how that hit must read
	asked     []identity.Bureau
	action    recordv1.Action
	inSummary bool // one of many: a line, not a page
}

// coach is the first story, modelled on December 2014.
func (d *demo) coach(ctx context.Context) error {
	d.title("Story 1. A coach of 40 travellers at a Bulgarian border post; Spain has given Bulgaria a permit")
	expires := d.app.now().AddDate(4, 0, 0)
	passed := 0
	var slowest, total time.Duration
	for i, p := range onTheCoach(d.app.now()) {
		zone, err := p.zone(p.country, expires)
		if err != nil {
			return fmt.Errorf("%s: %w", p.surname, err)
		}
		s := story{
			name: "coach", at: "BGR", text: fmt.Sprintf("traveller %d", i+1), mrz: zone,
			verdict: screeningv1.Verdict_VERDICT_NO_HIT, asked: []identity.Bureau{"ESP"}, inSummary: true,
		}
		if i < 3 {
			s.inSummary = false
			s.verdict = screeningv1.Verdict_VERDICT_HIT
			s.record = fmt.Sprintf("esp:2014-%d", i+1)
			s.kind = "ESP/persons"
			s.action = recordv1.Action_ACTION_ARREST
			if i == 2 {
				s.action = recordv1.Action_ACTION_PROTECT
			}
		}
		resp, err := d.tell(ctx, s)
		if err != nil {
			return err
		}
		took := resp.GetElapsed().AsDuration()
		slowest, total = max(slowest, took), total+took
		if resp.GetVerdict() == screeningv1.Verdict_VERDICT_NO_HIT {
			passed++
		}
	}
	d.expect(passed == 37, "37 of the 40 pass (%d did)", passed)
	d.event("coach", map[string]any{"travellers": 40, "passed": passed, "slowestMs": ms(slowest), "meanMs": ms(total / 40)},
		"\n  %d travellers pass: not on any list. Of the 40 checks the slowest took %s, the mean is %s.\n  Belgium and Lebanon were asked about nobody.", passed, short(slowest), short(total/40))
	return nil
}

func ms(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }

// passport is the second story, modelled on October 2014.
func (d *demo) passport(ctx context.Context) error {
	d.title("Story 2. A man at a Lebanese post, with a passport that Belgium has reported stolen")
	expires := d.app.now().AddDate(4, 0, 0)
	const male = recordv1.Sex_SEX_MALE
	stolen := demoPerson{"Claes", "Pieter", "1986-01-09", "BEL", male, "EH482913"}
	own := demoPerson{"Vandersmissen", "Yorick Ilyas", "1990-07-21", "BEL", male, "EJ771204"}
	zoneStolen, err := stolen.zone("BEL", expires)
	if err != nil {
		return err
	}
	zoneOwn, err := own.zone("BEL", expires)
	if err != nil {
		return err
	}
	if _, err := d.tell(ctx, story{
		name: "passport", at: "LBN", text: "A man shows the passport, under another name", mrz: zoneStolen,
		verdict: screeningv1.Verdict_VERDICT_HIT, record: "sltd:", kind: "BEL/documents",
		action: recordv1.Action_ACTION_SEIZE_DOCUMENT, asked: []identity.Bureau{"BEL"},
	}); err != nil {
		return err
	}
	_, err = d.tell(ctx, story{
		name: "passport", at: "LBN", text: "Searched, he has a document of his own", mrz: zoneOwn,
		verdict: screeningv1.Verdict_VERDICT_HIT, record: "bel:ftf-77", kind: "BEL/persons",
		action: recordv1.Action_ACTION_DISCREET, asked: []identity.Bureau{"BEL"},
	})
	return err
}

// tell makes one check, prints it, and notes whether it came out as the story says.
func (d *demo) tell(ctx context.Context, s story) (*screeningv1.CheckResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	resp, err := screeningv1.NewScreeningServiceClient(d.bureau(s.at).officer).Check(ctx, &screeningv1.CheckRequest{
		Mrz:           s.mrz,
		Requester:     &queryv1.Requester{Officer: "post-7", Unit: "crossing 1"},
		Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL, Urgency: queryv1.Urgency_URGENCY_COUNTER},
	})
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", s.name, s.text, err)
	}
	var asked []string
	statuses := true
	for _, b := range resp.GetBureaus() {
		if b.GetSettled() == screeningv1.Settled_SETTLED_ASK {
			asked = append(asked, b.GetBureau())
		}
		statuses = statuses && (b.GetStatus() == queryv1.Status_STATUS_HIT || b.GetStatus() == queryv1.Status_STATUS_NO_HIT)
	}
	if d.app.json {
		line, err := jsonLine(resp, "problems", "hits", "bureaus")
		if err != nil {
			return nil, err
		}
		d.event("check", map[string]any{"story": s.name, "at": s.at, "asked": asked, "response": json.RawMessage(line)}, "")
	} else if !s.inSummary {
		fmt.Fprintf(d.app.out, "\n  %s. %s asks %s.\n  %s\n", s.text, s.at, strings.Join(asked, ", "), strings.ReplaceAll(checkText(resp, false), "\n", "\n  "))
	}
	d.expect(resp.GetVerdict() == s.verdict, "%s, %s: verdict %s (was %s)", s.name, s.text, word(s.verdict.String(), "VERDICT_"), word(resp.GetVerdict().String(), "VERDICT_"))
	want := make([]string, 0, len(s.asked))
	for _, b := range s.asked {
		want = append(want, string(b))
	}
	d.expect(slices.Equal(asked, want), "%s, %s: %v asked and nobody else (asked: %v)", s.name, s.text, want, asked)
	d.expect(statuses, "%s, %s: everybody concerned answered", s.name, s.text)
	if s.record == "" {
		d.expect(len(resp.GetHits()) == 0, "%s, %s: no hit", s.name, s.text)
		return resp, nil
	}
	found := len(resp.GetHits()) == 1
	if found {
		h := resp.GetHits()[0]
		found = strings.HasPrefix(h.GetRecordId(), s.record) && h.GetBureau()+"/"+h.GetCollection() == s.kind && h.GetAction() == s.action
		d.expect(h.GetMinor() == (s.action == recordv1.Action_ACTION_PROTECT), "%s, %s: told whether it is a child", s.name, s.text)
	}
	d.expect(found, "%s, %s: one hit, %s of %s, to %s", s.name, s.text, s.record, s.kind, s.action)
	return resp, nil
}
