package policy_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestDefaultsCheck(t *testing.T) {
	spain := spain(t, nil)
	check := func(c identity.Identity, p recordv1.Purpose, hasCase bool) policy.Decision {
		return spain.Check(policy.CheckFacts{Client: c, Purpose: p, HasCase: hasCase})
	}
	const rule = "check/own-agencies"
	// Border control and police checks need no case, everything else does.
	for _, p := range identity.Purposes() {
		allowed(t, check(officer(p), p, true), rule)
		if p == border || p == policeCheck {
			allowed(t, check(officer(p), p, false), rule)
		} else {
			denied(t, check(officer(p), p, false))
		}
	}
	// A purpose that the certificate does not hold, or none at all.
	denied(t, check(officer(border), visa, true))
	denied(t, check(officer(), border, true))
	undecided(t, check(officer(border), 0, true), "purpose")
	undecided(t, check(officer(border), 999, true), "purpose")
	// A client of another bureau, a node, nobody.
	foreign := officer(border)
	foreign.Bureau = bgr
	denied(t, check(foreign, border, true))
	undecided(t, check(identity.Node(fed, esp, "1"), border, true), "client")
	undecided(t, check(identity.Identity{}, border, true), "client")
}

func TestDefaultsAdminister(t *testing.T) {
	spain := spain(t, nil)
	may := map[identity.Role]map[string]bool{
		identity.RoleOperator: {},
		identity.RolePKIAdmin: {
			policy.OperationEnrolClient: true, policy.OperationRevokeClient: true, policy.OperationInstallRoster: true,
			policy.OperationReadStatus: true, policy.OperationReadPeers: true, policy.OperationReadClients: true,
			policy.OperationReadActs: true, policy.OperationApproveAct: true,
		},
		identity.RoleRecordsOfficer: {
			policy.OperationReadRecords: true, policy.OperationCreateRecord: true, policy.OperationDeleteRecord: true,
			policy.OperationEraseRecord: true, policy.OperationFindCopies: true,
			policy.OperationReadActs: true, policy.OperationApproveAct: true,
		},
		identity.RoleSystem: {
			policy.OperationReadRecords: true, policy.OperationCreateRecord: true,
			policy.OperationImportRecords: true, policy.OperationDeleteRecord: true,
		},
		identity.RoleAuditor: {
			policy.OperationReadStatus: true, policy.OperationReadPeers: true, policy.OperationReadBooks: true,
			policy.OperationUnmaskOfficer: true, policy.OperationFindCopies: true, policy.OperationReadQuotas: true,
			policy.OperationReadActs: true, policy.OperationApproveAct: true, policy.OperationReadClients: true,
			policy.OperationReadPoint: true,
		},
	}
	for _, operation := range policy.Operations() {
		may[identity.RoleOperator][operation] = !slices.Contains([]string{
			policy.OperationEnrolClient, policy.OperationRevokeClient, policy.OperationReadBooks, policy.OperationUnmaskOfficer,
		}, operation)
	}
	for _, role := range identity.Roles() {
		for _, operation := range policy.Operations() {
			client := identity.Client(fed, esp, "ncb", role, "desk-1", nil)
			d := spain.Administer(policy.AdministerFacts{Client: client, Operation: operation})
			if d.Allow != may[role][operation] || d.Err != nil {
				t.Errorf("%s, %s: allow=%v (%v)", role, operation, d.Allow, d.Err)
			}
			client.Bureau = bgr
			if spain.Administer(policy.AdministerFacts{Client: client, Operation: operation}).Allow {
				t.Errorf("%s of BGR may %s in Spain", role, operation)
			}
		}
	}
	operator := identity.Client(fed, esp, "ncb", identity.RoleOperator, "desk-1", nil)
	undecided(t, spain.Administer(policy.AdministerFacts{Client: operator, Operation: "format-disk"}), "operation")
}

func TestDefaultsAskNobody(t *testing.T) {
	spain := spain(t, nil)
	for _, collection := range policy.Collections() {
		for _, purpose := range identity.Purposes() {
			for _, issuer := range []string{"", "ESP", "BGR"} {
				denied(t, spain.Ask(policy.AskFacts{
					Self: esp, Client: officer(purpose), To: bgr, Collection: collection,
					Purpose: purpose, IssuingState: issuer, Now: noon,
				}))
			}
		}
	}
	if p := spain.Permitted(esp, bgr, noon); len(p) != 0 {
		t.Errorf("permitted %v without any permit", p)
	}
}

