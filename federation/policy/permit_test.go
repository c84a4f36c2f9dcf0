package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestPermitBothWays(t *testing.T) {
	options := policy.PermitOptions{Self: esp, Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}}
	name, _, err := policy.Permit(options)
	if err != nil || name != "permit-BGR-persons-ask.cedar" {
		t.Fatalf("%s, %v", name, err)
	}
	set := spain(t, permit(t, options))
	answer := policy.AnswerFacts{Self: esp, From: bgr, Agency: "border-police", Role: "officer", Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	ask := policy.AskFacts{Self: esp, Client: officer(border, visa), To: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	allowed(t, set.Answer(answer), "permit-BGR-persons-ask/answer")
	allowed(t, set.Ask(ask), "permit-BGR-persons-ask/ask")
	if set.Ask(ask).Obligations.Optional {
		t.Error("optional without being asked to be")
	}

	// For this purpose, this bureau, this collection, and nothing else.
	for change, f := range map[string]func(*policy.AnswerFacts, *policy.AskFacts){
		"purpose":    func(a *policy.AnswerFacts, b *policy.AskFacts) { a.Purpose, b.Purpose = visa, visa },
		"bureau":     func(a *policy.AnswerFacts, b *policy.AskFacts) { a.From, b.To = lbn, lbn },
		"collection": func(a *policy.AnswerFacts, b *policy.AskFacts) { a.Collection, b.Collection = "documents", "documents" },
	} {
		a, b := answer, ask
		f(&a, &b)
		if set.Answer(a).Allow || set.Ask(b).Allow {
			t.Errorf("another %s passes", change)
		}
	}
	// Not for a purpose that the client's own certificate does not hold.
	ask.Client = officer(visa)
	denied(t, set.Ask(ask), "ask/own-purposes-only")

	// One way only.
	options.Directions = policy.Inbound
	inbound := spain(t, permit(t, options))
	options.Directions = policy.Outbound
	outbound := spain(t, permit(t, options))
	ask.Client = officer(border)
	allowed(t, inbound.Answer(answer), "permit-BGR-persons-ask/answer")
	denied(t, inbound.Ask(ask))
	denied(t, outbound.Answer(answer))
	allowed(t, outbound.Ask(ask), "permit-BGR-persons-ask/ask")
}

// Who might be asked is who a permit to ask names, and whoever might not is never allowed.
func TestMightAsk(t *testing.T) {
	persons := func(directions policy.Directions) map[string]string {
		return permit(t, policy.PermitOptions{
			Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}, Directions: directions,
		})
	}
	documents := permit(t, policy.PermitOptions{Bureau: policy.Everybody, Collection: policy.CollectionDocuments})
	forbid := map[string]string{"no.cedar": `@id("no") forbid (principal, action == Action::"ask", resource);`}
	for name, scene := range map[string]struct {
		set  *policy.Set
		want map[identity.Bureau]bool
	}{
		"no set":        {new(policy.Set), nil},
		"defaults":      {spain(t, nil), nil},
		"forbids alone": {spain(t, forbid), nil},
		"inbound":       {spain(t, persons(policy.Inbound)), nil},
		"one bureau":    {spain(t, persons(policy.Outbound)), map[identity.Bureau]bool{bgr: true}},
		"everybody":     {spain(t, documents), map[identity.Bureau]bool{bgr: true, bel: true, lbn: true}},
		"forbidden":     {spain(t, both(documents, forbid)), map[identity.Bureau]bool{bgr: true, bel: true, lbn: true}},
	} {
		for _, to := range []identity.Bureau{bgr, bel, lbn} {
			might := scene.set.MightAsk(to)
			if might != scene.want[to] {
				t.Errorf("%s: %s might be asked: %v", name, to, might)
			}
			for _, collection := range policy.Collections() {
				d := scene.set.Ask(policy.AskFacts{
					Self: esp, Client: officer(border), To: to, Collection: collection, Purpose: border, IssuingState: string(to), Now: noon,
				})
				if d.Allow && !might {
					t.Errorf("%s: %s may be asked about %s, but might not", name, to, collection)
				}
			}
		}
	}
}

func TestPermitUntilAndOptional(t *testing.T) {
	set := spain(t, permit(t, policy.PermitOptions{
		Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border},
		Optional: true, Until: noon,
	}))
	answer := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon.Add(-time.Second)}
	ask := policy.AskFacts{Self: esp, Client: officer(border), To: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: answer.Now}
	allowed(t, set.Answer(answer), "permit-BGR-persons-ask/answer")
	if d := set.Ask(ask); !d.Allow || !d.Obligations.Optional {
		t.Errorf("allow=%v optional=%v", d.Allow, d.Obligations.Optional)
	}
	answer.Now, ask.Now = noon, noon
	denied(t, set.Answer(answer))
	denied(t, set.Ask(ask))

	if at, ok := set.NextChange(noon.Add(-time.Hour)); !ok || !at.Equal(noon) {
		t.Errorf("next change %v, %v", at, ok)
	}
	if at, ok := set.NextChange(noon); ok {
		t.Errorf("a change after the last one: %v", at)
	}
}

