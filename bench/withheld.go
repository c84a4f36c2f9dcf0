package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// withheldPairs is how many pairs of asks are made of each collection: one about somebody whom the
// answerer holds and may not tell of, one about somebody whom it does not hold.
func (b *bench) withheldPairs() int {
	if b.quick {
		return 30
	}
	return 20_000
}

// mostAUC is the most that latency may tell: 0.5 is guessing, 1 is certainty.
const mostAUC = 0.52

// withheld shows how well somebody who sees only how long an answer takes tells a withheld record
// from none. The asks are made of subjects that were invented alike and dealt to the two groups at
// random, so that being held is all that differs; they are asked one after the other, over the
// mesh's own mutual TLS, of a node that keeps its books, in pairs of random order.
func (b *bench) withheld(ctx context.Context) error {
	line, err := b.lineTo(b.mesh.at(asker), b.mesh.at(spain))
	if err != nil {
		return err
	}
	defer line.close()
	for _, collection := range []string{"documents", "persons"} {
		held, none, err := b.dealt(ctx, collection)
		if err != nil {
			return fmt.Errorf("%s: %w", collection, err)
		}
		// Both groups warm the node up, on subjects of their own.
		warm := len(held) / 20
		if _, _, err := line.pairs(ctx, held[:warm], none[:warm]); err != nil {
			return fmt.Errorf("%s: %w", collection, err)
		}
		withheld, nothing, err := line.pairs(ctx, held[warm:], none[warm:])
		if err != nil {
			return fmt.Errorf("%s: %w", collection, err)
		}
		auc, margin := rankAUC(withheld, nothing)
		told := max(auc, 1-auc) // who watches chooses the direction
		slices.Sort(withheld)
		slices.Sort(nothing)
		b.note(row{
			what:     fmt.Sprintf("A withheld record against none, %s: what latency tells, %d pairs of asks", collection, len(withheld)),
			measured: fmt.Sprintf("AUC %.4f (95 %%: %.4f to %.4f)", told, told-margin, told+margin),
			yardstick: fmt.Sprintf("guessing 0.5; p50 withheld %s, none %s; p99 %s and %s", length(withheld.p50()), length(nothing.p50()),
				length(withheld.p99()), length(nothing.p99())),
			ratio: times(told / 0.5), budget: fmt.Sprintf("<= %.2f", mostAUC), met: within(told <= mostAUC),
		})
	}
	return nil
}

// rankAUC is the area under the curve of a classifier that ranks by latency, the Mann-Whitney U of
// the two samples over the number of pairs, and the half-width of its 95 % confidence interval
// where nothing differs.
func rankAUC(positive, negative spread) (auc, margin float64) {
	type sample struct {
		took     time.Duration
		positive bool
	}
	all := make([]sample, 0, len(positive)+len(negative))
	for _, d := range positive {
		all = append(all, sample{d, true})
	}
	for _, d := range negative {
		all = append(all, sample{d, false})
	}
	slices.SortFunc(all, func(a, b sample) int { return int(a.took - b.took) })
	ranks := 0.0 // of the positive; those that are equal share the mean of theirs
	for from := 0; from < len(all); {
		to := from
		for to < len(all) && all[to].took == all[from].took {
			to++
		}
		for _, s := range all[from:to] {
			if s.positive {
				ranks += float64(from+1+to) / 2
			}
		}
		from = to
	}
	m, n := float64(len(positive)), float64(len(negative))
	u := ranks - m*(m+1)/2
	return u / (m * n), 1.96 * math.Sqrt((m+n+1)/(12*m*n))
}

// question is the subject of one ask.
type question struct {
	document *queryv1.DocumentQuery
	person   *queryv1.PersonQuery
}