func TestDefaultsAnswer(t *testing.T) {
	spain := spain(t, nil)
	ask := policy.AnswerFacts{
		Self: esp, From: lbn, Agency: "general-security", Role: "officer",
		Collection: policy.CollectionDocuments, Purpose: border, IssuingState: "ESP", Now: noon,
	}
	allowed(t, spain.Answer(ask), "answer/own-documents")

	foreign := ask
	foreign.IssuingState = "BEL"
	denied(t, spain.Answer(foreign))
	unknown := ask
	unknown.IssuingState = ""
	denied(t, spain.Answer(unknown))

	person := ask
	person.Collection = policy.CollectionPersons
	denied(t, spain.Answer(person))

	for _, p := range identity.Purposes() {
		noCase := ask
		noCase.Purpose = p
		if p == border || p == policeCheck {
			allowed(t, spain.Answer(noCase), "answer/own-documents")
		} else {
			denied(t, spain.Answer(noCase), "answer/case-needed")
		}
		noCase.HasCase = true
		allowed(t, spain.Answer(noCase), "answer/own-documents")
	}

	for _, mode := range []string{policy.ModePointer, policy.ModePush} {
		other := ask
		other.Mode = mode
		denied(t, spain.Answer(other))
	}
	denied(t, spain.Accept(policy.AcceptFacts{Self: esp, From: lbn, Mode: policy.ModePush, Collection: policy.CollectionPersons, Now: noon}))
	denied(t, spain.Accept(policy.AcceptFacts{Self: esp, From: lbn, Mode: policy.ModeAlert, Colour: "red", Now: noon}))
}

// wanted is an adult's record for everybody whom policy permits; change it for each scene.
func wanted(change func(*recordv1.Record)) *recordv1.Record {
	r := &recordv1.Record{
		RecordId: "es:4711",
		Stewardship: &recordv1.Stewardship{
			OwnerBureau: "ESP",
			Audience:    &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
		},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Role:   recordv1.PersonRole_PERSON_ROLE_WANTED,
			Action: recordv1.Action_ACTION_ARREST,
			Births: []*recordv1.Birth{{From: "1985-04-03", To: "1985-04-03"}},
		}},
	}
	if change != nil {
		change(r)
	}
	return r
}

func passport(change func(*recordv1.Document, *recordv1.Stewardship)) *recordv1.Record {
	r := wanted(nil)
	d := &recordv1.Document{Number: "XDA000001", Issuer: "ESP", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN}
	r.Body = &recordv1.Record_Document{Document: d}
	if change != nil {
		change(d, r.Stewardship)
	}
	return r
}

