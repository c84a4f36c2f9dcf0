package api_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

const (
	byName  = adminv1.EvidenceClass_EVIDENCE_CLASS_NAME
	byBirth = adminv1.EvidenceClass_EVIDENCE_CLASS_BIRTH_DATE
)

// TestThePointIsSetAndBooked with what it was and what it is.
func TestThePointIsSetAndBooked(t *testing.T) {
	h := belgium(t)
	operator := adminv1.NewAdminServiceClient(h.as(t, staff(identity.RoleOperator, "ann")))
	set := func(req *adminv1.SetOperatingPointRequest) *adminv1.OperatingPoint {
		t.Helper()
		resp, err := operator.SetOperatingPoint(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetPoint()
	}
	before, err := operator.GetOperatingPoint(t.Context(), &adminv1.GetOperatingPointRequest{})
	if err != nil || len(before.GetPoint().GetClasses()) != 2 || before.GetMeasurement().GetMeasuredAt() != nil {
		t.Fatalf("%v, %v", before, err)
	}
	was := before.GetPoint().GetClasses()[1]
	is := set(&adminv1.SetOperatingPointRequest{EvidenceClass: byBirth, AlertsPerThousand: 0.125, Together: proto.Uint64(2_000_000)})
	if c := is.GetClasses()[1]; c.GetAlertsPerThousand() != 0.125 || c.GetThreshold() <= was.GetThreshold() || is.GetTogether() != 2_000_000 {
		t.Errorf("set to %v, was %v", is, was)
	}
	if c := is.GetClasses()[0]; c.GetAlertsPerThousand() != c.GetDefaultAlertsPerThousand() {
		t.Errorf("the other class is %v", c)
	}
	did := h.scribe.last(t)
	if did.Operation != policy.OperationSetPoint || did.Object != "birth date: 0.25 to 0.125 alerts in 1000; together: 10000 to 2000000 names" {
		t.Errorf("in the books: %+v", did)
	}
	// What is not given stays; 0 takes the default.
	if is = set(&adminv1.SetOperatingPointRequest{EvidenceClass: byName, AlertsPerThousand: 5}); is.GetTogetherSet() != 2_000_000 {
		t.Errorf("set to %v", is)
	}
	if is = set(&adminv1.SetOperatingPointRequest{Together: proto.Uint64(0)}); is.GetTogetherSet() != 0 || is.GetTogether() != before.GetPoint().GetTogether() {
		t.Errorf("set to %v", is)
	}
	status, err := operator.GetStatus(t.Context(), &adminv1.GetStatusRequest{})
	if err != nil || !proto.Equal(status.GetOperatingPoint(), is) {
		t.Errorf("%v, %v", status.GetOperatingPoint(), err)
	}
}

// TestNoSuchPoint: every refusal names the field and what to write, and nothing is booked as done.
func TestNoSuchPoint(t *testing.T) {
	h := belgium(t)
	operator := adminv1.NewAdminServiceClient(h.as(t, staff(identity.RoleOperator, "ann")))
	for what, c := range map[string]struct {
		req     *adminv1.SetOperatingPointRequest
		field   string
		message string
	}{
		"nothing":          {&adminv1.SetOperatingPointRequest{}, "evidence_class", "give a class"},
		"alerts of none":   {&adminv1.SetOperatingPointRequest{AlertsPerThousand: 1}, "evidence_class", "name or birth-date"},
		"no alerts":        {&adminv1.SetOperatingPointRequest{EvidenceClass: byName}, "alerts_per_thousand", "above 0"},
		"negative":         {&adminv1.SetOperatingPointRequest{EvidenceClass: byName, AlertsPerThousand: -1}, "alerts_per_thousand", "above 0"},
		"not a number":     {&adminv1.SetOperatingPointRequest{EvidenceClass: byBirth, AlertsPerThousand: math.NaN()}, "alerts_per_thousand", "above 0"},
		"everybody, twice": {&adminv1.SetOperatingPointRequest{EvidenceClass: byBirth, AlertsPerThousand: 2000}, "alerts_per_thousand", "at most 1000"},
		"infinite":         {&adminv1.SetOperatingPointRequest{EvidenceClass: byBirth, AlertsPerThousand: math.Inf(1)}, "alerts_per_thousand", "at most 1000"},
		"next to nobody":   {&adminv1.SetOperatingPointRequest{EvidenceClass: byBirth, AlertsPerThousand: 1e-300}, "alerts_per_thousand", "one traveller in a million"},
		"all of mankind":   {&adminv1.SetOperatingPointRequest{Together: proto.Uint64(1 << 63)}, "together", "at most 10000000000"},
	} {
		_, err := operator.SetOperatingPoint(t.Context(), c.req)
		isFault(t, what, err, codes.InvalidArgument, fault.OperatingPointUnfit)
		if fault.FieldOf(err) != c.field || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := operator.SetOperatingPoint(t.Context(), &adminv1.SetOperatingPointRequest{EvidenceClass: 9, AlertsPerThousand: 1})
	isFault(t, "no such class", err, codes.InvalidArgument, fault.MalformedRequest)
	// What cannot be booked does not hold.
	h.scribe.breaks(errors.New("disk full"))
	if _, err := operator.SetOperatingPoint(t.Context(), &adminv1.SetOperatingPointRequest{EvidenceClass: byName, AlertsPerThousand: 7}); err == nil {
		t.Error("set without books")
	}
	if got := h.point.Show().GetClasses()[0].GetAlertsPerThousand(); got == 7 {
		t.Error("what is not booked holds")
	}
}

// TestThePointMayNeedTwo persons: who sets it high enough blinds the border.
func TestThePointMayNeedTwo(t *testing.T) {
	h := belgium(t, policy.OperationSetPoint)
	ann, bob := h.as(t, staff(identity.RoleOperator, "ann")), h.as(t, staff(identity.RoleOperator, "bob"))
	set := func(alerts float64) error {
		_, err := adminv1.NewAdminServiceClient(ann).SetOperatingPoint(t.Context(), &adminv1.SetOperatingPointRequest{EvidenceClass: byName, AlertsPerThousand: alerts})
		return err
	}
	id := wanted(t, "by one", set(0.01))
	if err := approve(t, bob, id); err != nil {
		t.Fatal(err)
	}
	wanted(t, "approved for another", set(0.02))
	if err := set(0.01); err != nil {
		t.Error(err)
	}
	if did := h.scribe.last(t); did.Second == "" || !strings.Contains(did.Object, "0.01") {
		t.Errorf("in the books: %+v", did)
	}
}
