package register_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"maps"
	"math/big"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/register"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	fed    identity.Federation = "demo.entente"
	bel    identity.Bureau     = "BEL"
	border                     = recordv1.Purpose_PURPOSE_BORDER_CONTROL
	visa                       = recordv1.Purpose_PURPOSE_VISA
	police                     = recordv1.Purpose_PURPOSE_POLICE_CHECK
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// state is the durable state: what is in it has been written.
type state struct {
	mu     sync.Mutex
	rows   map[string][]byte
	broken error
}

func (s *state) PutState(_ context.Context, room, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	s.rows[room+"/"+key] = bytes.Clone(value)
	return nil
}

func (s *state) ListState(_ context.Context, room string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	for key, value := range s.rows {
		if rest, ok := strings.CutPrefix(key, room+"/"); ok {
			all[rest] = bytes.Clone(value)
		}
	}
	return all, s.broken
}

// issued is what the authority says that it has issued.
type issued []*x509.Certificate

func (i issued) Issued() ([]*x509.Certificate, error) { return i, nil }

// house is a bureau with its register.
type house struct {
	t      testing.TB
	state  *state
	issued issued
	log    bytes.Buffer
	now    time.Time
	serial int64
	key    *ecdsa.PrivateKey
	*register.Register
}

func belgium(t testing.TB) *house {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, state: &state{rows: map[string][]byte{}}, now: noon, key: key}
	h.restart()
	return h
}

func (h *house) config() register.Config {
	return register.Config{
		Federation: fed, Bureau: bel, State: h.state, Key: bytes.Repeat([]byte{7}, 32), Issued: h.issued,
		Now: func() time.Time { return h.now }, Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
	}
}

// restart opens the register anew from what is durable.
func (h *house) restart() {
	h.t.Helper()
	var err error
	if h.Register, err = register.Open(h.t.Context(), h.config()); err != nil {
		h.t.Fatal(err)
	}
}

// certify makes a leaf as the authority would.
func (h *house) certify(id identity.Identity) *x509.Certificate {
	h.t.Helper()
	h.serial++
	var units []string
	for _, p := range id.Purposes {
		units = append(units, identity.PurposeUnitPrefix+identity.PurposeName(p))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(h.serial), URIs: []*url.URL{id.URI()}, Subject: pkix.Name{OrganizationalUnit: units},
		NotBefore: h.now.Add(-2 * time.Hour), NotAfter: h.now.Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, h.key.Public(), h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		h.t.Fatal(err)
	}
	return leaf
}

// enrol is what the enrolment service does.
func (h *house) enrol(id identity.Identity) *x509.Certificate {
	h.t.Helper()
	leaf := h.certify(id)
	if err := h.Enrolled(h.t.Context(), id, admin(), leaf); err != nil {
		h.t.Fatal(err)
	}
	return leaf
}

func (h *house) revoke(id identity.Identity) {
	h.t.Helper()
	if err := h.Revoke(h.t.Context(), id, admin(), "card stolen"); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) fault(err error, code codes.Code, reason fault.Reason) {
	h.t.Helper()
	if got, _ := fault.ReasonOf(err); got != reason || status.Code(err) != code {
		h.t.Errorf("%v, want %s %s", err, code, reason)
	}
}

func officer(name string, purposes ...recordv1.Purpose) identity.Identity {
	return identity.Client(fed, bel, "border-police", identity.RoleOfficer, name, purposes)
}

func admin() identity.Identity {
	return identity.Client(fed, bel, "bureau", identity.RolePKIAdmin, "pki-admin-1", nil)
}

