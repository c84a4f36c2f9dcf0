// Package witness keeps, for every other bureau, the newest checkpoint of its log that was proven
// to grow out of the ones before it, and says so, with evidence that outsiders can check, when a
// log forks or shrinks. It is also the server by which the own log is shown to the others.
//
// It does not keep the own log (node/audit does), reads no leaf of another's, decides nothing
// about messages, and holds none up: what it sees on the way it looks at later. A checkpoint is
// believed as far as the log key of its bureau signed it and no further.
//
// What it keeps outlives a restart and holds nobody's data: a message that carried a checkpoint
// is named by its id, and kept itself only if it is an answer that tells of nobody.
//
// One flow: ESP answers an ask, and its answer carries a checkpoint of 120 leaves. Saw compares
// its bytes with the last ones of ESP and returns. ESP's goroutine finds that a log key of ESP
// signed it, asks ESP for the proof that the 100 leaves which are known here are its beginning,
// verifies it, makes the 120 durable, and only then knows them. If instead the proof shows that
// the first 100 leaves are others now, both checkpoints and the proof are written into a file,
// and an alarm names it.
//
// Another flow: ESP shows BEL one log and BGR another, each of which grows. Within some minutes it
// is BGR's turn to be asked by BEL, and BGR tells what it was shown: 120 leaves with another root,
// which a log key of ESP signed. That is the proof already, and BGR finds it the same way.
package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Peers are the connections to the other bureaus. federation/peers' Pool is one.
type Peers interface {
	// Do makes an idempotent call, a second time if the connection breaks.
	Do(ctx context.Context, bureau identity.Bureau, call func(context.Context, grpc.ClientConnInterface) error) error
}

// State keeps small values durably, sealed, by room and key. What PutState has returned for
// survives a crash.
type State interface {
	PutState(ctx context.Context, room, key string, value []byte) error
	ListState(ctx context.Context, room string) (map[string][]byte, error)
}

// Room is the room of State that is the witness's own.
const Room = "witness"

// Alarm is what a person must look into.
type Alarm struct {
	Kind    adminv1.AlarmKind // LOG_FORK, LOG_SHRINK or LOG_UNPROVEN
	Subject string            // the bureau
	Text    string            // at most 512 bytes, nothing of a case
	// Evidence is what WriteEvidence returned; empty if the file could not be written yet.
	Evidence string
}

// Alarms raise them. One of the same kind and subject is not a second one: it is counted.
type Alarms interface {
	Raise(ctx context.Context, alarm Alarm) error
}

// Keys knows the bureaus' keys. KeysOf returns those of a bureau and a usage that are good at a time; it
// fails for a bureau with which this one does not deal. pki/roster's Book is one.
type Keys interface {
	KeysOf(of identity.Bureau, usage rosterv1.KeyUsage, at time.Time) ([]signing.PublicKey, error)
}

// Config is what a Witness needs. The numbers are optional, and have their reasons where their
// defaults stand.
type Config struct {
	// Self is the own bureau.
	Self identity.Bureau
	// Federation is its federation.
	Federation identity.Federation
	// Keys are the bureaus' log keys, now.
	Keys Keys
	// Peers are the connections.
	Peers Peers
	// Bureaus returns the other bureaus of the roster that answer now: they are asked in turn for
	// what they were shown, and whoever of them has not been heard from for a while for its
	// checkpoint.
	Bureaus func() []identity.Bureau
	// State keeps what is known.
	State State
	// Alarms are raised.
	Alarms Alarms
	// Log is the own log.
	Log Log
	// WriteEvidence makes a file durable and returns where it lies, as an alarm names it. The
	// name is made of letters, digits, dots, dashes and underscores. The same name may come
	// again, with what replaces it.
	WriteEvidence func(name string, data []byte) (path string, err error)
	// Rosters returns the signed rosters from the first to the newest, for evidence.
	Rosters func() []*signedv1.Signed
	// Caller returns the verified node that makes a call on the mesh listener.
	Caller func(ctx context.Context) (identity.Identity, bool)

	// Every is the shortest time between two questions to one bureau.
	Every time.Duration
	// Quiet is after how long without a word a bureau is asked for its checkpoint.
	Quiet time.Duration
	// Exchange is how often one of the bureaus, in turn, is asked for its checkpoint and for what
	// it was shown of others' logs.
	Exchange time.Duration
	// Tries and Patience say when a proof that does not come is an alarm: after both.
	Tries    int
	Patience time.Duration
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Logger. Optional: nothing is logged.
	Logger *slog.Logger
}

const (
	// defaultEvery is what a log is asked for proofs while all is well: a log publishes about one
	// checkpoint a second, and each step that is proven costs one durable write here.
	defaultEvery = time.Second
	// defaultQuiet is how long a rewritten log can stay unseen by who does not deal with it.
	defaultQuiet = time.Hour
	// defaultTries and defaultPatience outlast a restart, an update and a roster on its way.
	defaultTries    = 10
	defaultPatience = 10 * time.Minute

	// maxBureaus is the roster's own bound.
	maxBureaus = 512
	// gather is how long a bureau's goroutine rests between two looks: of a flood no more than
	// maxInbox signatures are verified in that time.
	gather = 250 * time.Millisecond
	// lookEvery is how often quiet bureaus are looked for.
	lookEvery = 5 * time.Minute
	// maxCalls bounds the calls that are under way to all bureaus.
	maxCalls = 64
)