// dealt invents subjects, deals them to two groups, and has Spain hold those of the first, for
// nobody abroad.
func (b *bench) dealt(ctx context.Context, collection string) (held, none []question, err error) {
	// With those that warm up, and some that may be left out.
	at, wanted := b.mesh.at(spain), b.withheldPairs()+b.withheldPairs()*2/25+2
	n := wanted + wanted/4
	random := rand.New(rand.NewPCG(uint64(n), uint64(len(collection))))
	nobody := &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE}
	header := &recordv1.ImportHeader{Collection: collection, Source: "withheld-" + collection, Strict: true, Audience: nobody}
	var file bytes.Buffer
	if collection == "documents" {
		header.Format = "csv"
		fmt.Fprintln(&file, "number,issuing_country,type,status,theft_date,theft_country,issue_date,expiry_date,national_reference")
		for i, number := range random.Perm(2 * n) {
			// Numbers that no other step of the run holds, scattered as those of a state are.
			written := fmt.Sprintf("YW%07d", uint64(number)*7_919_131%10_000_000)
			q := question{document: &queryv1.DocumentQuery{Number: written, Issuer: string(spain), Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT}}
			if i%2 == 1 {
				none = append(none, q)
				continue
			}
			held = append(held, q)
			fmt.Fprintf(&file, "%s,%s,passport,stolen,2014-05-06,TUR,2012-05-04,2032-05-03,W-%d\n", written, spain, i)
		}
	} else {
		header.Format = "entente-json"
		var records []*recordv1.Record
		in := newInventor(99)
		for i := range 2 * n {
			r := in.person(i)
			r.RecordId = fmt.Sprintf("withheld:%d", i)
			r.Stewardship.Audience = nobody
			parts := r.GetPerson().GetNames()[0].GetParts()
			q := question{person: &queryv1.PersonQuery{
				Primary: parts[0].GetText(), Secondary: parts[1].GetText(), BirthDate: r.GetPerson().GetBirths()[0].GetFrom(),
				Nationality: r.GetPerson().GetNationalities()[0].GetCode(), Sex: recordv1.Sex_SEX_MALE,
			}}
			// One of each two that follow each other, by a coin.
			if i%2 == 0 {
				records = append(records, r)
				held, none = append(held, q), append(none, question{})
				continue
			}
			none[len(none)-1] = q
			if random.IntN(2) == 0 {
				last := len(held) - 1
				held[last], none[last] = none[last], held[last]
				records[len(records)-1] = r
			}
		}
		lines, err := personsFile(records)
		if err != nil {
			return nil, nil, err
		}
		file.Write(lines)
		held, none = alone(records, held, none)
	}
	held, none = held[:min(wanted, len(held), len(none))], none[:min(wanted, len(held), len(none))]
	if _, err := importFile(ctx, at, header, file.Bytes()); err != nil {
		return nil, nil, err
	}
	// A group that is not held at all would prove nothing.
	for _, q := range []question{held[len(held)-1], held[0]} {
		if err := heldAtHome(ctx, at, q); err != nil {
			return nil, nil, err
		}
	}
	return held, none, nil
}

// alone leaves out of both groups, by the same rule, whoever is taken for another that is held:
// then who is held is found once, and who is not is not found.
func alone(records []*recordv1.Record, held, none []question) (_, _ []question) {
	index := match.NewPersons(match.Options{})
	for _, r := range records {
		index.Put(r.GetRecordId(), r)
	}
	finds := func(n int) func(q question) bool {
		return func(q question) bool { return len(index.Search(q.person, 2)) != n }
	}
	return slices.DeleteFunc(held, finds(1)), slices.DeleteFunc(none, finds(0))
}

// heldAtHome waits until the own officer finds what is asked about.
func heldAtHome(ctx context.Context, at *bureau, q question) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		resp, err := screeningv1.NewScreeningServiceClient(at.officer).Check(ctx, &screeningv1.CheckRequest{
			Document: q.document, Person: q.person, Justification: justified(forOne),
		})
		if err != nil {
			return err
		}
		if resp.GetVerdict() == screeningv1.Verdict_VERDICT_HIT {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("what was imported is not found at home: %w", err)
		}
	}
}

// line is a bureau's own way to another's mesh listener, past its node: who wants to know what
// latency tells measures on the wire.
type line struct {
	conn     *grpc.ClientConn
	signer   *signing.Signer
	verifier *signing.Verifier
	from, to identity.Bureau
	random   *rand.Rand
	size     int // of every answer
}