func TestDefaultsDisclosePersons(t *testing.T) {
	spain := spain(t, nil)
	const told = "disclose/audience"
	listed := func(r *recordv1.Record, bureaus ...string) {
		r.Stewardship.Audience = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: bureaus}
	}
	born := func(r *recordv1.Record, from, to string, action recordv1.Action) {
		r.GetPerson().Births = []*recordv1.Birth{{From: from, To: to}}
		r.GetPerson().Action = action
	}
	scenes := []struct {
		name     string
		change   func(*recordv1.Record)
		withheld string // the rule; empty: told; "-": no rule tells it
	}{
		{name: "for all whom policy permits"},
		{"no stewardship", func(r *recordv1.Record) { r.Stewardship = nil }, "-"},
		{"no audience", func(r *recordv1.Record) { r.Stewardship.Audience = nil }, "-"},
		{"audience of no mode", func(r *recordv1.Record) { r.Stewardship.Audience = &recordv1.Audience{Allow: []string{"BGR"}} }, "-"},
		{"audience NONE", func(r *recordv1.Record) {
			r.Stewardship.Audience.Mode = recordv1.AudienceMode_AUDIENCE_MODE_NONE
			r.Stewardship.Audience.Allow = []string{"BGR"}
		}, "-"},
		{"audience of a later version", func(r *recordv1.Record) { r.Stewardship.Audience.Mode = 77 }, "-"},
		{"listed", func(r *recordv1.Record) { listed(r, "FRA", "BGR") }, ""},
		{"others listed", func(r *recordv1.Record) { listed(r, "FRA") }, "-"},
		{"an empty list", func(r *recordv1.Record) { listed(r) }, "-"},
		{"denied by the record", func(r *recordv1.Record) { r.Stewardship.Audience.Deny = []string{"FRA", "BGR"} }, "disclose/denied-by-record"},
		{"listed and denied", func(r *recordv1.Record) { listed(r, "BGR"); r.Stewardship.Audience.Deny = []string{"BGR"} }, "disclose/denied-by-record"},
		{"others denied", func(r *recordv1.Record) { r.Stewardship.Audience.Deny = []string{"FRA"} }, ""},
		{"for this purpose", func(r *recordv1.Record) { r.Stewardship.Purposes = []recordv1.Purpose{visa, border} }, ""},
		{"for another purpose", func(r *recordv1.Record) { r.Stewardship.Purposes = []recordv1.Purpose{visa} }, "disclose/purposes-of-record"},
		{"for a purpose of a later version", func(r *recordv1.Record) { r.Stewardship.Purposes = []recordv1.Purpose{99} }, "disclose/purposes-of-record"},
		{"expires later", func(r *recordv1.Record) { r.Stewardship.ExpiresAt = timestamppb.New(noon.Add(time.Second)) }, ""},
		{"expires now", func(r *recordv1.Record) { r.Stewardship.ExpiresAt = timestamppb.New(noon) }, "disclose/expired"},
		{"compliant", func(r *recordv1.Record) {
			r.Stewardship.Compliance = &recordv1.Compliance{State: recordv1.ComplianceState_COMPLIANCE_STATE_COMPLIANT}
		}, ""},
		{"not compliant", func(r *recordv1.Record) {
			r.Stewardship.Compliance = &recordv1.Compliance{State: recordv1.ComplianceState_COMPLIANCE_STATE_NON_COMPLIANT}
		}, "disclose/non-compliant"},
		{"of another owner", func(r *recordv1.Record) { r.Stewardship.OwnerBureau = "BEL" }, "disclose/own-records-only"},
		{"of no owner named: our own", func(r *recordv1.Record) { r.Stewardship.OwnerBureau = "" }, ""},
		{"a suspect", func(r *recordv1.Record) { r.GetPerson().Role = recordv1.PersonRole_PERSON_ROLE_SUSPECT }, ""},
		{"a victim", func(r *recordv1.Record) { r.GetPerson().Role = recordv1.PersonRole_PERSON_ROLE_VICTIM }, "disclose/victims-and-witnesses"},
		{"a witness", func(r *recordv1.Record) { r.GetPerson().Role = recordv1.PersonRole_PERSON_ROLE_WITNESS }, "disclose/victims-and-witnesses"},
		{"a witness, for this bureau", func(r *recordv1.Record) {
			r.GetPerson().Role = recordv1.PersonRole_PERSON_ROLE_WITNESS
			listed(r, "BGR")
		}, ""},
		{"a boy of fifteen to be arrested", func(r *recordv1.Record) { born(r, "2011-01-02", "2011-01-02", recordv1.Action_ACTION_ARREST) }, "disclose/minors"},
		{"to be arrested, even where listed", func(r *recordv1.Record) {
			born(r, "2011-01-02", "2011-01-02", recordv1.Action_ACTION_ARREST)
			listed(r, "BGR")
		}, "disclose/minors"},
		{"to be protected", func(r *recordv1.Record) { born(r, "2011-01-02", "2011-01-02", recordv1.Action_ACTION_PROTECT) }, ""},
		{"to be located", func(r *recordv1.Record) { born(r, "2011-01-02", "2011-01-02", recordv1.Action_ACTION_LOCATE) }, ""},
		{"to inform", func(r *recordv1.Record) { born(r, "2011-01-02", "2011-01-02", recordv1.Action_ACTION_INFORM) }, ""},
		{"to be watched", func(r *recordv1.Record) { born(r, "2011-01-02", "2011-01-02", recordv1.Action_ACTION_DISCREET) }, "disclose/minors"},
		{"nothing asked", func(r *recordv1.Record) { born(r, "2011-01-02", "2011-01-02", 0) }, "disclose/minors"},
		{"nothing asked, for this bureau", func(r *recordv1.Record) {
			born(r, "2011-01-02", "2011-01-02", 0)
			listed(r, "BGR")
		}, ""},
		{"the eighteenth birthday is today", func(r *recordv1.Record) { born(r, "2008-06-01", "2008-06-01", recordv1.Action_ACTION_ARREST) }, ""},
		{"the eighteenth birthday is tomorrow", func(r *recordv1.Record) { born(r, "2008-06-02", "2008-06-02", recordv1.Action_ACTION_ARREST) }, "disclose/minors"},
		{"perhaps a minor", func(r *recordv1.Record) { born(r, "1990-01-01", "2010-12-31", recordv1.Action_ACTION_ARREST) }, "disclose/minors"},
		{"a day that is none", func(r *recordv1.Record) { born(r, "1980-02-30", "1980-02-30", recordv1.Action_ACTION_ARREST) }, "disclose/minors"},
		{"no birth date", func(r *recordv1.Record) { born(r, "", "", recordv1.Action_ACTION_ARREST) }, ""},
		{"an undertaking founded lately", func(r *recordv1.Record) {
			born(r, "2015-01-01", "2015-01-01", recordv1.Action_ACTION_FREEZE)
			r.GetPerson().Kind = recordv1.PersonKind_PERSON_KIND_ENTITY
		}, ""},
	}
	handlings := map[string]bool{ // scheme/code: told
		"/": true, "europol/H0": true, "europol/H1": true, "europol/H2": false, "europol/H3": true,
		"Europol/h2": false, " EUROPOL / h0 ": true, "europol/H 0": false, "europol/": false,
		"uk-5x5x5/1": true, "uk-5x5x5/2": true, "uk-5x5x5/3": true, "uk-5x5x5/4": false, "uk-5x5x5/5": false,
		"uk-3x5x2/P": true, "uk-3x5x2/C": true, "some-other/1": false, "/H0": false,
	}
	for code, told := range handlings {
		withheld := ""
		if !told {
			withheld = "disclose/handling"
		}
		scheme, code, _ := strings.Cut(code, "/")
		scenes = append(scenes, struct {
			name     string
			change   func(*recordv1.Record)
			withheld string
		}{"handling " + scheme + " " + code, func(r *recordv1.Record) {
			r.Stewardship.Handling = &recordv1.Handling{Scheme: scheme, Code: code}
		}, withheld})
	}
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			d := spain.Disclose(policy.DiscloseFacts{
				Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border,
				Record: wanted(scene.change), Now: noon,
			})
			switch scene.withheld {
			case "":
				allowed(t, d, told)
			case "-":
				denied(t, d)
			default:
				denied(t, d, scene.withheld)
			}
		})
	}
}

