package server

import (
	"errors"
	"fmt"

	"google.golang.org/grpc"

	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// rule is what holds for one method of the mesh listener.
type rule struct {
	// maxRequest bounds one request, in bytes on the wire.
	maxRequest int
}

const (
	// An ask is a few lines; with a log checkpoint and signatures of more than one algorithm it
	// stays far below this. Every ask that is signed is kept, so that this also bounds by how much
	// a question makes the books grow.
	maxAsk = 24 << 10
	// maxSignatures bounds the signatures of an ask: room for one of the algorithms to come beside
	// those of today.
	maxSignatures = 8 << 10
	// A roster of 512 bureaus fills its Signed to the four megabytes of the schema; this is that
	// and its signatures.
	maxRoster = 5 << 20
	// A gossip frame is 64 KiB of data by its schema.
	maxGossip = 64<<10 + 64
	// maxResponse bounds what is sent: the largest Signed with its frame.
	maxResponse = 5 << 20
)

// table returns every method that may be called on the mesh listener. What is not in it is not
// served: a service that is registered here by mistake keeps the node from starting.
func table() map[string]rule {
	return map[string]rule{
		queryv1.QueryService_Describe_FullMethodName: {maxRequest: 1 << 10},
		queryv1.QueryService_Ask_FullMethodName:      {maxRequest: maxAsk},
		rosterv1.RosterService_Get_FullMethodName:    {maxRequest: 1 << 10},
		rosterv1.RosterService_Propose_FullMethodName: {
			maxRequest: maxRoster,
		},
		gossipv1.GossipService_Gossip_FullMethodName:         {maxRequest: maxGossip},
		auditv1.WitnessService_GetCheckpoint_FullMethodName:  {maxRequest: 1 << 10},
		auditv1.WitnessService_GetConsistency_FullMethodName: {maxRequest: 1 << 10},
		auditv1.WitnessService_ProveMessage_FullMethodName:   {maxRequest: 1 << 10},
	}
}

// maxRequest is the largest bound of the table: the transport has one for all methods, and the
// chain enforces each method's own.
func maxRequest() int {
	largest := 0
	for _, r := range table() {
		largest = max(largest, r.maxRequest)
	}
	return largest
}

// door registers only what the table knows.
type door struct {
	to      grpc.ServiceRegistrar
	unknown []error
}

// RegisterService registers a service if every method of it is in the table.
func (d *door) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	allowed := table()
	var methods []string
	for _, m := range desc.Methods {
		methods = append(methods, m.MethodName)
	}
	for _, m := range desc.Streams {
		methods = append(methods, m.StreamName)
	}
	known := true
	for _, m := range methods {
		if _, ok := allowed["/"+desc.ServiceName+"/"+m]; !ok {
			known = false
			d.unknown = append(d.unknown, fmt.Errorf(
				"mesh listener: %s/%s is registered but not in its table of methods: serve it on the local listener, or decide about it in federation/server/table.go", desc.ServiceName, m))
		}
	}
	if known {
		d.to.RegisterService(desc, implementation)
	}
}

func (d *door) err() error { return errors.Join(d.unknown...) }