func TestARevocationReachesEveryCertificateAndLasts(t *testing.T) {
	h := belgium(t)
	jansen, peeters := officer("jansen", border), officer("peeters", border)
	first, other := h.enrol(jansen), h.enrol(peeters)
	renewed := h.certify(jansen)
	if err := h.Renewed(t.Context(), jansen, first, renewed); err != nil {
		t.Fatal(err)
	}
	for _, leaf := range []*x509.Certificate{first, renewed, other} {
		if h.Revoked(leaf) {
			t.Fatalf("%s is revoked before anybody was", leaf.SerialNumber)
		}
	}
	h.revoke(jansen)
	h.revoke(jansen) // a second time changes nothing
	for range 2 {
		if !h.Revoked(first) || !h.Revoked(renewed) || !h.Revoked(h.certify(jansen)) {
			t.Error("a certificate of who was revoked is good")
		}
		h.fault(h.Admit(jansen), codes.Unauthenticated, fault.ClientRevoked)
		if h.Revoked(other) || h.Admit(peeters) != nil {
			t.Error("somebody else was revoked too")
		}
		if got := h.Narrow(jansen).Purposes; got != nil {
			t.Errorf("who was revoked may claim %v", got)
		}
		h.restart()
	}
}

func TestARenewalThatWasOnItsWayIsNotHandedOver(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border)
	old := h.enrol(jansen)
	made := h.certify(jansen) // the authority has made it; now comes the revocation
	h.revoke(jansen)
	h.fault(h.Renewed(t.Context(), jansen, old, made), codes.Unauthenticated, fault.ClientRevoked)
}

func TestEnrolledAgainTheOldCertificatesStayDead(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border)
	stolen := h.enrol(jansen)
	h.fault(h.Enrolled(t.Context(), jansen, admin(), h.certify(jansen)), codes.AlreadyExists, fault.ClientExists)
	h.revoke(jansen)
	fresh := h.enrol(jansen)
	for range 2 {
		if h.Revoked(fresh) || h.Admit(jansen) != nil {
			t.Error("the new certificate is not good")
		}
		if !h.Revoked(stolen) {
			t.Error("the stolen certificate is good again")
		}
		h.restart()
	}
	// The thief cannot renew what was stolen, the officer renews what is new.
	h.fault(h.Renewed(t.Context(), jansen, stolen, h.certify(jansen)), codes.Unauthenticated, fault.ClientRevoked)
	next := h.certify(jansen)
	if err := h.Renewed(t.Context(), jansen, fresh, next); err != nil || h.Revoked(next) || h.Revoked(fresh) {
		t.Errorf("renewed: %v, next revoked %t", err, h.Revoked(next))
	}
	h.restart()
	if h.Revoked(next) || !h.Revoked(stolen) {
		t.Error("a restart has changed who is good")
	}
}

func TestOnlyWhoIsEnrolledCanBeRevoked(t *testing.T) {
	h := belgium(t)
	h.fault(h.Revoke(t.Context(), officer("nobody"), admin(), "x"), codes.NotFound, fault.ClientNotFound)
	for name, err := range map[string]error{
		"a node":                     h.Enrolled(t.Context(), identity.Node(fed, bel, "1"), admin(), h.certify(identity.Node(fed, bel, "1"))),
		"somebody else's leaf":       h.Enrolled(t.Context(), officer("jansen"), admin(), h.certify(officer("peeters"))),
		"no leaf":                    h.Enrolled(t.Context(), officer("jansen"), admin(), nil),
		"another bureau's":           h.Enrolled(t.Context(), identity.Client(fed, "ESP", "a", identity.RoleOfficer, "b", nil), admin(), nil),
		"a renewal of somebody else": h.Renewed(t.Context(), officer("jansen"), h.certify(officer("jansen")), h.certify(officer("peeters"))),
	} {
		if err == nil {
			t.Errorf("%s was entered", name)
		}
	}
	if len(h.Clients()) != 0 {
		t.Errorf("entered: %v", h.Clients())
	}
}

func TestWhoWasCertifiedBeforeIsTakenOver(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border, visa)
	leaf := h.certify(jansen)
	h.issued = issued{leaf, h.certify(officer("peeters", border)), h.certify(jansen)}
	h.restart()
	if got := h.Clients(); len(got) != 2 || got[0].GetName() != "jansen" || got[0].GetEnrolledBy() != "" ||
		!cmp.Equal(got[0].GetPurposes(), []string{"border-control", "visa"}) || !got[0].GetEnrolledAt().AsTime().Equal(noon.Add(-2*time.Hour)) {
		t.Fatalf("taken over %v", got)
	}
	// So it can be revoked although it has never come, and stays so although the authority goes on
	// listing it.
	h.revoke(jansen)
	h.restart()
	if !h.Revoked(leaf) || len(h.Clients()) != 2 {
		t.Error("a restart has taken the revocation back")
	}
}

