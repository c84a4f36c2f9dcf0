package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// byCedar decides as Cedar does, with all policies as they are written and all attributes. It is
// what compiled policies are held against, and shares nothing with them.
func (s *Set) byCedar(f DiscloseFacts, beyond bool) Decision {
	relevant := s.index[actionDisclose].forBureau(f.From)
	above := func(b identity.Bureau, more ...types.EntityUID) types.EntityUIDSet {
		for _, group := range s.communities[b] {
			more = append(more, uid(typeCommunity, group))
		}
		if f.Federation != "" {
			more = append(more, uid(typeFederation, string(f.Federation)))
		}
		return types.NewEntityUIDSet(more...)
	}
	principal, record := bureauUID(f.From), uid(typeRecord, string(f.Self)+"/"+f.Collection+"/"+f.Record.GetRecordId())
	verdict, diagnostic := cedar.Authorize(relevant, types.EntityMap{
		principal: {UID: principal, Parents: above(f.From)},
		record:    {UID: record, Parents: above(f.Self, bureauUID(f.Self), collectionUID(f.Self, f.Collection)), Attributes: attributesOf(&f)},
	}, cedar.Request{
		Principal: principal, Action: uid(typeAction, actionDisclose), Resource: record,
		Context: types.NewRecord(types.RecordMap{
			"purpose":           uid(typePurpose, identity.PurposeName(f.Purpose)),
			"beyond_own_issued": types.Boolean(beyond),
			"now":               types.NewDatetime(f.Now),
		}),
	})
	d := Decision{Action: actionDisclose, Considered: len(relevant), Allow: verdict == cedar.Allow}
	var deciding []*rule
	for _, reason := range diagnostic.Reasons {
		deciding = append(deciding, s.rules[string(reason.PolicyID)])
	}
	return s.conclude(d, deciding, diagnostic.Errors)
}