// Witness watches the other bureaus' logs.
type Witness struct {
	cfg   Config
	calls chan struct{}
	fresh chan struct{} // a bureau without a goroutine has come

	shared shared
	own    own

	mu      sync.RWMutex // guards bureaus, the map alone
	bureaus map[identity.Bureau]*watched
}

// New returns a witness that knows what State has kept. It fails if that cannot be read: a witness
// that forgets would believe the next thing that it is shown. Run does the work.
func New(ctx context.Context, cfg Config) (*Witness, error) {
	var wrong []error
	for name, absent := range map[string]bool{
		"Self": cfg.Self == "", "Federation": cfg.Federation == "", "Keys": cfg.Keys == nil, "Peers": cfg.Peers == nil,
		"Bureaus": cfg.Bureaus == nil, "State": cfg.State == nil, "Alarms": cfg.Alarms == nil, "Log": cfg.Log == nil,
		"WriteEvidence": cfg.WriteEvidence == nil, "Rosters": cfg.Rosters == nil, "Caller": cfg.Caller == nil,
	} {
		if absent {
			wrong = append(wrong, fmt.Errorf("witness: Config.%s is missing", name))
		}
	}
	if cfg.Every < 0 || cfg.Quiet < 0 || cfg.Exchange < 0 || cfg.Patience < 0 || cfg.Tries < 0 {
		wrong = append(wrong, errors.New("witness: Config.Every, Quiet, Exchange, Patience and Tries are not negative"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Quiet == 0 {
		cfg.Quiet = defaultQuiet
	}
	if cfg.Exchange == 0 {
		cfg.Exchange = defaultExchange
	}
	if cfg.Tries == 0 {
		cfg.Tries = defaultTries
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Witness{
		cfg:     cfg,
		calls:   make(chan struct{}, maxCalls),
		fresh:   make(chan struct{}, 1),
		bureaus: make(map[identity.Bureau]*watched),
	}
	w.own.subject = newWatched(cfg.Self)
	if err := w.load(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// Newest returns the own newest checkpoint, to be carried by what is signed. Empty before the
// first.
func (w *Witness) Newest() []byte { return w.cfg.Log.Newest() }

// Saw notes a checkpoint of the bureau from that a message of it carried, which from has signed
// and which is fresh: the caller has verified both. at is the message's own time. An empty
// checkpoint says that the bureau has none. It returns at once, whatever it was given.
func (w *Witness) Saw(from identity.Bureau, checkpoint []byte, carrier *signedv1.Signed, at time.Time) {
	if b := w.watch(from); b != nil {
		b.saw(sighting{note: checkpoint, carrier: carrier, at: at, received: w.cfg.Now(), way: carried}, w.cfg.Tries, w.cfg.Patience)
	}
}

// Told notes a checkpoint of a bureau that somebody else has seen. When it was signed is not
// known, so it can prove a fork and never a step back.
func (w *Witness) Told(of identity.Bureau, checkpoint []byte) { w.toldBy("", of, checkpoint) }

// toldBy is Told by a bureau.
func (w *Witness) toldBy(teller, of identity.Bureau, checkpoint []byte) {
	if b := w.watch(of); b != nil && len(checkpoint) > 0 {
		b.saw(sighting{note: checkpoint, received: w.cfg.Now(), way: told, teller: teller}, w.cfg.Tries, w.cfg.Patience)
	}
}

// watch returns what is kept of another bureau, or nil for the own and for no bureau.
func (w *Witness) watch(of identity.Bureau) *watched {
	w.mu.RLock()
	b := w.bureaus[of]
	w.mu.RUnlock()
	if b != nil {
		return b
	}
	if _, err := identity.ParseBureau(string(of)); err != nil || of == w.cfg.Self {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if b = w.bureaus[of]; b == nil && len(w.bureaus) < maxBureaus {
		b = newWatched(of)
		w.bureaus[of] = b
		select {
		case w.fresh <- struct{}{}:
		default:
		}
	}
	return b
}

// all returns what is kept of every bureau.
func (w *Witness) all() []*watched {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]*watched, 0, len(w.bureaus))
	for _, b := range w.bureaus {
		all = append(all, b)
	}
	return all
}

// Run looks at what was seen, asks for proofs and raises alarms until ctx ends. It is called once.
func (w *Witness) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var turns rounds
	turn := time.NewTimer(turns.pause(w.cfg.Self, w.cfg.Exchange))
	defer turn.Stop()
	running := make(map[identity.Bureau]bool)
	w.askTheQuiet()
	for {
		for _, b := range w.all() {
			if !running[b.bureau] {
				running[b.bureau] = true
				wg.Go(func() { w.attend(ctx, b) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-w.fresh:
		case <-look.C:
			w.askTheQuiet()
		case <-turn.C:
			w.exchange(&turns)
			turn.Reset(turns.pause(w.cfg.Self, w.cfg.Exchange))
		}
	}
}

// askTheQuiet has the checkpoint fetched of every bureau that answers and has shown none for long,
// so that also the log of one that asks nothing and is asked nothing is witnessed.
func (w *Witness) askTheQuiet() {
	now := w.cfg.Now()
	for _, bureau := range w.cfg.Bureaus() {
		b := w.watch(bureau)
		if b == nil {
			continue
		}
		b.mu.Lock()
		quiet := now.Sub(b.shown) >= w.cfg.Quiet
		b.wanted = b.wanted || quiet
		b.mu.Unlock()
		if quiet {
			b.rouse()
		}
	}
}
