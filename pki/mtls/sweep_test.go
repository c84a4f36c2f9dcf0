package mtls

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// worldChanges are the ways in which an open connection of BEL to ESP loses its ground, seen
// from one end.
var worldChanges = map[string]func(t *testing.T, s *scene, own *book, other *country){
	"distrust":          func(_ *testing.T, _ *scene, own *book, other *country) { own.distrust(other.bureau) },
	"out of the roster": func(_ *testing.T, _ *scene, own *book, other *country) { own.replace(other.bureau, nil) },
	"the roots are others": func(t *testing.T, _ *scene, own *book, other *country) {
		own.replace(other.bureau, newCountry(t, other.bureau).pool())
	},
	"the leaf expires": func(_ *testing.T, s *scene, _ *book, _ *country) { s.now.set(noon.Add(25 * time.Hour)) },
}

// TestOpenConnectionIsNotHeard: without any sweep, the server's interceptor alone stops the
// next call on a connection that is still open.
func TestOpenConnectionIsNotHeard(t *testing.T) {
	for name, change := range worldChanges {
		if name == "the leaf expires" {
			continue // both ends see one clock here, and the client stops first: below
		}
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			before := s.esps.calls.Load()
			change(t, s, s.espBook, s.bel)
			err := call(t, s.bels)
			if status.Code(err) != codes.Unauthenticated {
				t.Fatalf("ESP answered: %v", err)
			}
			if s.esps.calls.Load() != before {
				t.Error("the call reached the service")
			}
			var info *errdetails.ErrorInfo
			for _, d := range status.Convert(err).Details() {
				info, _ = d.(*errdetails.ErrorInfo)
			}
			if info.GetReason() != "IDENTITY_REFUSED" || info.GetDomain() != "entente.mtls" {
				t.Errorf("ErrorInfo %v", info)
			}
			if len(s.espConns.List()) != 1 {
				t.Error("the connection is gone: this test did not test the call")
			}
		})
	}
}

// TestExpiredCallerIsTold: to the caller whose leaf has run out, the server says so.
func TestExpiredCallerIsTold(t *testing.T) {
	bel, esp := newCountry(t, "BEL"), newCountry(t, "ESP")
	now, slow := newClock(), newClock() // the caller's clock is slow: it does not notice itself
	l := listen(t, MeshServer(esp.node(t).leaf(t), newBook(bel, esp), Options{Now: now.Now}))
	bels := l.dial(t, MeshClient(bel.node(t).leaf(t), newBook(bel, esp), "ESP", Options{Now: slow.Now}).DialOptions()...)
	if err := call(t, bels); err != nil {
		t.Fatal(err)
	}
	now.set(noon.Add(25 * time.Hour))
	err := call(t, bels)
	if status.Code(err) != codes.Unauthenticated {
		t.Fatal(err)
	}
	var info *errdetails.ErrorInfo
	for _, d := range status.Convert(err).Details() {
		info, _ = d.(*errdetails.ErrorInfo)
	}
	if info.GetReason() != "IDENTITY_OUTDATED" {
		t.Errorf("ErrorInfo %v", info)
	}
}

// TestNothingIsSentOnALostConnection: the client's own look comes before the first byte.
func TestNothingIsSentOnALostConnection(t *testing.T) {
	for name, change := range worldChanges {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			before := s.esps.calls.Load()
			change(t, s, s.belBook, s.esp)
			if err := call(t, s.bels); status.Code(err) != codes.Unauthenticated {
				t.Errorf("sent: %v", err)
			}
			if s.esps.calls.Load() != before {
				t.Error("the call arrived")
			}
		})
	}
}

// TestSweepClosesWhatIsLost, from either end, also under a stream that is waiting.
func TestSweepClosesWhatIsLost(t *testing.T) {
	for name, change := range worldChanges {
		for _, end := range []string{"ESP", "BEL"} {
			t.Run(name+" at "+end, func(t *testing.T) {
				s := newScene(t)
				stream, err := s.bels.Watch(t.Context(), &healthpb.HealthCheckRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				own, other, register := s.espBook, s.bel, &s.espConns
				if end == "BEL" {
					own, other, register = s.belBook, s.esp, &s.belConns
				}
				if n := register.Sweep(nil); n != 0 {
					t.Fatalf("%d closed while nothing had changed", n)
				}
				change(t, s, own, other)
				if n := register.Sweep(nil); n != 1 {
					t.Fatalf("%d closed, expected 1", n)
				}
				if _, err := stream.Recv(); err == nil {
					t.Error("the stream lives on")
				}
				if err := call(t, s.bels, grpc.WaitForReady(false)); err == nil {
					t.Error("a new connection was admitted")
				}
				if n := len(register.List()); n != 0 {
					t.Errorf("%d connections left", n)
				}
			})
		}
	}
}

func TestSweepSparesTheOthers(t *testing.T) {
	s := newScene(t)
	bgr := newCountry(t, "BGR")
	s.espBook.replace("BGR", bgr.pool())
	bgrs := s.esps.dial(t, MeshClient(bgr.node(t).leaf(t), newBook(bgr, s.esp), "ESP", Options{Now: s.now.Now}).DialOptions()...)
	if err := call(t, bgrs); err != nil {
		t.Fatal(err)
	}
	s.espBook.distrust("BEL")
	if n := s.espConns.Sweep(nil); n != 1 {
		t.Errorf("%d closed, expected 1", n)
	}
	if err := call(t, bgrs); err != nil {
		t.Errorf("BGR: %v", err)
	}
	if n := s.espConns.CloseBureau("BEL"); n != 0 {
		t.Errorf("%d of BEL were left", n)
	}
	if n := s.espConns.CloseBureau("BGR"); n != 1 {
		t.Errorf("%d of BGR closed, expected 1", n)
	}
	// It was closed, not distrusted: BGR may come back. A call that was sent before its end had
	// noticed is lost with the connection, and is made again.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := bgrs.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil {
			return
		}
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			t.Fatalf("BGR again: %v", err)
		}
	}
}

