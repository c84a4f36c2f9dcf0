package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Masses counts what each person brings and takes, and holds back what needs a second person: a
// large import, and the small one with which a person's day becomes a mass.
type Masses interface {
	// Masses lets the parts of one request pass, all or none, with a grant for each.
	Masses(ctx context.Context, client identity.Identity, masses ...dualcontrol.Mass) ([]dualcontrol.Grant, error)
}

// allow asks for a second person where an import, or what it withdraws, is a mass, and books what
// is about to be done. Who approves, approves this very file under this very header.
func (s *RecordService) allow(ctx context.Context, header *recordv1.ImportHeader, file []byte, plan records.Plan) error {
	client := Caller(ctx)
	said, err := proto.MarshalOptions{Deterministic: true}.Marshal(header)
	if err != nil {
		return err
	}
	request := slices.Concat(file, said)
	of := header.GetCollection() + " of " + header.GetSource()
	about := aboutImport(header, file)
	var masses []dualcontrol.Mass
	for _, m := range []struct {
		operation string
		rows      uint64
		what      string
	}{
		{policy.OperationImportRecords, plan.Rows, "import"},
		{policy.OperationDeleteRecord, plan.Withdrawn, "withdraw"},
	} {
		if m.rows > 0 {
			masses = append(masses, dualcontrol.Mass{Operation: m.operation, Rows: m.rows, Request: request,
				Summary: fmt.Sprintf("%s %d records of %s from %s: %s", m.what, m.rows, header.GetCollection(), header.GetSource(), about)})
		}
	}
	grants, err := s.acts.Mass.Masses(ctx, client, masses...)
	if err != nil {
		return err
	}
	for i, m := range masses {
		if err := s.acts.Scribe.Did(ctx, client, Act{Operation: m.Operation, Object: of, Count: m.Rows, Second: grants[i].Second}); err != nil {
			return err
		}
	}
	return nil
}

// aboutImport says which file is imported how: what the second person can compare with the file that
// they have seen.
func aboutImport(h *recordv1.ImportHeader, file []byte) string {
	kind := "adds to its source"
	if h.GetComplete() {
		kind = "complete, replaces its source"
	}
	audience := "all whom policy permits"
	switch a := h.GetAudience(); a.GetMode() {
	case recordv1.AudienceMode_AUDIENCE_MODE_NONE:
		audience = "nobody"
	case recordv1.AudienceMode_AUDIENCE_MODE_LISTED:
		audience = strings.Join(a.GetAllow(), ",")
	}
	if deny := h.GetAudience().GetDeny(); len(deny) > 0 {
		audience += " but " + strings.Join(deny, ",")
	}
	return fmt.Sprintf("file SHA-256 %s, %s, audience %s", FileDigest(file), kind, audience)
}

// FileDigest is how people compare a file: the first 16 hexadecimal digits of its SHA-256.
func FileDigest(sum []byte) string { return hex.EncodeToString(sum[:min(len(sum), 8)]) }

// single counts one record that is created or withdrawn by itself, and asks for a second person where
// with it the day becomes a mass.
func (s *RecordService) single(ctx context.Context, mass, operation string, req proto.Message, collection, id string) error {
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return err
	}
	client := Caller(ctx)
	grants, err := s.acts.Mass.Masses(ctx, client, dualcontrol.Mass{
		Operation: mass, Does: operation, Rows: 1, Request: request, Summary: fmt.Sprintf("%s %s/%s", operation, collection, id),
	})
	if err != nil || grants[0].Second == "" {
		return err // that it was permitted is in the books already
	}
	return s.acts.Scribe.Did(ctx, client, Act{Operation: operation, Object: s.acts.Eraser.Object(collection, id), Second: grants[0].Second})
}
