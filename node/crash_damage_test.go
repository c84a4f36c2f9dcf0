package node_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/signing"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// flipsVariable sets how many places of each file TestEveryFileDamaged damages.
//
//	ENTENTE_CRASH_FLIPS=24 go test ./node -run TestEveryFileDamaged -v -timeout 1h
const flipsVariable = "ENTENTE_CRASH_FLIPS"

// relic is a node's folder after some use, as it lay when the node was killed or had stopped.
type relic struct {
	mesh  *nodetest.Mesh
	files map[string][]byte // by path below the folder
	modes map[string]fs.FileMode
	was   state
}

// state is what a node shows of itself that damage must not change in silence.
type state struct {
	policy, roster  string
	records, leaves uint64
	distrusted      string
}

// takeRelic reads a folder as it lies. A living node writes beside its files and renames, so what
// is gone between its listing and its reading was such a file: it is left out.
func takeRelic(t *testing.T, m *nodetest.Mesh, dir string) *relic {
	t.Helper()
	r := &relic{mesh: m, files: map[string][]byte{}, modes: map[string]fs.FileMode{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			r.modes[below] = info.Mode()
			return nil
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		r.modes[below], r.files[below] = info.Mode(), content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lay puts the folder somewhere, with one file damaged.
func (r *relic) lay(dir, file string, content []byte) error {
	for below, mode := range r.modes {
		if mode.IsDir() {
			if err := os.MkdirAll(filepath.Join(dir, below), mode.Perm()); err != nil {
				return err
			}
		}
	}
	for below, whole := range r.files {
		if below == file {
			whole = content
		}
		if err := os.WriteFile(filepath.Join(dir, below), whole, r.modes[below].Perm()); err != nil {
			return err
		}
	}
	return nil
}

// hurt is one damage to one file.
type hurt struct {
	file, how string
	content   []byte
}

// hurts are a flipped bit at some places of a file, and the file cut at some.
func hurts(file string, whole []byte, places int) []hurt {
	var all []hurt
	n := len(whole)
	sum := fnv.New64a()
	sum.Write([]byte(file))
	seed := sum.Sum64()
	for i := range min(places, n) {
		// One in each of as many stretches of the file, the same in each run.
		seed = seed*6364136223846793005 + 1442695040888963407
		stretch := max(1, n/places)
		at := min(n-1, i*n/places+int(seed>>33)%stretch)
		bit := byte(1) << (seed >> 29 & 7)
		content := bytes.Clone(whole)
		content[at] ^= bit
		all = append(all, hurt{file, fmt.Sprintf("bit %#02x of byte %d of %d flipped", bit, at, n), content})
	}
	lengths := []int{0, n / 2, n - 1}
	if places < 3 {
		lengths = []int{n / 2}
	}
	for _, length := range lengths {
		if length >= 0 && length < n {
			all = append(all, hurt{file, fmt.Sprintf("cut from %d to %d bytes", n, length), bytes.Clone(whole[:length])})
		}
	}
	return all
}

// What a node does about damage.
const (
	refuses   = "refuses to start, names the file"
	mute      = "REFUSES TO START, DOES NOT NAME THE FILE"
	stops     = "stops by itself, DAMAGE alarm"
	recovers  = "all right again, and says so in its log"
	harmless  = "serves right, nothing is lost"
	alarmed   = "serves, an alarm says what is changed"
	verified  = "serves, and entente audit verify names the file"
	clientOut = "the client cannot use it"
	unnoticed = "SERVES ON, UNNOTICED"
)

// outcomeOf starts a node over a damaged folder, uses it, and says what became of it.
func (r *relic) outcomeOf(t *testing.T, dir string, h hurt) (outcome, detail string) {
	t.Helper()
	if err := r.lay(dir, h.file, h.content); err != nil {
		t.Fatal(err)
	}
	if name, ours := strings.CutPrefix(filepath.ToSlash(h.file), "clients/"); ours {
		return r.clientOutcome(t, dir, filepath.Dir(name), h)
	}
	refused := func(err error) (string, string) {
		said := err.Error()
		for _, name := range namesOf(h.file) {
			if strings.Contains(filepath.ToSlash(said), name) {
				return refuses, said
			}
		}
		return mute, said
	}
	said := &tail{}
	n, err := r.start(dir, said)
	if err != nil {
		return refused(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- n.Wait(ctx) }()
	stop := func() error {
		cancel()
		return <-ended
	}
	if err := n.CheckStore(ctx); err != nil {
		patience := time.NewTimer(nodetest.Patience)
		defer patience.Stop()
		select {
		case err := <-ended:
			cancel()
			if err == nil {
				return unnoticed, "the store is damaged, and the node ended without a word"
			}
			return stops, err.Error()
		case <-patience.C:
			return unnoticed, errors.Join(err, stop()).Error()
		}
	}
	wrong, alarms, flaws := r.use(t, dir, n)
	err = stop()
	log := said.String()
	if len(alarms) == 0 && strings.Contains(log, "msg=alarm") {
		alarms = []string{warning(log)} // by policy nobody may ask for it any more
	}
	switch {
	case len(wrong) > 0 && len(alarms) > 0:
		return alarmed, strings.Join(append(alarms, wrong...), "; ")
	case len(flaws) > 0 && err != nil:
		return stops, err.Error()
	case len(wrong) > 0:
		return unnoticed, strings.Join(append(wrong, flaws...), "; ")
	case len(flaws) > 0:
		return verified, strings.Join(flaws, "; ")
	case err != nil:
		return unnoticed, fmt.Sprintf("it served right, and ended with %v", err)
	case len(alarms) > 0:
		return alarmed, strings.Join(alarms, "; ")
	case warning(log) != "":
		return recovers, warning(log)
	}
	return harmless, ""
}

// namesOf are the words by which an error may name a file: its path, its last name, or its folder's
// where the error is about the folder.
func namesOf(file string) []string {
	file = filepath.ToSlash(file)
	base := filepath.Base(file)
	names := []string{file, base, strings.TrimSuffix(strings.TrimSuffix(base, "-wal"), "-shm")}
	switch file {
	case "store/entente.db":
		names = append(names, "the store is damaged") // there is one
	case "secrets/node.key":
		names = append(names, "node_key_file")
	case "vault/records.keys":
		names = append(names, "records are sealed under a key that the vault does not have")
	}
	return names
}

// warning is the first warning in a log, but for those about other bureaus, which do not run.
func warning(log string) string {
	for line := range strings.Lines(log) {
		if (strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) && !strings.Contains(line, " peer=") {
			_, line, _ = strings.Cut(strings.TrimSpace(line), "level=")
			return line
		}
	}
	return ""
}

func (r *relic) start(dir string, log io.Writer) (*node.Node, error) {
	cfg, err := node.LoadConfig(dir, []string{"ENTENTE_GOSSIP=false"})
	if err != nil {
		return nil, err
	}
	cfg.MeshListen, cfg.LocalListen, cfg.MetricsListen = "127.0.0.1:0", "127.0.0.1:0", ""
	n, err := node.New(context.Background(), cfg, node.Options{Version: "test", Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return nil, err
	}
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// dial connects to a node's local listener as one of the clients that init left, with what lies
// in a folder.
func dialAs(t *testing.T, dir, client, address string) (*grpc.ClientConn, error) {
	t.Helper()
	leaf, err := mtls.LoadLeaf(node.ClientDir(dir, client))
	if err != nil {
		return nil, err
	}
	root, err := node.ReadRoot(dir)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	creds := mtls.LocalClient(leaf, mtls.Own(nodetest.Federation, "BEL", pool), "BEL", mtls.Options{})
	return grpc.NewClient("passthrough:///"+address, creds.DialOptions()...)
}

func (r *relic) clientOutcome(t *testing.T, dir, client string, h hurt) (outcome, detail string) {
	t.Helper()
	n, err := r.start(dir, io.Discard)
	if err != nil {
		return unnoticed, "a client's file keeps the node from starting: " + err.Error()
	}
	defer n.Stop()
	conn, err := dialAs(t, dir, client, n.LocalAddress())
	if err != nil {
		return clientOut, err.Error()
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if client == node.OfficerClient {
		_, err = officerChecks(ctx, conn)
	} else {
		_, err = adminv1.NewAdminServiceClient(conn).GetStatus(ctx, &adminv1.GetStatusRequest{})
	}
	if err != nil {
		return clientOut, err.Error()
	}
	return harmless, "the client's file still says the same"
}

func officerChecks(ctx context.Context, conn *grpc.ClientConn) (*screeningv1.CheckResponse, error) {
	req := nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21")
	req.Justification = &queryv1.Justification{Purpose: nodetest.Border}
	return screeningv1.NewScreeningServiceClient(conn).Check(ctx, req)
}

// use has a node check, answer, and verify its books. It returns what came out wrong, what alarms
// it raised, and what flaws it found.
func (r *relic) use(t *testing.T, dir string, n *node.Node) (wrong, alarms, flaws []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	bel, bgr := r.mesh.Bureau("BEL"), r.mesh.Bureau("BGR")
	fail := func(what string, err error) { wrong = append(wrong, what+": "+err.Error()) }

	officer, err := dialAs(t, dir, node.OfficerClient, n.LocalAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer officer.Close()
	if resp, err := officerChecks(ctx, officer); err != nil {
		fail("check of a person", err)
	} else if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT {
		wrong = append(wrong, "the check of a person who is looked for: "+resp.GetVerdict().String())
	}
	ask := bgr.Intrude(n.MeshAddress(), bgr.Leaf().Get())
	signed, err := bgr.Signer().Ask(askYorick(bgr, "BEL"))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := sendAsk(t, ask, signed); err != nil {
		fail("ask from abroad", err)
	} else if a, err := signing.NewVerifier(nodetest.Federation, bgr.Book(), nil).Answer(answer, "BEL"); err != nil {
		fail("the answer to an ask from abroad", err)
	} else if a.GetResults()[0].GetStatus() != queryv1.Status_STATUS_HIT {
		wrong = append(wrong, "the answer to an ask from abroad: "+a.GetResults()[0].GetStatus().String())
	}
	if now, raised, err := look(ctx, t, dir, n); err != nil {
		fail("status", err)
	} else {
		alarms = raised
		now.leaves = min(now.leaves, r.was.leaves) // they grow
		if now != r.was {
			wrong = append(wrong, fmt.Sprintf("it shows %+v, and showed %+v", now, r.was))
		}
	}
	id := identity.Client(nodetest.Federation, "BEL", "auditors", identity.RoleAuditor, "auditor-1", nil)
	auditor := bel.Intrude(n.LocalAddress(), bel.Mint(id, nil))
	stream, err := auditv1.NewAuditServiceClient(auditor).Verify(ctx, &auditv1.VerifyRequest{})
	for err == nil {
		var resp *auditv1.VerifyResponse
		if resp, err = stream.Recv(); err == nil && resp.GetReport() != nil {
			for _, f := range resp.GetReport().GetFlaws() {
				flaws = append(flaws, fmt.Sprintf("%s byte %d: %s", f.GetFile(), f.GetOffset(), f.GetWhat()))
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		fail("audit verify", err)
	}
	return wrong, alarms, flaws
}

// look reads what a node shows of itself.
func look(ctx context.Context, t *testing.T, dir string, n *node.Node) (state, []string, error) {
	t.Helper()
	operator, err := dialAs(t, dir, node.OperatorClient, n.LocalAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	admin := adminv1.NewAdminServiceClient(operator)
	s, err := admin.GetStatus(ctx, &adminv1.GetStatusRequest{})
	if err != nil {
		return state{}, nil, err
	}
	now := state{policy: s.GetPolicyVersion(), roster: s.GetRosterFingerprint() + " " + strconv.FormatUint(s.GetRosterVersion(), 10), leaves: s.GetBooks().GetLeaves()}
	for _, c := range s.GetCollections() {
		now.records += c.GetRecords()
	}
	peers, err := admin.ListPeers(ctx, &adminv1.ListPeersRequest{})
	if err != nil {
		return state{}, nil, err
	}
	for _, p := range peers.GetPeers() {
		if p.GetDistrustReason() != "" {
			now.distrusted += p.GetBureau() + ": " + p.GetDistrustReason()
		}
	}
	var alarms []string
	for _, a := range s.GetAlarms() {
		if a.GetKind() != adminv1.AlarmKind_ALARM_KIND_DISTRUST {
			alarms = append(alarms, a.GetKind().String()+": "+a.GetText())
		}
	}
	return now, alarms, nil
}

// used is a mesh of BEL, BGR and ESP after some use: BEL holds persons and documents, has asked and
// answered, was given a second roster, distrusts ESP, and has erased a part of its books. It
// returns BEL's folder as a kill would leave it, and as a stop does.
func used(t *testing.T) (killed, stopped *relic) {
	t.Helper()
	m := nodetest.FoundWith(t, nodetest.Setup{Direct: true}, "BEL", "BGR", "ESP")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	for i, b := range []*nodetest.Bureau{bel, bgr} {
		b.Create(nodetest.Person(fmt.Sprintf("p:%d", i), "Vandersmissen", "Yorick", "1990-07-21"))
		var csv strings.Builder
		csv.WriteString("number,issuing_country,type,status,national_reference\n")
		for k := range 300 {
			fmt.Fprintf(&csv, "E%c%06d,%s,passport,stolen,ref-%d\n", 'A'+i, k, b.ID, k)
		}
		b.Import(nodetest.Documents, "csv", strings.NewReader(csv.String()))
	}
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	bel.Generous("BGR")
	bgr.Generous("BEL")
	some := func() {
		for range 40 {
			bel.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
			bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
		}
	}
	some()
	// Later than all asks are remembered, for a moment, so that a part of the books can be erased.
	bel.Clock.Set(10 * time.Minute)
	if n, err := bel.Node.Retain(t.Context(), bel.Clock.Now().Add(time.Minute)); err != nil || n == 0 {
		t.Fatalf("retain: %d, %v", n, err)
	}
	bel.Clock.Set(0)
	some()
	if err := bel.Install(m.Sign(m.Next(m.View()), m.Bureaus()...)); err != nil {
		t.Fatal(err)
	}
	if _, err := bel.Admin().DistrustPeer(t.Context(), &adminv1.DistrustPeerRequest{Bureau: "ESP", Reason: "for the scene"}); err != nil {
		t.Fatal(err)
	}
	was, alarms, err := look(t.Context(), t, bel.Dir, bel.Node)
	if err != nil || len(alarms) > 0 {
		t.Fatal(err, alarms)
	}
	m.Eventually("all of the books are in the tree", func() bool {
		s, err := bel.Admin().GetStatus(t.Context(), &adminv1.GetStatusRequest{})
		return err == nil && s.GetBooks().GetIntegrated() >= was.leaves
	})
	killed = takeRelic(t, m, bel.Dir)
	for _, b := range m.Bureaus() {
		b.Stop()
	}
	stopped = takeRelic(t, m, bel.Dir)
	killed.was, stopped.was = was, was
	return killed, stopped
}

// TestEveryFileDamaged flips a bit in each file of a node's folder, and cuts each file, one at a
// time, and starts the node over what is left. It refuses and names the file, or it stops by
// itself, or it makes the damage good: it never serves on as if nothing were.
func TestEveryFileDamaged(t *testing.T) {
	places := 1
	if s := os.Getenv(flipsVariable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", flipsVariable, err)
		}
		places = n
	}
	killed, stopped := used(t)
	var cases []func(t *testing.T) (h hurt, outcome, detail string)
	add := func(r *relic, label string, h hurt) {
		cases = append(cases, func(t *testing.T) (hurt, string, string) {
			dir, err := os.MkdirTemp("", "entente-damage-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			outcome, detail := r.outcomeOf(t, dir, h)
			h.how += label
			return h, outcome, detail
		})
	}
	past, newest := map[string]int{}, map[string]string{}
	for name := range stopped.files {
		if old, part, partial := strings.Cut(name, ".p"+string(filepath.Separator)); partial && len(part) >= len(newest[old]) {
			newest[old] = max(newest[old], part)
			if len(part) > len(newest[old]) {
				newest[old] = part
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stopped.files)) {
		if strings.HasPrefix(name, node.GovernanceDir) {
			continue // not the node's: it is taken off the machine
		}
		if old, part, partial := strings.Cut(name, ".p"+string(filepath.Separator)); partial {
			// What the tree has outgrown is like one another: one of it, and the newest.
			if past[old]++; past[old] > 1 && part != newest[old] {
				continue
			}
		}
		for _, h := range hurts(name, stopped.files[name], places) {
			add(stopped, "", h)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(killed.files)) {
		// What differs between a kill and a stop is the database.
		if strings.HasPrefix(filepath.ToSlash(name), "store/") {
			for _, h := range hurts(name, killed.files[name], 2*places) {
				add(killed, ", of a node that was killed", h)
			}
		}
	}
	r := &relic{}
	*r = *stopped
	none := hurt{how: "nothing"}
	if outcome, detail := r.outcomeOf(t, t.TempDir(), none); outcome != harmless {
		t.Fatalf("without damage: %s: %s", outcome, detail)
	}
	if outcome, detail := killed.outcomeOf(t, t.TempDir(), none); outcome != harmless {
		t.Fatalf("killed, without damage: %s: %s", outcome, detail)
	}
	var mu sync.Mutex
	table := map[string]map[string][]string{}
	count := map[string]int{}
	t.Run("each", func(t *testing.T) {
		for i, c := range cases {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				h, outcome, detail := c(t)
				mu.Lock()
				defer mu.Unlock()
				count[outcome]++
				if table[h.file] == nil {
					table[h.file] = map[string][]string{}
				}
				table[h.file][outcome] = append(table[h.file][outcome], h.how+" -> "+detail)
				if outcome == unnoticed || outcome == mute {
					t.Errorf("%s, %s: %s: %s", h.file, h.how, outcome, detail)
				}
			})
		}
	})
	for _, file := range slices.Sorted(maps.Keys(table)) {
		for _, outcome := range slices.Sorted(maps.Keys(table[file])) {
			all := table[file][outcome]
			t.Logf("%-50s %3d  %s, e.g. %.300s", file, len(all), outcome, all[0])
		}
	}
	t.Logf("%d files, %d damages: %v", len(table), len(cases), count)
}
