package policy_test

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The scenes play between Spain (the own bureau), Bulgaria, Belgium and Lebanon.
const (
	esp identity.Bureau     = "ESP"
	bgr identity.Bureau     = "BGR"
	bel identity.Bureau     = "BEL"
	lbn identity.Bureau     = "LBN"
	fed identity.Federation = "demo.entente"
)

const (
	border        = recordv1.Purpose_PURPOSE_BORDER_CONTROL
	policeCheck   = recordv1.Purpose_PURPOSE_POLICE_CHECK
	visa          = recordv1.Purpose_PURPOSE_VISA
	investigation = recordv1.Purpose_PURPOSE_INVESTIGATION
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// spain loads Spain's default policies with more files.
func spain(t testing.TB, more map[string]string) *policy.Set {
	t.Helper()
	set, err := policy.Load(spainFolder(t, more))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func spainFolder(t testing.TB, more map[string]string) fstest.MapFS {
	t.Helper()
	files, err := policy.Defaults(esp, fed)
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: text}
	}
	for name, text := range more {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return folder
}

// permit is the file that a permit of Spain makes.
func permit(t testing.TB, o policy.PermitOptions) map[string]string {
	t.Helper()
	if o.Self == "" {
		o.Self = esp
	}
	name, text, err := policy.Permit(o)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{name: string(text)}
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// loadText loads one file.
func loadText(t testing.TB, text string) *policy.Set {
	t.Helper()
	set, err := policy.Load(fstest.MapFS{"test.cedar": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func officer(purposes ...recordv1.Purpose) identity.Identity {
	return identity.Client(fed, esp, "border-police", identity.RoleOfficer, "officer-7", purposes)
}

// allowed fails unless a decision allows by exactly these rules.
func allowed(t *testing.T, d policy.Decision, rules ...string) {
	t.Helper()
	if !d.Allow || d.Err != nil {
		t.Fatalf("denied by %v (error %v), want it allowed by %v", d.Rules, d.Err, rules)
	}
	if diff := cmp.Diff(rules, d.Rules); diff != "" {
		t.Errorf("deciding rules (-want +got):\n%s", diff)
	}
}

// denied fails unless a decision denies by exactly these rules, and not for an error.
func denied(t *testing.T, d policy.Decision, rules ...string) {
	t.Helper()
	if d.Allow || d.Err != nil {
		t.Fatalf("allow=%v by %v, error %v; want it denied by %v", d.Allow, d.Rules, d.Err, rules)
	}
	if diff := cmp.Diff(rules, d.Rules); diff != "" {
		t.Errorf("deciding rules (-want +got):\n%s", diff)
	}
}

// undecided fails unless a decision denies because of an error that says want.
func undecided(t *testing.T, d policy.Decision, want string) {
	t.Helper()
	if d.Allow || d.Err == nil || !strings.Contains(d.Err.Error(), want) {
		t.Fatalf("allow=%v, error %v; want a denial that says %q", d.Allow, d.Err, want)
	}
}
