package node_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// fails is a call and how it must fail.
type fails struct {
	name   string
	err    error
	code   codes.Code
	reason fault.Reason
	field  string // that the error names; empty: none in particular
}

// personal stands in requests of these tests and must stand in no error.
const personal = "Vandersmissen"

func (f fails) check(t *testing.T) {
	t.Helper()
	reason, told := fault.ReasonOf(f.err)
	if status.Code(f.err) != f.code || reason != f.reason {
		t.Errorf("%s: %v (%s), want %v with reason %s", f.name, f.err, reason, f.code, f.reason)
		return
	}
	if !told {
		t.Errorf("%s: no ErrorInfo", f.name)
	}
	if f.field != "" && fault.FieldOf(f.err) != f.field {
		t.Errorf("%s: it names the field %q, want %q", f.name, fault.FieldOf(f.err), f.field)
	}
	sentence := status.Convert(f.err).Message()
	if len(strings.Fields(sentence)) < 4 || strings.Contains(sentence, personal) || strings.Contains(sentence, "rpc error") {
		t.Errorf("%s: %q is no sentence that helps", f.name, sentence)
	}
	listed := slices.IndexFunc(fault.Catalogue(), func(e fault.Entry) bool { return e.Reason == reason })
	if listed < 0 {
		t.Errorf("%s: the reason %s is not in the catalogue", f.name, reason)
	} else if c := fault.Catalogue()[listed].Code; c != f.code {
		t.Errorf("%s: the catalogue gives %s the code %v, the node gives it %v", f.name, reason, c, f.code)
	}
}

