package api

import (
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/dualcontrol"
)

// legible refuses a request whose reason or note holds what a screen would obey: it stands in the
// books, and a second person decides by it.
func legible(req any) error {
	if r, ok := req.(interface{ GetReason() string }); ok && dualcontrol.Legible(r.GetReason()) != r.GetReason() {
		return notLegible("reason")
	}
	if n, ok := req.(interface{ GetNote() string }); ok && dualcontrol.Legible(n.GetNote()) != n.GetNote() {
		return notLegible("note")
	}
	return nil
}

func notLegible(field string) error {
	return fault.New(codes.InvalidArgument, fault.MalformedRequest, field,
		"give one line of plain text: no control characters, line breaks or marks that turn the direction of writing round")
}