// attributesOf are a record's attributes, spelt out.
func attributesOf(f *DiscloseFacts) types.Record {
	st, person, document := f.Record.GetStewardship(), f.Record.GetPerson(), f.Record.GetDocument()
	owner := st.GetOwnerBureau()
	if owner == "" {
		owner = string(f.Self)
	}
	expires := cedar.NewDatetime(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	if at := st.GetExpiresAt(); at != nil {
		expires = types.NewDatetime(at.AsTime())
	}
	demand := person.GetAction()
	if document != nil {
		demand = document.GetAction()
	}
	bureaus := func(ids []string) (all []types.Value) {
		for _, id := range ids {
			all = append(all, uid(typeBureau, id))
		}
		return all
	}
	var purposes, categories []types.Value
	for _, p := range st.GetPurposes() {
		purposes = append(purposes, uid(typePurpose, identity.PurposeName(p)))
	}
	for _, c := range st.GetSensitiveCategories() {
		categories = append(categories, types.String(c))
	}
	minor := false
	for _, b := range person.GetBirths() {
		latest := b.GetTo()
		if latest == "" {
			latest = b.GetFrom()
		}
		born, err := time.Parse(time.DateOnly, latest)
		minor = minor || latest != "" && (err != nil || f.Now.UTC().Before(born.AddDate(18, 0, 0)))
	}
	entity := person.GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY
	return types.NewRecord(types.RecordMap{
		"holds":                uid(typeSubject, f.Collection),
		"owner":                types.String(owner),
		"audience":             audienceUID(st.GetAudience().GetMode()),
		"audience_allow":       types.NewSet(bureaus(st.GetAudience().GetAllow())...),
		"audience_deny":        types.NewSet(bureaus(st.GetAudience().GetDeny())...),
		"purposes":             types.NewSet(purposes...),
		"expires_at":           expires,
		"compliance":           uid("Compliance", enumName(st.GetCompliance().GetState(), "COMPLIANCE_STATE_")),
		"handling":             types.String(HandlingCode(st.GetHandling())),
		"exercise":             types.Boolean(st.GetExercise()),
		"sensitive_categories": types.NewSet(categories...),
		"demand":               uid("Demand", enumName(demand, "ACTION_")),
		"person_role":          uid("PersonRole", enumName(person.GetRole(), "PERSON_ROLE_")),
		"minor":                types.Boolean(minor && !entity),
		"entity":               types.Boolean(entity),
		"document_status":      uid("DocumentStatus", enumName(document.GetStatus(), "DOCUMENT_STATUS_")),
		"issuer":               types.String(document.GetIssuer()),
		"recovered":            types.Boolean(document.GetRecoveredAt() != nil && !document.GetRecoveredAt().AsTime().After(f.Now)),
	})
}

// author writes conditions on records at random.
type author struct{ *rand.Rand }

func pick[T any](a author, of ...T) T { return of[a.IntN(len(of))] }

func (a author) condition(depth int) string {
	if depth > 0 && a.IntN(3) > 0 {
		x, y := a.condition(depth-1), a.condition(depth-1)
		return pick(a, "("+x+" && "+y+")", "("+x+" || "+y+")", "!("+x+")", "(if "+x+" then "+y+" else true)")
	}
	const moments = `datetime("2026-06-01T12:00:00Z") datetime("2026-06-01T12:00:00.001Z") datetime("2027-01-01") context.now resource.expires_at context.now.toDate() resource.expires_at.offset(duration("-1h"))`
	moment := func() string { return pick(a, strings.Fields(moments)...) }
	purpose := pick(a, "context.purpose", `Purpose::"border-control"`, `Purpose::"visa"`)
	bureau := pick(a, "principal", `Bureau::"BGR"`, `Bureau::"LBN"`)
	group := pick(a, `Community::"balkan"`, `Federation::"demo.entente"`, `Bureau::"ESP"`, `Bureau::"BGR"`, `Collection::"ESP/persons"`)
	demand := pick(a, `Demand::"arrest"`, `Demand::"unspecified"`)
	compared := func() string { return moment() + pick(a, " < ", " <= ", " > ", " >= ", " == ", " != ") + moment() }
	return pick(a,
		compared(), compared(), compared(), compared(),
		"resource.purposes"+pick(a, ".isEmpty()", ".contains("+purpose+")", ".containsAny([Purpose::\"visa\", Purpose::\"arrest\"])", ".containsAll([context.purpose])"),
		`[Purpose::"border-control", `+purpose+`].contains(context.purpose)`,
		`[Purpose::"border-control", Purpose::"arrest"].contains(context.purpose)`,
		pick(a, "resource.audience_allow", "resource.audience_deny")+pick(a, ".isEmpty()", ".contains("+bureau+")", ".containsAny([Bureau::\"BGR\"])", " == [Bureau::\"BGR\"]"),
		"resource.sensitive_categories"+pick(a, ".isEmpty()", `.contains("health")`, `.containsAny(["health", resource.issuer])`, `.containsAny(["health", "biometric"])`),
		`resource.audience `+pick(a, "==", "!=")+` Audience::"listed"`,
		"resource.demand == "+demand,
		"["+demand+`, Demand::"protect"].contains(resource.demand)`,
		`[PersonRole::"victim", PersonRole::"wanted"].contains(resource.person_role)`,
		`resource.document_status == DocumentStatus::"stolen"`,
		`resource.compliance == Compliance::"compliant"`,
		pick(a, `resource.handling like "europol/*"`, `resource.handling == "europol/H1"`, `["", "europol/H1"].contains(resource.handling)`),
		pick(a, "resource.minor", "resource.entity", "resource.exercise", "resource.recovered", "context.beyond_own_issued"),
		pick(a, "resource.minor == context.beyond_own_issued", "resource.recovered != true", "(resource.minor || true) == true"),
		pick(a, "resource.owner", "resource.issuer")+pick(a, " == ", " != ")+pick(a, `"ESP"`, `"BEL"`, "resource.owner"),
		pick(a, "principal", "resource")+" in "+pick(a, group, "["+group+`, Bureau::"BGR"]`),
		pick(a, `principal is Bureau`, `resource is Record`, `resource is Record in Bureau::"ESP"`, "resource has minor"),
		"principal == "+bureau,
		`resource == Record::"ESP/persons/r1"`,
		`resource.holds == Subject::"persons"`,
		pick(a, "true", "false", "9223372036854775807 + 1 > 0", "(if resource.minor then resource else resource).entity"),
	)
}

func (a author) policy(n int) string {
	principal := pick(a, "principal", "principal", `principal == Bureau::"BGR"`, `principal in Bureau::"BGR"`, `principal in Community::"balkan"`, "principal is Bureau", `principal is Bureau in Federation::"demo.entente"`)
	action := pick(a, `action == Action::"disclose"`, `action in [Action::"disclose"]`)
	resource := pick(a, "resource", "resource", `resource in Bureau::"ESP"`, `resource in Collection::"ESP/persons"`, `resource is Record in Bureau::"ESP"`)
	text := fmt.Sprintf("@id(%q)\n%s (%s, %s, %s)", fmt.Sprint("p/", n), pick(a, "permit", "forbid"), principal, action, resource)
	for range a.IntN(3) {
		text += "\n" + pick(a, "when", "unless") + " { " + a.condition(2) + " }"
	}
	return text + ";\n"
}

func (a author) record() (collection string, r *recordv1.Record) {
	st := &recordv1.Stewardship{
		OwnerBureau:         pick(a, "", "ESP", "BEL"),
		Purposes:            pick(a, nil, []recordv1.Purpose{1}, []recordv1.Purpose{1, 10, 1}, []recordv1.Purpose{99}, []recordv1.Purpose{0}),
		Exercise:            a.IntN(2) == 0,
		SensitiveCategories: pick(a, nil, []string{"health"}, []string{"biometric", "ESP"}),
		Audience: &recordv1.Audience{
			Mode:  recordv1.AudienceMode(a.IntN(5)),
			Allow: pick(a, nil, []string{"BGR"}, []string{"LBN", "BGR", "LBN"}), Deny: pick(a, nil, []string{"BGR"}, []string{"LBN"}),
		},
		Handling:   pick(a, nil, &recordv1.Handling{Scheme: "Europol", Code: "h1"}, &recordv1.Handling{Scheme: "other", Code: "9"}),
		Compliance: pick(a, nil, &recordv1.Compliance{State: recordv1.ComplianceState(a.IntN(8))}),
		ExpiresAt:  pick(a, nil, timestamppb.New(testNoon), timestamppb.New(testNoon.Add(time.Nanosecond)), timestamppb.New(testNoon.Add(-time.Millisecond)), timestamppb.New(testNoon.AddDate(1, 0, 0))),
	}
	r = &recordv1.Record{RecordId: pick(a, "r1", "r2"), Stewardship: pick(a, st, st, st, nil)}
	if a.IntN(2) == 0 {
		r.Body = &recordv1.Record_Document{Document: &recordv1.Document{
			Issuer: pick(a, "", "ESP", "BEL"), Status: recordv1.DocumentStatus(a.IntN(10)), Action: recordv1.Action(a.IntN(11)),
			RecoveredAt: pick(a, nil, timestamppb.New(testNoon), timestamppb.New(testNoon.Add(time.Nanosecond))),
		}}
		return CollectionDocuments, r
	}
	r.Body = &recordv1.Record_Person{Person: &recordv1.Person{
		Role: recordv1.PersonRole(a.IntN(11)), Action: recordv1.Action(a.IntN(11)), Kind: recordv1.PersonKind(a.IntN(3)),
		Births: pick(a, nil, []*recordv1.Birth{{From: "2008-06-01"}}, []*recordv1.Birth{{To: "2008-06-02"}}, []*recordv1.Birth{{To: "1980-02-30"}}, []*recordv1.Birth{{From: "1980-01-01"}, {}}),
	}}
	return CollectionPersons, r
}

var testNoon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// TestCompiledDecidesAsCedar holds decisions on generated records by generated policies, and by
// the defaults, against those of Cedar's evaluator with every attribute, to the word.
func TestCompiledDecidesAsCedar(t *testing.T) {
	a := author{rand.New(rand.NewPCG(1, 2))}
	files, err := Defaults("ESP", "demo.entente")
	if err != nil {
		t.Fatal(err)
	}
	outcomes, compiled, left := map[string]int{}, 0, 0
	for i := range 250 {
		folder := fstest.MapFS{CommunitiesFile: {Data: []byte("balkan: [BGR, ROU]\n")}}
		for name, text := range files {
			if i%4 == 0 && name != "ask.cedar" {
				folder[name] = &fstest.MapFile{Data: text}
			}
		}
		for n := range 1 + a.IntN(8) {
			text := a.policy(n)
			if _, err := Load(fstest.MapFS{CommunitiesFile: folder[CommunitiesFile], "x.cedar": {Data: []byte(text)}}); err != nil {
				continue // what the vocabulary refuses
			}
			folder[fmt.Sprintf("%d.cedar", n)] = &fstest.MapFile{Data: []byte(text)}
		}
		set, err := Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range set.rules {
			if len(r.scope.actions) == 1 && r.scope.actions[0] != actionDisclose {
				continue
			}
			if compiled++; r.compiled == nil {
				compiled--
				left++
			}
		}
		for range 30 {
			collection, record := a.record()
			f := DiscloseFacts{
				Self: "ESP", From: pick[identity.Bureau](a, "BGR", "LBN"), Federation: pick[identity.Federation](a, "", "demo.entente"),
				Collection: collection, Purpose: pick[recordv1.Purpose](a, 1, 2, 10), Record: record,
				Now: testNoon.Add(pick[time.Duration](a, 0, time.Millisecond, time.Microsecond, -time.Millisecond, 24*time.Hour)),
			}
			d := disclosing{DiscloseFacts: &f, beyond: a.IntN(2) == 0}
			d.world = world{set: set, principal: bureauThing(f.From, f.Federation), resource: recordThing(&d)}
			got, want := set.disclose(&d), set.byCedar(f, d.beyond)
			if diff := cmp.Diff(Explain(want, set), Explain(got, set)); diff != "" {
				t.Fatalf("%v\n%s", record, diff)
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
				t.Fatalf("%v\n%s", record, diff)
			}
			if !attributesOf(&f).Equal(wholly("resource", &d)) {
				t.Fatalf("%v has other attributes: %s", record, wholly("resource", &d))
			}
			outcomes[fmt.Sprint(got.Allow, len(got.Rules) > 0, got.Err != nil)]++
		}
	}
	if len(outcomes) < 4 || compiled < 300 || left < 100 {
		t.Errorf("too little of a kind: %v; %d policies compiled, %d left to Cedar", outcomes, compiled, left)
	}
	t.Logf("%v; %d policies compiled, %d left to Cedar", outcomes, compiled, left)
}

// TestCompiledComparesMoments goes through every comparison, before, at and after.
func TestCompiledComparesMoments(t *testing.T) {
	for _, operator := range []string{"<", "<=", ">", ">=", "==", "!="} {
		for _, other := range []string{`datetime("2026-06-01T12:00:00Z")`, "resource.expires_at"} {
			for _, condition := range []string{"context.now " + operator + " " + other, other + " " + operator + " context.now"} {
				text := "@id(\"p\")\npermit (principal, action == Action::\"disclose\", resource) when { " + condition + " };"
				set, err := Load(fstest.MapFS{"x.cedar": {Data: []byte(text)}})
				if err != nil {
					t.Fatal(err)
				}
				for _, off := range []time.Duration{-time.Millisecond, -time.Nanosecond, 0, time.Nanosecond, time.Millisecond} {
					f := DiscloseFacts{
						Self: "ESP", From: "BGR", Collection: CollectionPersons, Purpose: 1, Now: testNoon.Add(off),
						Record: &recordv1.Record{
							Stewardship: &recordv1.Stewardship{ExpiresAt: timestamppb.New(testNoon)},
							Body:        &recordv1.Record_Person{Person: &recordv1.Person{}},
						},
					}
					if got, want := set.Disclose(f).Allow, set.byCedar(f, false).Allow; got != want {
						t.Errorf("%s, %v from it: %v, Cedar says %v", condition, off, got, want)
					}
				}
			}
		}
	}
}

// TestDefaultsAreCompiled keeps the policies that every bureau begins with from the slower way.
func TestDefaultsAreCompiled(t *testing.T) {
	files, err := Defaults("ESP", "demo.entente")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(fstest.MapFS{"disclose.cedar": {Data: files["disclose.cedar"]}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range set.order {
		if set.rules[id].compiled == nil {
			t.Errorf("%s is left to Cedar", id)
		}
	}
}

func TestDayOf(t *testing.T) {
	for _, s := range []string{
		"", "2006-01-02", "0000-01-01", "9999-12-31", "2000-02-29", "1900-02-29", "2001-02-29", "2001-02-30", "2001-00-10", "2001-13-01",
		"2001-01-00", "2001-01-32", "2001-1-01", "2001-01-1", "2001/01/01", " 2001-01-1", "+001-01-01", "2001-01-0a", "2001-01-011", "20010101",
	} {
		want, err := time.Parse(time.DateOnly, s)
		y, m, d, ok := dayOf(s)
		if ok != (err == nil) || ok && !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Equal(want) {
			t.Errorf("%q: %d-%d-%d, %v; want %v, %v", s, y, m, d, ok, want, err)
		}
	}
}

// TestParentsAreOfEachThing shows that parents remembered of one thing are given to no other.
func TestParentsAreOfEachThing(t *testing.T) {
	folder := fstest.MapFS{CommunitiesFile: {Data: []byte("balkan: [BGR, ROU]\niberian: [ESP, PRT]\n")}}
	load := func() *Set {
		set, err := Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	shared := load()
	for range 2 {
		for _, fed := range []identity.Federation{"", "demo.entente"} {
			for _, b := range []identity.Bureau{"ESP", "BGR", "LBN"} {
				things := []thing{bureauThing(b, fed), alertThing(b, fed, "red", 0)}
				for _, name := range []string{"customs", "border-police"} {
					client := identity.Client(fed, b, name, identity.RoleOfficer, "ruiz", nil)
					things = append(things, clientThing(&client), requesterThing(b, fed, name, "officer"))
				}
				for _, collection := range Collections() {
					d := disclosing{DiscloseFacts: &DiscloseFacts{Self: b, Federation: fed, Collection: collection}}
					things = append(things, collectionThing(b, fed, collection), recordThing(&d))
				}
				for _, thing := range things {
					if got, want := shared.parentsOf(&thing), load().parentsOf(&thing); !got.Equal(want) {
						t.Errorf("%v in %q has the parents %v, want %v", thing.uid, fed, got.Slice(), want.Slice())
					}
				}
			}
		}
	}
}