// TestMalformedChecks is the table of what an officer's system may get wrong.
func TestMalformedChecks(t *testing.T) {
	bel := nodetest.Found(t, "BEL").Bureau("BEL")
	investigator := bel.Client(identity.RoleAnalyst, recordv1.Purpose_PURPOSE_INVESTIGATION)
	check := func(conn *grpc.ClientConn, edit func(*screeningv1.CheckRequest)) error {
		req := nodetest.CheckPerson(personal, "Yorick", "1990-07-21")
		req.Justification = &queryv1.Justification{Purpose: nodetest.Border}
		edit(req)
		_, err := screeningv1.NewScreeningServiceClient(conn).Check(t.Context(), req)
		return err
	}
	officer := func(edit func(*screeningv1.CheckRequest)) error { return check(bel.Officer(), edit) }
	document := func(number, issuer string) func(*screeningv1.CheckRequest) {
		return func(r *screeningv1.CheckRequest) {
			r.Person, r.Document = nil, &queryv1.DocumentQuery{Number: number, Issuer: issuer}
		}
	}
	zone := func(text string) func(*screeningv1.CheckRequest) {
		return func(r *screeningv1.CheckRequest) { r.Person, r.Mrz = nil, text }
	}
	purpose := func(p nodetest.Purpose) func(*screeningv1.CheckRequest) {
		return func(r *screeningv1.CheckRequest) { r.Justification.Purpose = p }
	}
	const passport = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
	malformed := func(name string, err error, field string) fails {
		return fails{name, err, codes.InvalidArgument, fault.MalformedRequest, field}
	}
	for _, c := range []fails{
		malformed("no justification", officer(func(r *screeningv1.CheckRequest) { r.Justification = nil }), "justification"),
		malformed("no purpose", officer(purpose(0)), "justification.purpose"),
		malformed("a purpose that nobody knows", officer(purpose(99)), "justification.purpose"),
		{"a purpose that is not in the certificate", officer(purpose(recordv1.Purpose_PURPOSE_INVESTIGATION)), codes.PermissionDenied, fault.PurposeNotHeld, "justification.purpose"},
		{"no case", check(investigator, purpose(recordv1.Purpose_PURPOSE_INVESTIGATION)), codes.InvalidArgument, fault.CaseRequired, "justification.case_ref"},
		{"nothing to check", officer(func(r *screeningv1.CheckRequest) { r.Person = nil }), codes.InvalidArgument, fault.NothingAsked, ""},
		malformed("an MRZ and a document", officer(func(r *screeningv1.CheckRequest) {
			r.Person, r.Mrz, r.Document = nil, passport, &queryv1.DocumentQuery{Number: "EH482913"}
		}), "mrz"),
		malformed("an MRZ and a person", officer(func(r *screeningv1.CheckRequest) { r.Mrz = passport }), "mrz"),
		{"an MRZ that is none", officer(zone("good morning")), codes.InvalidArgument, fault.MRZUnreadable, "mrz"},
		{"an MRZ cut in half", officer(zone(passport[:44])), codes.InvalidArgument, fault.MRZUnreadable, "mrz"},
		{"an MRZ of fillers", officer(zone(strings.Repeat("<", 88))), codes.InvalidArgument, fault.MRZUnreadable, "mrz"},
		malformed("an MRZ of 257 characters", officer(zone(strings.Repeat("P", 257))), "mrz"),
		malformed("a document without number", officer(document("", "BEL")), "document.number"),
		malformed("a number of blanks", officer(document("   ", "BEL")), "document.number"),
		malformed("a number of 1025 characters", officer(document(strings.Repeat("7", 1025), "BEL")), "document.number"),
		{"an issuer that is no country", officer(document("EH482913", "QQQ")), codes.InvalidArgument, fault.UnknownCountry, "document.issuer"},
		malformed("an issuer of two letters", officer(document("EH482913", "be")), "document.issuer"),
		malformed("a type that nobody knows", officer(func(r *screeningv1.CheckRequest) {
			r.Document = &queryv1.DocumentQuery{Number: "EH482913", Type: 99}
		}), "document.type"),
		malformed("a person without name", officer(func(r *screeningv1.CheckRequest) { r.Person = &queryv1.PersonQuery{BirthDate: "1990"} }), "person.name"),
		malformed("a name of 600 characters", officer(func(r *screeningv1.CheckRequest) { r.Person.Name = strings.Repeat("a", 600) }), "person.name"),
		{"a nationality that is none", officer(func(r *screeningv1.CheckRequest) { r.Person.Nationality = "QQQ" }), codes.InvalidArgument, fault.UnknownCountry, "person.nationality"},
		malformed("a birth date of another form", officer(func(r *screeningv1.CheckRequest) { r.Person.BirthDate = "21.7.1990" }), "person.birth_date"),
		malformed("a day that is in no calendar", officer(func(r *screeningv1.CheckRequest) { r.Person.BirthDate = "1990-02-31" }), "person.birth_date"),
		malformed("a month that is in no calendar", officer(func(r *screeningv1.CheckRequest) { r.Person.BirthDate = "1990-13" }), "person.birth_date"),
		malformed("a sex that nobody knows", officer(func(r *screeningv1.CheckRequest) { r.Person.Sex = 9 }), "person.sex"),
		malformed("a reference that is too long", officer(func(r *screeningv1.CheckRequest) { r.Reference = strings.Repeat("r", 129) }), "reference"),
		malformed("another bureau's requester in small letters", officer(func(r *screeningv1.CheckRequest) { r.Requester = &queryv1.Requester{Bureau: "fra"} }), "requester.bureau"),
		{"bytes that are no request", rawCall(t, bel.Officer(), screeningv1.ScreeningService_Check_FullMethodName), codes.InvalidArgument, fault.UndecodableRequest, ""},
	} {
		c.check(t)
	}
	if err := officer(func(r *screeningv1.CheckRequest) { r.Patience = durationpb.New(-1) }); err != nil {
		t.Errorf("no patience is the node's own: %v", err)
	}
	// What is above every bound the protocol library refuses, before there is anybody to explain.
	large := officer(func(r *screeningv1.CheckRequest) { r.Person.Name = strings.Repeat("a", 5<<20) })
	if status.Code(large) != codes.ResourceExhausted {
		t.Errorf("five megabytes: %v, want RESOURCE_EXHAUSTED", large)
	}
}

// rawCall sends bytes that are no message.
func rawCall(t *testing.T, conn *grpc.ClientConn, method string) error {
	t.Helper()
	return conn.Invoke(t.Context(), method, []byte("\x0a\xff\xff\xff\xff\x0f garbage"), &[]byte{}, grpc.ForceCodec(rawCodec{}))
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errors.New("not bytes")
	}
	return b, nil
}

func (rawCodec) Unmarshal([]byte, any) error { return nil }

func (rawCodec) Name() string { return "proto" }