// In a check of a document, the bureau of the state that issued it may be asked, and nobody else.
func TestPermitDocumentsOfAll(t *testing.T) {
	files := permit(t, policy.PermitOptions{Bureau: policy.Everybody, Collection: policy.CollectionDocuments})
	set := spain(t, files)
	ask := policy.AskFacts{Self: esp, Client: officer(identity.Purposes()...), To: bel, Collection: policy.CollectionDocuments, Purpose: border, IssuingState: "BEL", Now: noon}
	allowed(t, set.Ask(ask), "permit-ALL-documents-ask/ask")
	ask.To = bgr
	denied(t, set.Ask(ask))
	ask.IssuingState = ""
	denied(t, set.Ask(ask))
	ask.To, ask.IssuingState, ask.Purpose = bel, "BEL", investigation
	denied(t, set.Ask(ask)) // only the counters' purposes, where none are given
	ask.Purpose, ask.Collection = border, policy.CollectionPersons
	denied(t, set.Ask(ask))

	// A permit that names one bureau is for any document: it may hold one that is ASSOCIATED.
	set = spain(t, both(files, permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionDocuments, Purposes: []recordv1.Purpose{border}, Optional: true})))
	ask = policy.AskFacts{Self: esp, Client: officer(border), To: bgr, Collection: policy.CollectionDocuments, Purpose: border, Now: noon}
	for _, issuer := range []string{"", "BEL", "ESP"} {
		ask.IssuingState = issuer
		if d := set.Ask(ask); !d.Allow || !d.Obligations.Optional {
			t.Errorf("issuer %q: allow=%v optional=%v", issuer, d.Allow, d.Obligations.Optional)
		}
	}
	// As the issuer it is not optional: the other permit obliges to hear it.
	ask.IssuingState = "BGR"
	if d := set.Ask(ask); !d.Allow || d.Obligations.Optional {
		t.Errorf("issuer BGR: allow=%v optional=%v", d.Allow, d.Obligations.Optional)
	}
}

func TestPermitPointerAndPush(t *testing.T) {
	for mode, others := range map[string]string{policy.ModePointer: policy.ModePush, policy.ModePush: policy.ModePointer} {
		set := spain(t, permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Mode: mode, Purposes: []recordv1.Purpose{border, policeCheck}, Until: noon.Add(time.Hour)}))
		send := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: policeCheck, Mode: mode, Now: noon}
		allowed(t, set.Answer(send), "permit-BGR-persons-"+mode+"/send")
		accept := policy.AcceptFacts{Self: esp, From: bgr, Mode: mode, Collection: policy.CollectionPersons, Now: noon}
		allowed(t, set.Accept(accept), "permit-BGR-persons-"+mode+"/accept")

		send.Mode, accept.Mode = others, others
		denied(t, set.Answer(send))
		denied(t, set.Accept(accept))
		send.Mode = policy.ModeAsk
		denied(t, set.Answer(send))
		if o := set.Offers(esp, bgr, noon); len(o) != 1 || o[0].GetCollection() != policy.CollectionDocuments {
			t.Errorf("%s: offered for asking: %v", mode, o)
		}
	}
}

func TestPermitRefuses(t *testing.T) {
	good := policy.PermitOptions{Self: esp, Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}}
	for want, change := range map[string]func(*policy.PermitOptions){
		"nobody is asked about everybody": func(o *policy.PermitOptions) { o.Bureau = policy.Everybody },
		"is the own one":                  func(o *policy.PermitOptions) { o.Bureau = "ESP" },
		`bureau id "bgr"`:                 func(o *policy.PermitOptions) { o.Bureau = "bgr" },
		"own bureau id":                   func(o *policy.PermitOptions) { o.Self = "" },
		`collection "vehicles"`:           func(o *policy.PermitOptions) { o.Collection = "vehicles" },
		`mode "none"`:                     func(o *policy.PermitOptions) { o.Mode = "none" },
		"purposes: none given":            func(o *policy.PermitOptions) { o.Purposes = nil },
		"is none; name one":               func(o *policy.PermitOptions) { o.Purposes = []recordv1.Purpose{border, 0} },
		"optional: only a bureau":         func(o *policy.PermitOptions) { o.Optional, o.Directions = true, policy.Inbound },
		"until: give":                     func(o *policy.PermitOptions) { o.Until = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) },
		"directions":                      func(o *policy.PermitOptions) { o.Directions = 7 },
		"with mode push": func(o *policy.PermitOptions) {
			o.Bureau, o.Collection, o.Mode = policy.Everybody, policy.CollectionDocuments, policy.ModePush
		},
		"ALL inbound": func(o *policy.PermitOptions) {
			o.Bureau, o.Collection, o.Directions = policy.Everybody, policy.CollectionDocuments, policy.Inbound
		},
	} {
		o := good
		change(&o)
		if _, text, err := policy.Permit(o); err == nil || text != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}