func TestSweepWithOtherRules(t *testing.T) {
	s := newScene(t)
	var seen []Connection
	n := s.espConns.Sweep(func(c Connection) error {
		seen = append(seen, c)
		return c.Verify()
	})
	if n != 0 || len(seen) != 1 || seen[0].Identity.Bureau != "BEL" || len(seen[0].Chain) != 2 || !seen[0].NotAfter.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("%d closed, seen %v", n, seen)
	}
}

// TestLeavesAndRegistersEnd: a connection that ends by itself leaves its register.
func TestLeavesAndRegistersEnd(t *testing.T) {
	bel, esp := newCountry(t, "BEL"), newCountry(t, "ESP")
	var register Connections
	server := MeshServer(esp.node(t).leaf(t), newBook(bel, esp), Options{Now: newClock().Now, Connections: &register})
	client := MeshClient(bel.node(t).leaf(t), newBook(bel, esp), "ESP", Options{Now: newClock().Now})
	here, there := net.Pipe()
	done := make(chan net.Conn)
	go func() {
		conn, _, err := server.ServerHandshake(there)
		if err != nil {
			t.Error(err)
		}
		done <- conn
	}()
	dialled, _, err := client.ClientHandshake(t.Context(), "esp", here)
	if err != nil {
		t.Fatal(err)
	}
	accepted := <-done
	if n := len(register.List()); n != 1 {
		t.Errorf("%d connections", n)
	}
	_ = dialled.(*conn).raw.Close()
	_ = accepted.Close()
	if n := len(register.List()); n != 0 {
		t.Errorf("%d connections after the end", n)
	}
}

// TestRunSweepsByItself: on a change, and when the leaf expires.
func TestRunSweepsByItself(t *testing.T) {
	bel, esp := newCountry(t, "BEL"), newCountry(t, "ESP")
	for _, how := range []string{"change", "expiry"} {
		t.Run(how, func(t *testing.T) {
			belNode, espNode := bel.node(t).leaf(t), esp.node(t).leaf(t)
			synctest.Test(t, func(t *testing.T) {
				// The bubble's clock begins in 2000: shift it to the scene's.
				shift := time.Until(noon)
				now := func() time.Time { return time.Now().Add(shift) }
				roster := newBook(bel, esp)
				var register Connections
				here, there := net.Pipe()
				go func() {
					_, _, _ = MeshClient(belNode, roster, "ESP", Options{Now: now}).ClientHandshake(t.Context(), "esp", here)
				}()
				conn, _, err := MeshServer(espNode, roster, Options{Now: now, Connections: &register}).ServerHandshake(there)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				changed, swept := make(chan struct{}, 1), make(chan int, 1)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					register.Run(ctx, changed, now, func(n int) { swept <- n })
				}()
				want := time.Duration(0)
				if how == "change" {
					roster.distrust("BEL")
					changed <- struct{}{}
				} else {
					want = 24 * time.Hour
				}
				begin := time.Now()
				if n := <-swept; n != 1 {
					t.Errorf("%d closed", n)
				}
				if took := time.Since(begin); took < want || took > want+time.Second {
					t.Errorf("closed after %s, expected %s", took, want)
				}
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					t.Error("the connection is open")
				}
				close(changed) // the clock remains
				synctest.Wait()
				cancel()
				<-ended
			})
		})
	}
}

// TestCloseClientReachesEveryCertificateOfAnIdentity: a client that has renewed is one client, and
// its stream ends although nothing is sent on it.
func TestCloseClientReachesEveryCertificateOfAnIdentity(t *testing.T) {
	bel := newCountry(t, "BEL")
	var register Connections
	own := Own(demo, "BEL", bel.pool())
	l := listen(t, LocalServer(bel.node(t).leaf(t), own, "BEL", Options{Connections: &register, Now: newClock().Now}))
	var streams []healthpb.Health_WatchClient
	for range 2 { // two certificates of one officer
		c := l.dial(t, LocalClient(bel.officer(t).leaf(t), own, "BEL", Options{Now: newClock().Now}).DialOptions()...)
		stream, err := c.Watch(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	officer := *l.caller.Load()
	other := officer
	other.Name = "somebody-else"
	if n := register.CloseClient(other); n != 0 || len(register.List()) != 2 {
		t.Fatalf("%d of somebody else were closed, %d are open", n, len(register.List()))
	}
	officer.Purposes = nil // it is the name that counts
	if n := register.CloseClient(officer); n != 2 || len(register.List()) != 0 {
		t.Errorf("%d were closed, %d are open", n, len(register.List()))
	}
	for _, stream := range streams {
		if _, err := stream.Recv(); err == nil {
			t.Error("a stream goes on")
		}
	}
}
