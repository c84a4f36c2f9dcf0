package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// maxRosters is how many rosters one response carries, by its schema.
const maxRosters = 64

// rosters is RosterService.
type rosters struct {
	rosterv1.UnimplementedRosterServiceServer
	server *Server
}

// Get returns the rosters after a version, oldest first, as many as fit into one response; the
// caller goes on after the last. After 0 it returns the newest alone.
func (r *rosters) Get(_ context.Context, request *rosterv1.GetRequest) (*rosterv1.GetResponse, error) {
	history := r.server.cfg.Rosters.History(request.GetAfterVersion())
	if request.GetAfterVersion() == 0 && len(history) > 1 {
		history = history[len(history)-1:]
	}
	// Room is left for the frame around the list.
	const budget = maxResponse - 64<<10
	size := 0
	response := &rosterv1.GetResponse{}
	for _, signed := range history {
		size += proto.Size(signed)
		if len(response.Rosters) == maxRosters || (len(response.Rosters) > 0 && size > budget) {
			break
		}
		response.Rosters = append(response.Rosters, signed)
	}
	return response, nil
}

// Propose takes the next roster over, if its signatures make it one.
func (r *rosters) Propose(ctx context.Context, request *rosterv1.ProposeRequest) (*rosterv1.ProposeResponse, error) {
	version, err := r.server.cfg.Rosters.Propose(request.GetRoster())
	if err != nil {
		from, _ := Caller(ctx)
		r.server.cfg.Logger.WarnContext(ctx, "a proposed roster was not installed", "peer", string(from.Bureau), "error", err.Error())
		if reason, _ := fault.ReasonOf(fault.From(err)); reason != fault.Internal {
			return nil, err
		}
		return nil, fault.New(codes.FailedPrecondition, fault.RosterNotNext, "roster", "the roster does not follow from the one that is installed here: send the versions between them first, oldest first")
	}
	return &rosterv1.ProposeResponse{Version: version}, nil
}