func TestDefaultsDiscloseDocuments(t *testing.T) {
	type document = recordv1.Document
	type stewardship = recordv1.Stewardship
	without := spain(t, nil)
	with := spain(t, permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionDocuments, Purposes: []recordv1.Purpose{border}}))
	status := func(s recordv1.DocumentStatus, issuer string) *recordv1.Record {
		return passport(func(d *document, _ *stewardship) { d.Status, d.Issuer = s, issuer })
	}
	disclose := func(s *policy.Set, to identity.Bureau, r *recordv1.Record) policy.Decision {
		return s.Disclose(policy.DiscloseFacts{Self: esp, From: to, Collection: policy.CollectionDocuments, Purpose: border, Record: r, Now: noon})
	}
	const told = "disclose/audience"

	// What the own state reports of its own documents is told to every bureau that may ask.
	for _, s := range []recordv1.DocumentStatus{1, 2, 3, 4, 5, 6} {
		allowed(t, disclose(without, lbn, status(s, "ESP")), told)
	}
	// Nobody believes it of another's.
	for _, s := range []recordv1.DocumentStatus{1, 2, 3, 4, 5} {
		denied(t, disclose(with, bgr, status(s, "BEL")), "disclose/own-documents-only")
		denied(t, disclose(with, bgr, status(s, "")), "disclose/own-documents-only")
	}
	allowed(t, disclose(with, bgr, status(recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN, "BEL")), told)

	// A person of interest's document: by permit, whoever issued it.
	associated := recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED
	for _, issuer := range []string{"ESP", "BEL", ""} {
		allowed(t, disclose(with, bgr, status(associated, issuer)), told)
		denied(t, disclose(with, lbn, status(associated, issuer)), "disclose/associated-by-permit")
		denied(t, disclose(without, bgr, status(associated, issuer)), "disclose/associated-by-permit")
	}

	found := passport(func(d *document, _ *stewardship) { d.RecoveredAt = timestamppb.New(noon) })
	denied(t, disclose(without, lbn, found), "disclose/recovered")
	later := passport(func(d *document, _ *stewardship) { d.RecoveredAt = timestamppb.New(noon.Add(time.Hour)) })
	allowed(t, disclose(without, lbn, later), told)
	nobody := passport(func(_ *document, s *stewardship) { s.Audience = nil })
	denied(t, disclose(without, lbn, nobody))
}

