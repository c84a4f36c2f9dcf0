package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
)

func TestMetadataTravelsWithAFault(t *testing.T) {
	plain := fault.New(codes.InvalidArgument, fault.MalformedRequest, "csr", "make it anew")
	err := fmt.Errorf("wrapped: %w", fault.With(plain, fault.ActIDKey, "a1"))
	if fault.Value(err, fault.ActIDKey) != "a1" || fault.FieldOf(err) != "csr" || status.Code(err) != codes.InvalidArgument || len(status.Convert(fault.From(err)).Details()) != 2 {
		t.Errorf("%v: act %q, field %q", err, fault.Value(err, fault.ActIDKey), fault.FieldOf(err))
	}
	if fault.Value(plain, fault.ActIDKey) != "" {
		t.Error("the fault that it was made of changed")
	}
	inner := errors.New("inner")
	if got := fault.With(inner, "k", "v"); got != inner || fault.Value(got, "k") != "" || fault.With(nil, "k", "v") != nil {
		t.Errorf("an inner error became %v", got)
	}
}
