package node_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/entente-mesh/entente/node/nodetest"
	_ "github.com/entente-mesh/entente/proto/gen/entente/pki/v1" // its service is one of the treaty's
)

// methods are all methods of all services of the treaty text that the program holds.
func methods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(f.Package()), "entente.") {
			return true
		}
		for i := range f.Services().Len() {
			of := f.Services().Get(i).Methods()
			for k := range of.Len() {
				all = append(all, of.Get(k))
			}
		}
		return true
	})
	return all
}

// callEmpty calls a method of any kind with an empty request, and returns what comes of it
// first.
func callEmpty(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor) error {
	name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	req, resp := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return conn.Invoke(ctx, name, req, resp)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer()}, name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err == nil {
		_ = stream.CloseSend()
	}
	return stream.RecvMsg(resp)
}

// TestEveryServiceIsOnOneListener calls every method on both listeners, each time with a
// certificate that is right for that listener.
func TestEveryServiceIsOnOneListener(t *testing.T) {
	m := nodetest.FoundWith(t, nodetest.Setup{Gossip: true}, "BEL", "ESP")
	bel, esp := m.Bureau("BEL"), m.Bureau("ESP")
	onMesh := []protoreflect.FullName{"entente.query.v1.QueryService", "entente.roster.v1.RosterService", "entente.gossip.v1.GossipService",
		"entente.audit.v1.WitnessService"}
	// On a socket of the machine, of a process that is no node.
	const elsewhere protoreflect.FullName = "entente.signer.v1.SignerService"
	onLocal := []protoreflect.FullName{
		"entente.screening.v1.ScreeningService", "entente.record.v1.RecordService", "entente.admin.v1.AdminService", "entente.pki.v1.EnrolmentService",
		"entente.audit.v1.AuditService",
	}
	mesh, local := esp.DialMesh(bel), bel.Operator()
	all := methods()
	if len(all) < 19 {
		t.Fatalf("%d methods in the treaty text, there are more", len(all))
	}
	for _, method := range all {
		service := method.Parent().FullName()
		if service == elsewhere {
			for listener, conn := range map[string]*grpc.ClientConn{"mesh": mesh, "local": local} {
				ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
				if err := callEmpty(ctx, conn, method); status.Code(err) != codes.Unimplemented {
					t.Errorf("%s on the %s listener: %v, want UNIMPLEMENTED", method.FullName(), listener, err)
				}
				cancel()
			}
			continue
		}
		if slices.Contains(onMesh, service) == slices.Contains(onLocal, service) {
			t.Errorf("%s: decide on which listener it is served, and say so here", service)
			continue
		}
		right, wrong := local, mesh
		if slices.Contains(onMesh, service) {
			right, wrong = mesh, local
		}
		ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
		if err := callEmpty(ctx, wrong, method); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s on the wrong listener: %v, want UNIMPLEMENTED", method.FullName(), err)
		}
		if err := callEmpty(ctx, right, method); status.Code(err) == codes.Unimplemented || status.Code(err) == codes.Unavailable {
			t.Errorf("%s on its own listener: %v", method.FullName(), err)
		}
		cancel()
	}
	// And what both libraries bring along is on neither.
	for _, name := range []string{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/Check", "/grpc.channelz.v1.Channelz/GetServers"} {
		for listener, conn := range map[string]*grpc.ClientConn{"mesh": mesh, "local": local} {
			empty := dynamicpb.NewMessage(all[0].Input())
			if err := conn.Invoke(t.Context(), name, empty, empty); status.Code(err) != codes.Unimplemented {
				t.Errorf("%s on the %s listener: %v, want UNIMPLEMENTED", name, listener, err)
			}
		}
	}
}