func TestUndecidable(t *testing.T) {
	spain := spain(t, permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}}))
	answer := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	allowed(t, spain.Answer(answer), "permit-BGR-persons-ask/answer")
	for name, change := range map[string]func(*policy.AnswerFacts){
		"own bureau":        func(f *policy.AnswerFacts) { f.Self = "" },
		"other bureau":      func(f *policy.AnswerFacts) { f.From = "" },
		"deals with itself": func(f *policy.AnswerFacts) { f.From = esp },
		"collection":        func(f *policy.AnswerFacts) { f.Collection = "vehicles" },
		"purpose":           func(f *policy.AnswerFacts) { f.Purpose = 0 },
		"now":               func(f *policy.AnswerFacts) { f.Now = time.Time{} },
		"mode":              func(f *policy.AnswerFacts) { f.Mode = "everything" },
		"requester":         func(f *policy.AnswerFacts) { f.Agency = "border-police/officer" },
	} {
		f := answer
		change(&f)
		undecided(t, spain.Answer(f), name)
	}

	ask := policy.AskFacts{Self: esp, Client: officer(border), To: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	allowed(t, spain.Ask(ask), "permit-BGR-persons-ask/ask")
	ask.Client.Bureau = bel
	undecided(t, spain.Ask(ask), "client")

	disclose := policy.DiscloseFacts{Self: esp, From: bgr, Collection: policy.CollectionDocuments, Purpose: border, Record: wanted(nil), Now: noon}
	undecided(t, spain.Disclose(disclose), "record")
	disclose.Record = nil
	undecided(t, spain.Disclose(disclose), "record")

	undecided(t, spain.Accept(policy.AcceptFacts{Self: esp, From: bgr, Mode: "mail", Now: noon}), "mode")
	undecided(t, spain.Accept(policy.AcceptFacts{Self: esp, From: bgr, Mode: policy.ModePush, Collection: "x", Now: noon}), "collection")
	undecided(t, spain.Accept(policy.AcceptFacts{Self: esp, From: bgr, Mode: policy.ModeAlert, Now: noon}), "colour")

	// A set that was never loaded denies.
	denied(t, new(policy.Set).Answer(answer))
}

func TestNeverAskAboutNationals(t *testing.T) {
	files, err := policy.Defaults(esp, fed)
	if err != nil {
		t.Fatal(err)
	}
	// The lawyer takes the two strokes away and puts the states in.
	text := string(files["never-ask-about-nationals.cedar"])
	_, rule, ok := strings.Cut(text, "bearers of their documents.\n//\n")
	if !ok {
		t.Fatal("the template has changed")
	}
	rule = strings.ReplaceAll("\n"+rule, "\n// ", "\n")
	rule = strings.ReplaceAll(rule, `["XXA", "XXB"]`, `["LBN"]`)
	permits := both(
		permit(t, policy.PermitOptions{Bureau: "LBN", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}}),
		permit(t, policy.PermitOptions{Bureau: policy.Everybody, Collection: policy.CollectionDocuments}),
	)
	before := spain(t, permits)
	after := spain(t, both(permits, map[string]string{"never-ask-about-nationals.cedar": rule}))

	ask := policy.AskFacts{Self: esp, Client: officer(border), To: lbn, Collection: policy.CollectionPersons, Purpose: border, Nationality: "LBN", Now: noon}
	allowed(t, before.Ask(ask), "permit-LBN-persons-ask/ask")
	denied(t, after.Ask(ask), "ask/never-about-own-nationals")
	ask.Nationality = "SYR"
	allowed(t, after.Ask(ask), "permit-LBN-persons-ask/ask")
	// A Lebanese document shows a Lebanese national.
	ask.Collection, ask.IssuingState, ask.Nationality = policy.CollectionDocuments, "LBN", ""
	allowed(t, before.Ask(ask), "permit-ALL-documents-ask/ask")
	denied(t, after.Ask(ask), "ask/never-about-own-nationals")
	ask.To, ask.IssuingState, ask.Nationality = bel, "BEL", "LBN"
	allowed(t, after.Ask(ask), "permit-ALL-documents-ask/ask")
}

// Every bureau's defaults load, say the same of themselves, and pass their own cases.
func TestDefaultCases(t *testing.T) {
	for _, self := range []identity.Bureau{esp, bel, "UNO"} {
		files, err := policy.Defaults(self, fed)
		if err != nil {
			t.Fatal(err)
		}
		folder := fstest.MapFS{}
		for name, text := range files {
			folder[name] = &fstest.MapFile{Data: text}
		}
		set, err := policy.Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		cases := files[policy.CasesFile]
		results, err := policy.RunCases(set, cases)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if !r.OK {
				t.Errorf("%s: %s: want %s, got %s", self, r.Name, r.Want, r.Got)
			}
		}
	}
}
