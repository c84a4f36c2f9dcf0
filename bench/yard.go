package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/mtls"
)

const (
	echoSize   = 1 << 10 // what the bare echo carries, and what is signed
	commitSize = 256     // what a bare commit writes
	barePeers  = 3
)

// yard holds the yardsticks: the least that work of a kind costs on this machine. The bare
// echo has the certificates and the TLS of the nodes and nothing else of them: no interceptor,
// no look at the connection at each call, no deadline, one field of bytes.
type yard struct {
	payload *wrapperspb.BytesValue
	key     ed25519.PrivateKey
	signed  []byte
	log     *os.File
	servers []*grpc.Server
	serving sync.WaitGroup
	conns   []*grpc.ClientConn
	logs    []*os.File
}

// The methods of the bare service.
const (
	bareService = "entente.bench.Bare"
	echoMethod  = "/" + bareService + "/Echo"
	proveMethod = "/" + bareService + "/Prove"
)

// barePeer is the other end. Echo returns what it got. Prove does what no honest answer to a
// signed question can do without: verify, commit, sign.
type barePeer struct {
	public ed25519.PublicKey
	key    ed25519.PrivateKey
	mu     sync.Mutex // one commit at a time
	log    *os.File
}

func (p *barePeer) echo(in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) { return in, nil }

func (p *barePeer) prove(in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	b := in.GetValue()
	if len(b) <= ed25519.SignatureSize || !ed25519.Verify(p.public, b[ed25519.SignatureSize:], b[:ed25519.SignatureSize]) {
		return nil, errors.New("the question is not signed")
	}
	p.mu.Lock()
	err := commit(p.log)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(append(ed25519.Sign(p.key, b[ed25519.SignatureSize:]), b[ed25519.SignatureSize:]...)), nil
}

// method makes a unary method of a plain function: a service without generated code.
func method(name string, call func(p *barePeer, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.BytesValue{}
		if err := decode(in); err != nil {
			return nil, err
		}
		return call(srv.(*barePeer), in)
	}}
}

// newYard starts the bare peers with the certificates of a bureau's node and officer.
func newYard(dir string, of *bureau) (_ *yard, err error) {
	y := &yard{payload: wrapperspb.Bytes(make([]byte, echoSize))}
	defer func() {
		if err != nil {
			err = errors.Join(err, y.close())
		}
	}()
	rand.Read(y.payload.Value) // never fails, by its contract
	if _, y.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	y.signed = ed25519.Sign(y.key, y.payload.GetValue())
	if y.log, err = y.openLog(dir, "commits"); err != nil {
		return nil, err
	}
	trust, err := of.own()
	if err != nil {
		return nil, err
	}
	leaf, err := mtls.LoadLeaf(filepath.Join(of.dir, "keys", "channel"))
	if err != nil {
		return nil, err
	}
	client, err := mtls.LoadLeaf(node.ClientDir(of.dir, node.OfficerClient))
	if err != nil {
		return nil, err
	}
	for i := range barePeers {
		log, err := y.openLog(dir, fmt.Sprintf("commits-%d", i))
		if err != nil {
			return nil, err
		}
		srv := grpc.NewServer(grpc.Creds(mtls.LocalServer(leaf, trust, of.id, mtls.Options{})))
		srv.RegisterService(&grpc.ServiceDesc{
			ServiceName: bareService, HandlerType: (*any)(nil),
			Methods: []grpc.MethodDesc{method("Echo", (*barePeer).echo), method("Prove", (*barePeer).prove)},
		}, &barePeer{public: y.key.Public().(ed25519.PublicKey), key: y.key, log: log})
		y.servers = append(y.servers, srv)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		y.serving.Go(func() { _ = srv.Serve(listener) }) // ends when the server is stopped
		conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(),
			grpc.WithTransportCredentials(mtls.LocalClient(client, trust, of.id, mtls.Options{})))
		if err != nil {
			return nil, err
		}
		y.conns = append(y.conns, conn)
	}
	return y, nil
}

func (y *yard) openLog(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		y.logs = append(y.logs, f)
	}
	return f, err
}

func (y *yard) close() error {
	var errs []error
	for _, c := range y.conns {
		errs = append(errs, c.Close())
	}
	for _, s := range y.servers {
		s.Stop()
	}
	y.serving.Wait()
	for _, f := range y.logs {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// commit makes a few bytes durable in the plainest way.
func commit(f *os.File) error {
	if _, err := f.Write(make([]byte, commitSize)); err != nil {
		return err
	}
	return f.Sync()
}

// echo is one call of the bare echo.
func (y *yard) echo() work {
	return work{"bare echo", func(ctx context.Context, _ int) error {
		out := &wrapperspb.BytesValue{}
		if err := y.conns[0].Invoke(ctx, echoMethod, y.payload, out); err != nil {
			return err
		}
		if len(out.GetValue()) != echoSize {
			return errors.New("another echo than was called")
		}
		return nil
	}}
}

// commit is one durable write.
func (y *yard) commit() work {
	return work{"bare commit", func(context.Context, int) error { return commit(y.log) }}
}

// sign and verify are one Ed25519 signature of 1 KiB.
func (y *yard) sign() work {
	return work{"signature", func(context.Context, int) error {
		ed25519.Sign(y.key, y.payload.GetValue())
		return nil
	}}
}

func (y *yard) verify() work {
	public := y.key.Public().(ed25519.PublicKey)
	return work{"verification", func(context.Context, int) error {
		if !ed25519.Verify(public, y.payload.GetValue(), y.signed) {
			return errors.New("the signature does not hold")
		}
		return nil
	}}
}

// fanOut is the least that a signed question to several peers can be: one echo for the client,
// and to each peer at the same time a signed call, which the peer verifies, commits and signs,
// and whose answer is verified.
func (y *yard) fanOut(peers int) work {
	echo := y.echo()
	return work{"bare fan-out", func(ctx context.Context, n int) error {
		if err := echo.once(ctx, n); err != nil {
			return err
		}
		errs := make([]error, peers)
		var wg sync.WaitGroup
		for i := range peers {
			wg.Go(func() { errs[i] = y.prove(ctx, y.conns[i]) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}}
}

// exchange is one such call to a peer, without the client's echo.
func (y *yard) exchange() work {
	return work{"bare exchange", func(ctx context.Context, n int) error { return y.prove(ctx, y.conns[0]) }}
}

// prove signs, calls, and verifies what comes back.
func (y *yard) prove(ctx context.Context, conn *grpc.ClientConn) error {
	in := wrapperspb.Bytes(append(ed25519.Sign(y.key, y.payload.GetValue()), y.payload.GetValue()...))
	out := &wrapperspb.BytesValue{}
	if err := conn.Invoke(ctx, proveMethod, in, out); err != nil {
		return err
	}
	b := out.GetValue()
	public := y.key.Public().(ed25519.PublicKey)
	if len(b) != ed25519.SignatureSize+echoSize || !ed25519.Verify(public, b[ed25519.SignatureSize:], b[:ed25519.SignatureSize]) {
		return errors.New("the answer is not signed")
	}
	return nil
}
