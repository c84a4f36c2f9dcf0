package ask

import (
	"testing"

	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// What a state may say of a document, and of whose.
func TestCredible(t *testing.T) {
	const (
		none       = recordv1.DocumentStatus_DOCUMENT_STATUS_UNSPECIFIED
		stolen     = recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN
		associated = recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED
		seen       = recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN
	)
	for _, c := range []struct {
		name         string
		asked, claim string // issuers
		status       recordv1.DocumentStatus
		from         identity.Bureau
		want         bool
	}{
		{"its own passport stolen", "ESP", "ESP", stolen, "ESP", true},
		{"its own, the issuer could not be read", "", "ESP", stolen, "ESP", true},
		{"its own by an MRZ code", "GBR", "GBD", stolen, "GBR", true},
		{"another's passport stolen", "LBN", "LBN", stolen, "ESP", false},
		{"another's passport, said to be its own", "LBN", "ESP", stolen, "ESP", false},
		{"no issuer named", "ESP", "", stolen, "ESP", false},
		{"no status named, to have it taken away", "LBN", "LBN", none, "ESP", false},
		{"a document of a person of interest", "LBN", "LBN", associated, "ESP", true},
		{"the same, issuer not known to the list", "LBN", "", associated, "ESP", true},
		{"a person of interest's document of another state", "LBN", "FRA", associated, "ESP", false},
		{"a counterfeit seen", "LBN", "LBN", seen, "ESP", true},
	} {
		hit := &hitv1.Hit{Issuer: c.claim, DocumentStatus: c.status}
		if got := credible(hit, &queryv1.DocumentQuery{Issuer: c.asked}, c.from); got != c.want {
			t.Errorf("%s: believed %v, want %v", c.name, got, c.want)
		}
	}
	twoTongues := &hitv1.Hit{Issuer: "LBN", DocumentStatus: associated, Subject: &hitv1.Hit_Document{Document: &recordv1.Document{Issuer: "LBN", Status: stolen}}}
	if credible(twoTongues, &queryv1.DocumentQuery{Issuer: "LBN"}, "ESP") {
		t.Error("a hit that says one thing in its head and another in its body was believed")
	}
}

// A claim that may be made does not ask for more than it gives ground for.
func TestKeepToItsKind(t *testing.T) {
	associated := &hitv1.Hit{Kind: hitv1.HitKind_HIT_KIND_DOCUMENT, DocumentStatus: recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED, Action: recordv1.Action_ACTION_SEIZE_DOCUMENT}
	keepToItsKind(associated)
	if associated.GetAction() != recordv1.Action_ACTION_INFORM {
		t.Errorf("a valid document is to be taken away: %s", associated.GetAction())
	}
	person := &hitv1.Hit{Kind: hitv1.HitKind_HIT_KIND_PERSON, DocumentStatus: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, Issuer: "LBN"}
	keepToItsKind(person)
	if person.GetDocumentStatus() != 0 || person.GetIssuer() != "" {
		t.Errorf("a person with a document's status: %v", person)
	}
}