// TestOneBadCheckOfABatch costs its own answer.
func TestOneBadCheckOfABatch(t *testing.T) {
	bel := nodetest.Found(t, "BEL").Bureau("BEL")
	bel.Create(nodetest.Person("bel:1", personal, "Yorick", "1990-07-21"))
	good := func(ref string) *screeningv1.CheckRequest {
		r := nodetest.CheckPerson(personal, "Yorick", "1990-07-21")
		r.Reference, r.Justification = ref, &queryv1.Justification{Purpose: nodetest.Border}
		return r
	}
	with := func(ref string, edit func(*screeningv1.CheckRequest)) *screeningv1.CheckRequest {
		r := good(ref)
		edit(r)
		return r
	}
	stream, err := bel.Screening().CheckBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*screeningv1.CheckRequest{
		good("1"),
		with("2", func(r *screeningv1.CheckRequest) { r.Person.BirthDate = "1990-02-31" }),
		with("3", func(r *screeningv1.CheckRequest) { r.Justification.Purpose = recordv1.Purpose_PURPOSE_VISA }),
		with("4", func(r *screeningv1.CheckRequest) { r.Person, r.Mrz = nil, strings.Repeat("P", 300) }),
		with("5", func(r *screeningv1.CheckRequest) { r.Justification = nil }),
		good("6"),
	} {
		if err := stream.Send(&screeningv1.CheckBatchRequest{Check: r}); err != nil {
			break // the reason comes with Recv
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("the batch ended: %v", err)
			break
		}
		if f := resp.GetFailure(); f != nil {
			got[f.GetReference()] = f.GetReason()
			if f.GetCode() == 0 || f.GetMessage() == "" || strings.Contains(f.GetMessage(), personal) {
				t.Errorf("failure %v", f)
			}
		} else {
			got[resp.GetResponse().GetReference()] = strings.TrimPrefix(resp.GetResponse().GetVerdict().String(), "VERDICT_")
		}
	}
	for ref, want := range map[string]string{
		"1": "HIT", "2": string(fault.MalformedRequest), "3": string(fault.PurposeNotHeld), "4": string(fault.MalformedRequest),
		"5": string(fault.MalformedRequest), "6": "HIT",
	} {
		if got[ref] != want {
			t.Errorf("check %s: %q, want %s", ref, got[ref], want)
		}
	}
}