func (b *bench) lineTo(from, to *bureau) (*line, error) {
	leaf, err := mtls.LoadLeaf(filepath.Join(from.dir, "keys", "channel"))
	if err != nil {
		return nil, err
	}
	book, err := roster.OpenBook(node.RosterDir(from.dir), benchFederation, from.id, nil)
	if err != nil {
		return nil, err
	}
	key, err := signing.ReadKey(filepath.Join(from.dir, "keys", "message.key"))
	if err != nil {
		return nil, err
	}
	creds := mtls.MeshClient(leaf, book, to.id, mtls.Options{})
	conn, err := grpc.NewClient("passthrough:///"+to.result.Config.MeshListen, creds.DialOptions()...)
	if err != nil {
		return nil, err
	}
	return &line{
		conn: conn, signer: signing.NewSigner(benchFederation, from.id, key), verifier: signing.NewVerifier(benchFederation, book, nil),
		from: from.id, to: to.id, random: rand.New(rand.NewPCG(2014, 1)),
	}, nil
}

func (l *line) close() { _ = l.conn.Close() } // reports only that it is closed already

// tooBusy tells that a node turned an ask away, or had no time for it: it said nothing of a record.
func tooBusy(err error) bool {
	c := status.Code(err)
	return c == codes.ResourceExhausted || c == codes.DeadlineExceeded
}

// pairs asks about one of each group in turn, which first by a coin, and returns how long each took.
// A pair of which one was not answered because the node was too busy is left out; they may not be
// more than one of a hundred.
func (l *line) pairs(ctx context.Context, held, none []question) (withheld, nothing spread, err error) {
	left := 0
	for i := range held {
		first, second := held[i], none[i]
		swapped := l.random.IntN(2) == 0
		if swapped {
			first, second = second, first
		}
		a, err := l.ask(ctx, first)
		b, again := l.ask(ctx, second)
		if whole := errors.Join(err, again); whole != nil {
			busy := (err == nil || tooBusy(err)) && (again == nil || tooBusy(again))
			if left++; busy && left <= 1+len(held)/100 {
				continue
			}
			return nil, nil, whole
		}
		if swapped {
			a, b = b, a
		}
		withheld, nothing = append(withheld, a), append(nothing, b)
	}
	return withheld, nothing, nil
}

// ask asks once, and returns how long the answer took. It refuses any answer but "no hit" of the
// one size: what content tells is not to be measured by the clock.
func (l *line) ask(ctx context.Context, q question) (time.Duration, error) {
	request, err := l.sign(q)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	response, err := queryv1.NewQueryServiceClient(l.conn).Ask(ctx, request)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	answer, err := l.verifier.Answer(response.GetAnswer(), l.to)
	if err != nil {
		return 0, err
	}
	size := proto.Size(response)
	if l.size == 0 {
		l.size = size
	}
	if r := answer.GetResults(); len(r) != 1 || r[0].GetStatus() != queryv1.Status_STATUS_NO_HIT || size != l.size {
		return 0, errors.New("an answer tells by its content or its size that a record is withheld")
	}
	return took, nil
}

// sign makes an ask about somebody, of its own id, that lives a minute.
func (l *line) sign(q question) (*queryv1.AskRequest, error) {
	now, nonce := time.Now(), make([]byte, 16)
	crand.Read(nonce) // never fails, by its contract
	signed, err := l.signer.Ask(&queryv1.Ask{
		AskId: uuid.NewString(), Nonce: nonce, Audience: string(l.to), IssuedAt: timestamppb.New(now), NotAfter: timestamppb.New(now.Add(time.Minute)),
		Requester:     &queryv1.Requester{Bureau: string(l.from), Agency: "border-police", Role: string(identity.RoleOfficer)},
		Justification: justified(forOne), MaxCandidates: 10, RosterVersion: 1, Document: q.document, Person: q.person,
	})
	if err != nil {
		return nil, err
	}
	return &queryv1.AskRequest{Ask: signed}, nil
}