func TestFirstSight(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border)
	leaf := h.certify(jansen)
	if got := h.Narrow(jansen); !cmp.Equal(got, jansen) || h.Admit(jansen) != nil {
		t.Errorf("unknown, and narrowed to %v", got)
	}
	h.state.broken = errors.New("disk full")
	if h.Revoked(leaf) || len(h.Clients()) != 0 || !strings.Contains(h.log.String(), "disk full") {
		t.Errorf("a list that cannot be written kept a client out, or nobody was told: %s", &h.log)
	}
	h.state.broken = nil
	if h.Revoked(leaf) || len(h.Clients()) != 1 {
		t.Error("not entered at first sight")
	}
	h.restart()
	if len(h.Clients()) != 1 {
		t.Error("first sight was not durable")
	}
	for name, id := range map[string]identity.Identity{
		"another bureau's client": identity.Client(fed, "ESP", "policia", identity.RoleOfficer, "gomez", nil),
		"a node":                  identity.Node(fed, bel, "1"),
	} {
		if !h.Revoked(h.certify(id)) {
			t.Errorf("%s is good", name)
		}
	}
	if !h.Revoked(nil) || !h.Revoked(&x509.Certificate{}) {
		t.Error("nobody is good")
	}
}

// TestPurposesMustStandInBoth: what a certificate says more than the register counts nothing, and
// the other way round.
func TestPurposesMustStandInBoth(t *testing.T) {
	h := belgium(t)
	h.enrol(officer("jansen", border, visa))
	for name, c := range map[string]struct{ holds, want []recordv1.Purpose }{
		"the same":         {[]recordv1.Purpose{border, visa}, []recordv1.Purpose{border, visa}},
		"fewer":            {[]recordv1.Purpose{visa}, []recordv1.Purpose{visa}},
		"more":             {[]recordv1.Purpose{border, police}, []recordv1.Purpose{border}},
		"others":           {[]recordv1.Purpose{police}, nil},
		"none":             {nil, nil},
		"in another order": {[]recordv1.Purpose{visa, border}, []recordv1.Purpose{visa, border}},
	} {
		if got := h.Narrow(officer("jansen", c.holds...)).Purposes; !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestNothingIsInForceThatIsNotDurable(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border)
	leaf := h.enrol(jansen)
	h.state.broken = errors.New("disk full")
	if err := h.Revoke(t.Context(), jansen, admin(), "x"); err == nil || h.Revoked(leaf) {
		t.Errorf("revoked: %v", err)
	}
	if err := h.Enrolled(t.Context(), officer("peeters"), admin(), h.certify(officer("peeters"))); err == nil || len(h.Clients()) != 1 {
		t.Errorf("enrolled: %v", err)
	}
}

// TestARowThatCannotBeReadStopsTheNode: it may be that of somebody who was revoked.
func TestARowThatCannotBeReadStopsTheNode(t *testing.T) {
	h := belgium(t)
	h.enrol(officer("jansen", border))
	h.revoke(officer("jansen"))
	h.enrol(officer("peeters", border))
	var keys []string
	for key := range h.state.rows {
		keys = append(keys, key)
		if strings.Contains(key, "jansen") || strings.Contains(key, "border") {
			t.Errorf("the state's key %s names the client", key)
		}
	}
	good := maps.Clone(h.state.rows)
	for name, value := range map[string]string{
		"nothing":             "",
		"no row":              "?",
		"an unknown field":    `{"version":1,"agency":"a","role":"officer","name":"b","enrolled_at":"2026-11-22T12:00:00Z","suspended":true}`,
		"a later version":     `{"version":2,"agency":"a","role":"officer","name":"b","enrolled_at":"2026-11-22T12:00:00Z"}`,
		"a role that is none": `{"version":1,"agency":"a","role":"king","name":"b","enrolled_at":"2026-11-22T12:00:00Z"}`,
		"somebody else's row": string(good[keys[1]]),
		"two rows":            string(good[keys[0]]) + string(good[keys[0]]),
	} {
		h.state.rows = maps.Clone(good)
		h.state.rows[keys[0]] = []byte(value)
		if _, err := register.Open(t.Context(), h.config()); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(keys[0], "clients/")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.state.rows = good
	config := h.config()
	config.Key = config.Key[:31]
	if _, err := register.Open(t.Context(), config); err == nil {
		t.Error("opened with half a key")
	}
	config.Key = bytes.Repeat([]byte{8}, 32)
	if _, err := register.Open(t.Context(), config); err == nil {
		t.Error("opened with another node's key")
	}
}

func TestPseudonyms(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border)
	form := regexp.MustCompile(`^o-[a-z2-7]{26}$`)
	seen := map[string]string{}
	for name, p := range map[string]string{
		"jansen to ESP":              h.Pseudonym(jansen, "", "ESP"),
		"jansen to LBN":              h.Pseudonym(jansen, "", "LBN"),
		"peeters to ESP":             h.Pseudonym(officer("peeters"), "", "ESP"),
		"post 7 of jansen's to ESP":  h.Pseudonym(jansen, "post-7", "ESP"),
		"post 8 of jansen's to ESP":  h.Pseudonym(jansen, "post-8", "ESP"),
		"a name that runs together":  h.Pseudonym(officer("jansenpost-7"), "", "ESP"),
		"jansen to ESP, other roles": h.Pseudonym(identity.Client(fed, bel, "border-police", identity.RoleAnalyst, "jansen", nil), "", "ESP"),
	} {
		if !form.MatchString(p) {
			t.Errorf("%s: %q", name, p)
		}
		if other, taken := seen[p]; taken {
			t.Errorf("%s and %s are one: %s", name, other, p)
		}
		seen[p] = name
	}
	before := h.Pseudonym(jansen, "post-7", "ESP")
	jansen.Purposes = nil // what is in the certificate beside the name does not count
	h.restart()
	if got := h.Pseudonym(jansen, " post-7 ", "ESP"); got != before {
		t.Errorf("%s was %s before the restart", got, before)
	}
	config := h.config()
	config.Key = bytes.Repeat([]byte{8}, 32)
	config.State = &state{rows: map[string][]byte{}}
	stranger, err := register.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if stranger.Pseudonym(jansen, "post-7", "ESP") == before {
		t.Error("who has not the key makes the same pseudonym")
	}
}

func TestManyAtOnce(t *testing.T) {
	h := belgium(t)
	jansen := officer("jansen", border)
	leaf := h.certify(jansen)
	others := make([]*x509.Certificate, 8)
	for i := range others {
		others[i] = h.certify(jansen)
	}
	var wg sync.WaitGroup
	entered := make(chan error, len(others))
	for _, other := range others {
		wg.Go(func() { entered <- h.Enrolled(t.Context(), jansen, admin(), other) })
		wg.Go(func() { h.Revoked(leaf); h.Narrow(jansen); h.Clients(); _ = h.Admit(jansen) })
	}
	wg.Wait()
	close(entered)
	won := 0
	for err := range entered {
		if err == nil {
			won++
		}
	}
	if won > 1 || len(h.Clients()) != 1 { // none if the first sight was before
		t.Errorf("%d enrolments of one client", won)
	}
}

// BenchmarkRevoked is what the register adds to every handshake and every call.
func BenchmarkRevoked(b *testing.B) {
	h := belgium(b)
	leaf := h.enrol(officer("jansen", border))
	for b.Loop() {
		if h.Revoked(leaf) {
			b.Fatal("revoked")
		}
	}
}

func BenchmarkPseudonym(b *testing.B) {
	h := belgium(b)
	jansen := officer("jansen", border)
	for b.Loop() {
		h.Pseudonym(jansen, "post-7", "ESP")
	}
}