// TestMalformedAdministration is the table of what an operator's system may get wrong.
func TestMalformedAdministration(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP")
	bel := m.Bureau("BEL")
	ctx := t.Context()
	without := m.Newcomer("LBN")
	without.MustStart()
	distrusts := func(at *nodetest.Bureau, b, why string) error {
		_, err := at.Admin().DistrustPeer(ctx, &adminv1.DistrustPeerRequest{Bureau: b, Reason: why})
		return err
	}
	create := func(rec *recordv1.Record) error {
		_, err := bel.Records().Create(ctx, &recordv1.CreateRequest{Record: rec})
		return err
	}
	edited := func(edit func(*recordv1.Record)) *recordv1.Record {
		rec := nodetest.Person("bel:2", personal, "Yorick", "1990-07-21")
		edit(rec)
		return rec
	}
	imports := func(h *recordv1.ImportHeader, text string) error {
		_, err := bel.TryImport(h, strings.NewReader(text))
		return err
	}
	header := func(collection, format string) *recordv1.ImportHeader {
		return &recordv1.ImportHeader{Collection: collection, Format: format, Source: "scene"}
	}
	bel.Create(nodetest.Person("bel:1", personal, "Yorick", "1990-07-21"))
	var many []*recordv1.Record
	for i := range 20 {
		many = append(many, nodetest.Person("bel:many-"+string(rune('a'+i)), surname(i), "Yorick", "1990-07-21"))
	}
	bel.Import(nodetest.Persons, "entente-json", strings.NewReader(string(nodetest.Lines(many...))))
	strict := header(nodetest.Persons, "entente-json")
	strict.Strict = true
	complete := header(nodetest.Persons, "entente-json")
	complete.Complete = true
	get := func(collection, id string) error {
		_, err := bel.Records().Get(ctx, &recordv1.GetRequest{Collection: collection, RecordId: id})
		return err
	}
	remove := func(id string) error {
		_, err := bel.Records().Delete(ctx, &recordv1.DeleteRequest{Collection: nodetest.Persons, RecordId: id})
		return err
	}
	list := func(edit func(*recordv1.ListRequest)) error {
		req := &recordv1.ListRequest{Collection: nodetest.Persons}
		edit(req)
		_, err := bel.Records().List(ctx, req)
		return err
	}
	renew := func(csr []byte) error {
		_, err := pkiv1.NewEnrolmentServiceClient(bel.Officer()).Renew(ctx, &pkiv1.RenewRequest{Csr: csr})
		return err
	}
	_, untrusted := bel.Admin().TrustPeer(ctx, &adminv1.TrustPeerRequest{Bureau: "ESP"})
	malformed := func(name string, err error, field string) fails {
		return fails{name, err, codes.InvalidArgument, fault.MalformedRequest, field}
	}
	for _, c := range []fails{
		malformed("distrust nobody", distrusts(bel, "", "why"), "bureau"),
		malformed("distrust without a reason", distrusts(bel, "ESP", ""), "reason"),
		malformed("distrust oneself", distrusts(bel, "BEL", "why"), "bureau"),
		{"distrust a bureau that is not in the roster", distrusts(bel, "FRA", "why"), codes.NotFound, fault.PeerNotFound, "bureau"},
		{"distrust without a roster", distrusts(without, "ESP", "why"), codes.FailedPrecondition, fault.NoRoster, ""},
		{"trust whom one does not distrust", untrusted, codes.NotFound, fault.PeerNotFound, "bureau"},
		malformed("install nothing", bel.Install(nil), "roster"),
		{"an officer distrusts", func() error {
			_, err := adminv1.NewAdminServiceClient(bel.Officer()).DistrustPeer(ctx, &adminv1.DistrustPeerRequest{Bureau: "ESP", Reason: "why"})
			return err
		}(), codes.PermissionDenied, fault.RoleNotPermitted, ""},

		malformed("create nothing", create(nil), "record"),
		malformed("a record without a body", create(edited(func(r *recordv1.Record) { r.Body = nil })), ""),
		malformed("a record without a name", create(edited(func(r *recordv1.Record) { r.GetPerson().Names = nil })), "record.person.names"),
		malformed("a record with a bad id", create(edited(func(r *recordv1.Record) { r.RecordId = "a b" })), "record.record_id"),
		{"a record of another bureau", create(edited(func(r *recordv1.Record) { r.Stewardship.OwnerBureau = "ESP" })), codes.FailedPrecondition, fault.RecordUnfit, "record.stewardship.owner_bureau"},
		{"a birth date backwards", create(edited(func(r *recordv1.Record) { r.GetPerson().Births[0].To = "1980-01-01" })), codes.FailedPrecondition, fault.RecordUnfit, ""},
		{"a stolen passport of another state", create(nodetest.Stolen("bel:doc", "EH482913", "ESP")), codes.FailedPrecondition, fault.RecordUnfit, "record.document.issuer"},
		{"another record under an id", create(edited(func(r *recordv1.Record) { r.RecordId = "bel:1"; r.GetPerson().Remarks = "another" })), codes.AlreadyExists, fault.RecordExists, "record.record_id"},
		{"a record that is not there", get(nodetest.Persons, "bel:none"), codes.NotFound, fault.RecordNotFound, "record_id"},
		malformed("a collection that is not there", get("vehicles", "bel:1"), "collection"),
		malformed("a record without id", get(nodetest.Persons, ""), "record_id"),
		{"withdraw what is not there", remove("bel:none"), codes.NotFound, fault.RecordNotFound, "record_id"},
		malformed("a page of 5,000", list(func(r *recordv1.ListRequest) { r.PageSize = 5000 }), "page_size"),
		{"a page token of one's own making", list(func(r *recordv1.ListRequest) { r.PageToken = "%%%" }), codes.InvalidArgument, fault.PageTokenInvalid, "page_token"},

		malformed("a format that is none", imports(header(nodetest.Persons, "xlsx"), "x"), ""),
		malformed("a source with blanks", imports(&recordv1.ImportHeader{Collection: nodetest.Persons, Format: "csv", Source: "a b"}, "x"), ""),
		{"stolen documents as persons", imports(header(nodetest.Persons, "csv"), "number,issuer\n"), codes.InvalidArgument, fault.FormatMismatch, ""},
		{"a list that is no list", imports(header(nodetest.Persons, "un-xml"), "good morning"), codes.InvalidArgument, fault.NotThisFormat, ""},
		{"a bad row, strictly", imports(strict, "{\"recordId\": \"x y\"}\n"), codes.FailedPrecondition, fault.BadRows, ""},
		{"a file that would withdraw nearly all", imports(complete, string(nodetest.Lines(many[0]))), codes.FailedPrecondition, fault.MassWithdrawal, ""},
		malformed("an import without header", headless(t, bel), "header"),

		malformed("renew with a short text", renew([]byte("x")), "csr"),
		malformed("renew with what is no request", renew([]byte(strings.Repeat("x", 200))), "csr"),
		malformed("renew with a weak key", renew(weakRequest(t)), "csr"),
		{"bytes that are no request", rawCall(t, bel.Operator(), adminv1.AdminService_DistrustPeer_FullMethodName), codes.InvalidArgument, fault.UndecodableRequest, ""},
	} {
		c.check(t)
	}
	if n, err := bel.Records().List(ctx, &recordv1.ListRequest{Collection: nodetest.Persons, PageSize: 1000}); err != nil || len(n.GetRecords()) != 21 {
		t.Errorf("after all that %d records are there (%v), want 21", len(n.GetRecords()), err)
	}
}

