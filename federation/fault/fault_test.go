package fault_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

func TestFaultCarriesReasonFieldAndSentence(t *testing.T) {
	err := fault.New(codes.InvalidArgument, fault.UnknownCountry, "document.issuer", "give the code as the document has it")
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("code %v", status.Code(err))
	}
	reason, ok := fault.ReasonOf(err)
	if !ok || reason != fault.UnknownCountry || fault.FieldOf(err) != "document.issuer" {
		t.Errorf("reason %v (%t), field %q", reason, ok, fault.FieldOf(err))
	}
	var bad *errdetails.BadRequest
	for _, d := range status.Convert(err).Details() {
		if b, ok := d.(*errdetails.BadRequest); ok {
			bad = b
		}
	}
	if len(bad.GetFieldViolations()) != 1 {
		t.Errorf("bad request %v", bad)
	}
	if reason, ok := fault.ReasonOf(nil); ok || reason != "" {
		t.Error("no error has a reason")
	}
}

func TestOnlyFaultsLeave(t *testing.T) {
	foreign, _ := status.New(codes.Unauthenticated, "inner words").WithDetails(&errdetails.ErrorInfo{Reason: "IDENTITY_OUTDATED", Domain: "entente.mtls"})
	cases := map[string]struct {
		err    error
		code   codes.Code
		reason fault.Reason
	}{
		"an inner error":       {errors.New("sqlite: disk I/O error on persons of Jan Peeters"), codes.Internal, fault.Internal},
		"a library's status":   {status.Error(codes.Unavailable, "transport is closing at 10.0.0.3"), codes.Internal, fault.Internal},
		"a status OK as error": {fmt.Errorf("odd: %w", errors.New("ok")), codes.Internal, fault.Internal},
		"a deadline":           {fmt.Errorf("store: %w", context.DeadlineExceeded), codes.DeadlineExceeded, fault.DeadlineExceeded},
		"a cancellation":       {fmt.Errorf("store: %w", context.Canceled), codes.Canceled, fault.Canceled},
		"a wrapped fault":      {fmt.Errorf("answer for Jan Peeters: %w", fault.New(codes.Unavailable, fault.BooksUnavailable, "", "try again")), codes.Unavailable, fault.BooksUnavailable},
		"joined faults":        {errors.Join(errors.New("inner"), fault.New(codes.Unavailable, fault.BooksUnavailable, "", "try again")), codes.Unavailable, fault.BooksUnavailable},
		"an expired leaf":      {foreign.Err(), codes.Unauthenticated, fault.CertificateExpired},
		"a leaf not accepted":  {status.Error(codes.Unauthenticated, "root of LBN unknown"), codes.Unauthenticated, fault.IdentityUnverified},
	}
	for name, c := range cases {
		got := fault.From(c.err)
		reason, _ := fault.ReasonOf(got)
		if status.Code(got) != c.code || reason != c.reason {
			t.Errorf("%s: %v, want %v %v", name, got, c.code, c.reason)
		}
		for _, inner := range []string{"Peeters", "sqlite", "10.0.0.3", "inner", "LBN"} {
			if strings.Contains(status.Convert(got).Message(), inner) {
				t.Errorf("%s: %q left the node", name, inner)
			}
		}
	}
	if fault.From(nil) != nil {
		t.Error("no error became one")
	}
}

func TestViolationsNameTheFieldAndNotTheValue(t *testing.T) {
	err := protovalidate.Validate(&queryv1.PersonQuery{Name: "Jan Peeters", BirthDate: "1990-13-Peeters", Nationality: "Peeters"})
	if err == nil {
		t.Fatal("a malformed person is valid")
	}
	got := fault.From(fmt.Errorf("check: %w", err))
	if status.Code(got) != codes.InvalidArgument || fault.FieldOf(got) != "birth_date" {
		t.Errorf("error %v, field %q", got, fault.FieldOf(got))
	}
	if text := fmt.Sprint(status.Convert(got).Proto()); strings.Contains(text, "Peeters") {
		t.Errorf("a value left the node: %s", text)
	}
}

// TestEveryReasonIsInTheCatalogue reads the constants from the source: one that is forgotten in the
// catalogue is a reason that nobody can look up.
func TestEveryReasonIsInTheCatalogue(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, e := range fault.Catalogue() {
		known[string(e.Reason)] = true
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if kind, isIdent := spec.Type.(*ast.Ident); !ok || !isIdent || kind.Name != "Reason" {
			return true
		}
		found++
		if value := strings.Trim(literal.Value, "\""); !known[value] {
			t.Errorf("%s is not in the catalogue", value)
		}
		return true
	})
	if found != len(known) {
		t.Errorf("%d constants, %d entries", found, len(known))
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,62}$`)
	seen := map[fault.Reason]bool{}
	for _, e := range fault.Catalogue() {
		if seen[e.Reason] {
			t.Errorf("%s stands twice", e.Reason)
		}
		seen[e.Reason] = true
		if !form.MatchString(string(e.Reason)) || e.Code == codes.OK || e.Meaning == "" || e.Remedy == "" {
			t.Errorf("%s: %+v is not complete", e.Reason, e)
		}
	}
	// The codes that From gives must be those of the catalogue.
	for _, err := range []error{
		errors.New("x"), context.Canceled, context.DeadlineExceeded, status.Error(codes.Unauthenticated, ""),
		status.Error(codes.ResourceExhausted, ""), fault.TooLarge(),
	} {
		got := fault.From(err)
		reason, _ := fault.ReasonOf(got)
		for _, e := range fault.Catalogue() {
			if e.Reason == reason && e.Code != status.Code(got) {
				t.Errorf("%s is given as %v, the catalogue says %v", reason, status.Code(got), e.Code)
			}
		}
		if !seen[reason] {
			t.Errorf("%s is not in the catalogue", reason)
		}
	}
}
