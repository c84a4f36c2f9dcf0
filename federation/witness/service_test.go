package witness_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// as is a client of a service, on behalf of a bureau.
func as(b identity.Bureau, g grpcService) (context.Context, auditv1.WitnessServiceClient) {
	ctx := context.Background()
	if b != "" {
		ctx = context.WithValue(ctx, callerKey{}, identity.Node(federation, b, "1"))
	}
	return ctx, auditv1.NewWitnessServiceClient(&conn{&line{}, g})
}

func TestTheOwnLogIsShown(t *testing.T) {
	log := newChronicle("BEL", "1")
	g := serve(t, log)
	ctx, esp := as("ESP", g)
	if r, err := esp.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{}); err != nil || len(r.GetCheckpoint()) != 0 {
		t.Errorf("before the first: %v, %v", r, err)
	}
	older, newer := log.growTo(77, "leaf"), log.growTo(100, "leaf")
	r, err := esp.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{})
	if err != nil || string(r.GetCheckpoint()) != string(newer) {
		t.Fatalf("GetCheckpoint: %v, %v", r, err)
	}
	p, err := esp.GetConsistency(ctx, &auditv1.GetConsistencyRequest{From: 77, To: 100})
	if err != nil {
		t.Fatal(err)
	}
	x, _ := evidence.ParseCheckpoint(older)
	y, _ := evidence.ParseCheckpoint(newer)
	if err := evidence.VerifyConsistency(x, y, p.GetConsistency().GetProof()); err != nil {
		t.Error(err)
	}
	if p, err := esp.GetConsistency(ctx, &auditv1.GetConsistencyRequest{From: 100, To: 100}); err != nil || len(p.GetConsistency().GetProof()) != 0 {
		t.Errorf("of one size: %v, %v", p, err)
	}
}

func TestProofsOfMessagesAreForThoseWhoHaveThem(t *testing.T) {
	log := newChronicle("BEL", "1")
	id := messageID("an ask of ESP")
	log.proofs["ESP"+id] = make([]*auditv1.LogProof, 9)
	for i := range log.proofs["ESP"+id] {
		log.proofs["ESP"+id][i] = &auditv1.LogProof{Bureau: "BEL", Index: uint64(i)}
	}
	g := serve(t, log)
	ctx, esp := as("ESP", g)
	if r, err := esp.ProveMessage(ctx, &auditv1.ProveMessageRequest{MessageId: id}); err != nil || len(r.GetProofs()) != 8 {
		t.Errorf("ESP: %v, %v", r, err)
	}
	// Another bureau's message and none look the same.
	ctx, bgr := as("BGR", g)
	_, errOthers := bgr.ProveMessage(ctx, &auditv1.ProveMessageRequest{MessageId: id})
	_, errNone := bgr.ProveMessage(ctx, &auditv1.ProveMessageRequest{MessageId: messageID("never sent")})
	if status.Code(errOthers) != codes.NotFound || errOthers.Error() != errNone.Error() {
		t.Errorf("BGR: %v, and %v", errOthers, errNone)
	}
}

func TestQuestionsThatAreNotAnswered(t *testing.T) {
	log := newChronicle("BEL", "1")
	log.growTo(100, "leaf")
	g := serve(t, log)
	for name, c := range map[string]struct {
		from identity.Bureau
		ask  *auditv1.GetConsistencyRequest
		want fault.Reason
	}{
		"by nobody":          {"", &auditv1.GetConsistencyRequest{From: 1, To: 100}, fault.IdentityUnverified},
		"from nothing":       {"ESP", &auditv1.GetConsistencyRequest{To: 100}, fault.MalformedRequest},
		"backwards":          {"ESP", &auditv1.GetConsistencyRequest{From: 50, To: 49}, fault.MalformedRequest},
		"beyond the log":     {"ESP", &auditv1.GetConsistencyRequest{From: 50, To: 101}, fault.MalformedRequest},
		"far beyond the log": {"ESP", &auditv1.GetConsistencyRequest{From: 1 << 63, To: 1<<64 - 1}, fault.MalformedRequest},
	} {
		ctx, client := as(c.from, g)
		_, err := client.GetConsistency(ctx, c.ask)
		if got, _ := fault.ReasonOf(err); got != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	ctx, client := as("", g)
	if _, err := client.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("GetCheckpoint by nobody: %v", err)
	}
	if _, err := client.ProveMessage(ctx, &auditv1.ProveMessageRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("ProveMessage by nobody: %v", err)
	}
}

func TestOneBureauAsksTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newChronicle("BEL", "1")
		log.growTo(100, "leaf")
		g := serve(t, log)
		ctx, esp := as("ESP", g)
		served := 0
		for range 10000 {
			_, err := esp.GetConsistency(ctx, &auditv1.GetConsistencyRequest{From: 50, To: 100})
			switch reason, _ := fault.ReasonOf(err); {
			case err == nil:
				served++
			case reason != fault.QuotaExceeded:
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if served < 50 || served > 75 {
			t.Errorf("%d of 10,000 calls in ten seconds were served, want about 70", served)
		}
		ctx, bgr := as("BGR", g)
		if _, err := bgr.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{}); err != nil {
			t.Errorf("BGR is not served for it: %v", err)
		}
	})
}

// slowLog computes proofs until it is let go, and counts how many at once.
type slowLog struct {
	*chronicle
	now, most atomic.Int64
	letGo     chan struct{}
}

func (l *slowLog) Consistency(ctx context.Context, from, to uint64) (*auditv1.Consistency, error) {
	n := l.now.Add(1)
	defer l.now.Add(-1)
	l.most.Store(max(l.most.Load(), n))
	select {
	case <-l.letGo:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return l.chronicle.Consistency(ctx, from, to)
}

func TestFewProofsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{chronicle: newChronicle("BEL", "1"), letGo: make(chan struct{})}
		log.growTo(100, "leaf")
		g := serve(t, log)
		var failed atomic.Int64
		call := func(ctx context.Context, client auditv1.WitnessServiceClient) {
			if _, err := client.GetConsistency(ctx, &auditv1.GetConsistencyRequest{From: 50, To: 100}); err != nil {
				failed.Add(1)
			}
		}
		for range 10 {
			go call(as("ESP", g))
		}
		synctest.Wait()
		if got := log.now.Load(); got != 2 {
			t.Errorf("%d proofs at once for one bureau, want 2", got)
		}
		for _, b := range []identity.Bureau{"BGR", "LBN", "CHE"} {
			go call(as(b, g))
		}
		synctest.Wait()
		if got := log.now.Load(); got != 4 {
			t.Errorf("%d proofs at once, want 4", got)
		}
		// Who waits can go away.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, client := as("ESP", g)
			_, err := client.GetConsistency(context.WithValue(ctx, callerKey{}, identity.Node(federation, "ESP", "1")), &auditv1.GetConsistencyRequest{From: 50, To: 100})
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
			t.Errorf("who went away: %v", err)
		}
		close(log.letGo)
		synctest.Wait()
		if failed.Load() != 0 || log.most.Load() > 4 || log.now.Load() != 0 {
			t.Errorf("%d failed, %d at once at the most, %d left", failed.Load(), log.most.Load(), log.now.Load())
		}
	})
}