// headless sends a piece of a file before the header.
func headless(t *testing.T, at *nodetest.Bureau) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := at.Records().Import(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Chunk{Chunk: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	return err
}

// weakRequest is a certificate signing request with a key that is too short.
func weakRequest(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestMalformedAsks is the table for other bureaus; what is signed badly is among the forgeries.
func TestMalformedAsks(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	conn := bgr.DialMesh(bel)
	signer := bgr.Signer()
	good := sign(t, signer, askYorick(bgr, "BEL"))
	// The signer keeps the treaty, so what breaks it is changed under a signature that holds: with
	// the key itself.
	broken := func(edit func(*queryv1.Ask)) error {
		a := askYorick(bgr, "BEL")
		edit(a)
		payload, err := proto.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sendAsk(t, conn, bgr.SignRaw(good.GetPayloadType(), payload))
		return err
	}
	large := proto.CloneOf(good)
	large.Payload = make([]byte, 100<<10)
	_, tooLarge := sendAsk(t, conn, large)
	_, none := sendAsk(t, conn, nil)
	for _, c := range []fails{
		{"no ask", none, codes.InvalidArgument, fault.MalformedRequest, "ask"},
		{"an ask of 100 kB", tooLarge, codes.ResourceExhausted, fault.MessageTooLarge, ""},
		{"bytes that are no request", rawCall(t, conn, queryv1.QueryService_Ask_FullMethodName), codes.InvalidArgument, fault.UndecodableRequest, ""},
		{"a nonce of eight bytes", broken(func(a *queryv1.Ask) { a.Nonce = a.Nonce[:8] }), codes.InvalidArgument, fault.MalformedRequest, "nonce"},
		{"an id that is no UUID", broken(func(a *queryv1.Ask) { a.AskId = "1" }), codes.InvalidArgument, fault.MalformedRequest, "ask_id"},
		{"without a purpose", broken(func(a *queryv1.Ask) { a.Justification.Purpose = 0 }), codes.InvalidArgument, fault.MalformedRequest, "justification.purpose"},
		{"without a justification", broken(func(a *queryv1.Ask) { a.Justification = nil }), codes.InvalidArgument, fault.MalformedRequest, "justification"},
		{"a thousand candidates", broken(func(a *queryv1.Ask) { a.MaxCandidates = 1000 }), codes.InvalidArgument, fault.MalformedRequest, "max_candidates"},
		{"without a time", broken(func(a *queryv1.Ask) { a.IssuedAt = nil }), codes.InvalidArgument, fault.MalformedRequest, "issued_at"},
		{"another requester", broken(func(a *queryv1.Ask) { a.Requester.Bureau = "ESP" }), codes.Unauthenticated, fault.SignatureInvalid, "ask.signatures"},
	} {
		c.check(t)
	}
}