func offer(collection string, ownOnly bool, purposes ...recordv1.Purpose) *queryv1.CollectionOffer {
	return &queryv1.CollectionOffer{Collection: collection, Mode: queryv1.SharingMode_SHARING_MODE_ASK, OwnIssuedOnly: ownOnly, Purposes: purposes}
}

func TestOffers(t *testing.T) {
	all := identity.Purposes()
	without := []*queryv1.CollectionOffer{offer("documents", true, all...)}
	set := spain(t, both(
		permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border, visa}}),
		permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionDocuments, Purposes: []recordv1.Purpose{border}, Until: noon}),
	))
	if diff := cmp.Diff(without, set.Offers(esp, lbn, noon), protocmp.Transform()); diff != "" {
		t.Errorf("to LBN, without a permit (-want +got):\n%s", diff)
	}
	want := []*queryv1.CollectionOffer{
		offer("documents", false, border),
		offer("documents", true, all[1:]...),
		offer("persons", false, border, visa),
	}
	if diff := cmp.Diff(want, set.Offers(esp, bgr, noon.Add(-time.Minute)), protocmp.Transform()); diff != "" {
		t.Errorf("to BGR (-want +got):\n%s", diff)
	}
	want = []*queryv1.CollectionOffer{offer("documents", true, all...), offer("persons", false, border, visa)}
	if diff := cmp.Diff(want, set.Offers(esp, bgr, noon), protocmp.Transform()); diff != "" {
		t.Errorf("to BGR, the documents permit over (-want +got):\n%s", diff)
	}
	if o := set.Offers(esp, esp, noon); o != nil {
		t.Errorf("to itself: %v", o)
	}
	if o := new(policy.Set).Offers(esp, bgr, noon); o != nil {
		t.Errorf("by no policies: %v", o)
	}
}

// What policies single out by agency, role or state is offered, as some question would be answered.
func TestOffersOfWhatIsSingledOut(t *testing.T) {
	for name, rule := range map[string]string{
		"an agency":         `permit (principal in Agency::"BGR/border-police", action == Action::"answer", resource == Collection::"ESP/persons");`,
		"a requester":       `permit (principal == Requester::"BGR/border-police/officer", action == Action::"answer", resource == Collection::"ESP/persons");`,
		"a role":            `permit (principal in Bureau::"BGR", action == Action::"answer", resource == Collection::"ESP/persons") when { principal.role == Role::"officer" };`,
		"our nationals":     `permit (principal in Bureau::"BGR", action == Action::"answer", resource == Collection::"ESP/persons") when { context.nationality == "ESP" };`,
		"others' nationals": `permit (principal in Bureau::"BGR", action == Action::"answer", resource == Collection::"ESP/persons") when { ["SYR", "IRQ"].contains(context.nationality) };`,
		"another issuer":    `permit (principal in Bureau::"BGR", action == Action::"answer", resource == Collection::"ESP/persons") when { context.issuing_state == "SYR" };`,
	} {
		set := loadText(t, `@id("only") `+rule)
		want := []*queryv1.CollectionOffer{offer("persons", false, identity.Purposes()...)}
		if diff := cmp.Diff(want, set.Offers(esp, bgr, noon), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if o := set.Offers(esp, lbn, noon); o != nil {
			t.Errorf("%s: to LBN: %v", name, o)
		}
	}
}

func TestPermitted(t *testing.T) {
	set := spain(t, both(
		permit(t, policy.PermitOptions{Bureau: policy.Everybody, Collection: policy.CollectionDocuments}),
		both(
			permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border, investigation}, Until: noon}),
			map[string]string{"visa.cedar": `@id("visa") permit (principal in Agency::"ESP/embassy-sofia", action == Action::"ask", resource == Collection::"BGR/persons")
when { principal.role == Role::"officer" && context.purpose == Purpose::"visa" };`},
		)))
	documents := &adminv1.PermittedAsk{Collection: "documents", Purposes: policy.CounterPurposes()}
	want := []*adminv1.PermittedAsk{documents, {Collection: "persons", Purposes: []recordv1.Purpose{border, investigation, visa}}}
	if diff := cmp.Diff(want, set.Permitted(esp, bgr, noon.Add(-time.Minute)), protocmp.Transform()); diff != "" {
		t.Errorf("BGR (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]*adminv1.PermittedAsk{documents}, set.Permitted(esp, lbn, noon), protocmp.Transform()); diff != "" {
		t.Errorf("LBN (-want +got):\n%s", diff)
	}
}

// The policies of the federation's name hold for its members.
func TestFederationNamed(t *testing.T) {
	set := loadText(t, `@id("members") permit (principal in Federation::"demo.entente", action == Action::"answer", resource == Collection::"ESP/documents");`)
	ask := policy.AnswerFacts{Self: esp, From: bgr, Federation: fed, Collection: policy.CollectionDocuments, Purpose: border, Now: noon}
	allowed(t, set.Answer(ask), "members")
	ask.Federation = "other.entente"
	denied(t, set.Answer(ask))
	ask.Federation = ""
	denied(t, set.Answer(ask))
}
