package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// demoFederation is the federation that the demonstration forms.
const demoFederation = identity.Federation("demo.entente")

// demoPatience bounds every wait of the demonstration, for a machine that is very busy.
const demoPatience = 60 * time.Second

func (a *app) demoCommand() *cobra.Command {
	var dir string
	var exit bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Start four bureaus on this machine and play their stories",
		Long: "Demo starts the bureaus ESP, BEL, BGR and LBN, each in a folder of its own with its own\n" +
			"certificate authority, store, policies and loopback ports, forms their federation, and plays\n" +
			"two stories between them. Then two auditors look into the books. All persons are invented. It\n" +
			"stays up afterwards, so that you can try it yourself.",
		Example: "  entente demo\n  entente demo --exit --json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d := &demo{app: a, exit: exit, dir: dir}
			if dir == "" {
				if d.dir, err = os.MkdirTemp("", "entente-demo-"); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
			}
			defer func() { err = errors.Join(err, d.stop()) }()
			return d.play(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where the bureaus' folders are made, and stay (default: a temporary folder)")
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the stories, with status 0 only if everything came out as expected")
	return cmd
}

// demo is one run of the demonstration.
type demo struct {
	app     *app
	dir     string
	exit    bool
	bureaus []*demoBureau
	held    int
	missed  []string
	roster  string // the fingerprint, as all have read it to each other
}

// demoBureau is one bureau of the demonstration.
type demoBureau struct {
	id      identity.Bureau
	name    string
	dir     string
	node    *node.Node
	result  *node.InitResult
	secret  []byte
	officer *grpc.ClientConn
	desk    *grpc.ClientConn // the operator's
	auditor *grpc.ClientConn // nil where the story needs none
}

func (d *demo) bureau(id identity.Bureau) *demoBureau {
	return d.bureaus[slices.IndexFunc(d.bureaus, func(b *demoBureau) bool { return b.id == id })]
}

// play does everything in order.
func (d *demo) play(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.makeBureaus, d.form, d.start, d.permit, d.fill, d.meet, d.coach, d.passport, d.audit} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := d.conclude(); err != nil {
		return err
	}
	if d.exit {
		return nil
	}
	d.tryYourself()
	<-ctx.Done()
	return nil
}

func (d *demo) makeBureaus(ctx context.Context) error {
	d.title("Four bureaus, each with its own certificate authority, keys, policies and store")
	for _, b := range []*demoBureau{{id: "ESP", name: "Spain"}, {id: "BEL", name: "Belgium"}, {id: "BGR", name: "Bulgaria"}, {id: "LBN", name: "Lebanon"}} {
		b.dir = filepath.Join(d.dir, strings.ToLower(string(b.id)))
		var err error
		if b.result, err = node.Init(ctx, node.InitOptions{Dir: b.dir, Bureau: b.id, Federation: demoFederation, Now: d.app.now}); err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
		if b.secret, err = d.app.passphrase("", b.result.Governance); err != nil {
			return err
		}
		d.bureaus = append(d.bureaus, b)
		d.event("bureau", map[string]any{"bureau": b.id, "dir": b.dir, "mesh": b.result.Config.MeshListen, "local": b.result.Config.LocalListen},
			"  %s  %-9s mesh %s  local %s", b.id, b.name, b.result.Config.MeshListen, b.result.Config.LocalListen)
	}
	return nil
}

// form makes the first roster: every founder asks to join, signs the draft, and installs what
// all have signed.
func (d *demo) form(context.Context) error {
	d.title("They form a federation: every founder signs the list, nobody is in charge")
	var joins []*signedv1.Signed
	for _, b := range d.bureaus {
		join, _, err := node.JoinRequest(b.result.Config, b.result.Governance, b.secret, d.app.now())
		if err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
		joins = append(joins, join)
	}
	draft, err := roster.Found(demoFederation, roster.DefaultThreshold(len(joins)), joins, d.app.now(), rosterLife)
	if err != nil {
		return err
	}
	payload, err := roster.MarshalDraft(draft)
	if err != nil {
		return err
	}
	var signatures []*signedv1.Signature
	for _, b := range d.bureaus {
		governor, err := node.Governor(b.result.Config, b.result.Governance, b.secret)
		if err != nil {
			return err
		}
		sig, err := governor.Roster(payload)
		if err != nil {
			return err
		}
		signatures = append(signatures, sig)
	}
	signed, err := roster.Merge(payload, signatures...)
	if err != nil {
		return err
	}
	for _, b := range d.bureaus {
		book, err := roster.OpenBook(node.RosterDir(b.dir), demoFederation, b.id, d.app.now)
		if err != nil {
			return err
		}
		if _, err := book.Install(signed, roster.InstallOptions{Fingerprint: roster.Fingerprint(payload)}); err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
	}
	d.roster = roster.Fingerprint(payload)
	d.event("roster", map[string]any{"version": 1, "threshold": draft.GetThreshold(), "fingerprint": d.roster},
		"  roster version 1, %d bureaus, later versions need %d of them\n  %s", len(joins), draft.GetThreshold(), d.roster)
	return nil
}

func (d *demo) start(ctx context.Context) error {
	for _, b := range d.bureaus {
		n, err := node.New(ctx, b.result.Config, node.Options{Version: version(), Now: d.app.now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
		b.node = n
		if err := n.Start(ctx); err != nil {
			return fmt.Errorf("%s: %w", b.id, err)
		}
		if b.officer, err = d.app.dial(ctx, connection{dir: b.dir, client: node.OfficerClient}); err != nil {
			return err
		}
		if b.desk, err = d.app.dial(ctx, connection{dir: b.dir, client: node.OperatorClient}); err != nil {
			return err
		}
	}
	return nil
}

// demoPermits are the permits that the stories need, each written by the bureau that gives it.
func demoPermits() []policy.PermitOptions {
	border := []recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL}
	return []policy.PermitOptions{
		{Self: "ESP", Bureau: "BGR", Collection: policy.CollectionPersons, Mode: policy.ModeAsk, Purposes: border},
		{Self: "BGR", Bureau: "ESP", Collection: policy.CollectionPersons, Mode: policy.ModeAsk, Purposes: border},
		{Self: "BEL", Bureau: "LBN", Collection: policy.CollectionPersons, Mode: policy.ModeAsk, Purposes: border},
		{Self: "LBN", Bureau: "BEL", Collection: policy.CollectionPersons, Mode: policy.ModeAsk, Purposes: border},
		{Self: "LBN", Bureau: policy.Everybody, Collection: policy.CollectionDocuments, Mode: policy.ModeAsk, Purposes: border},
	}
}

func (d *demo) permit(ctx context.Context) error {
	d.title("They write permits: nobody asks or answers without one")
	for _, p := range demoPermits() {
		b := d.bureau(p.Self)
		name, _, err := policies.WritePermit(node.PoliciesDir(b.dir), p)
		if err != nil {
			return err
		}
		if _, err := adminv1.NewAdminServiceClient(b.desk).ReloadPolicy(ctx, &adminv1.ReloadPolicyRequest{}); err != nil {
			return err
		}
		d.event("permit", map[string]any{"bureau": p.Self, "with": p.Bureau, "collection": p.Collection, "file": name},
			"  %s  with %s: %s for border control (%s)", p.Self, p.Bureau, p.Collection, name)
	}
	return nil
}

// meet waits until the bureaus that deal with each other have described themselves.
func (d *demo) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	for _, pair := range []struct{ asker, answerer identity.Bureau }{{"BGR", "ESP"}, {"LBN", "BEL"}} {
		for {
			resp, err := adminv1.NewAdminServiceClient(d.bureau(pair.asker).desk).ListPeers(ctx, &adminv1.ListPeersRequest{})
			if err != nil {
				return fmt.Errorf("%s and %s did not find each other: %w", pair.asker, pair.answerer, err)
			}
			if offersPersons(resp.GetPeers(), pair.answerer) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s and %s did not find each other within %s", pair.asker, pair.answerer, demoPatience)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func offersPersons(peers []*adminv1.Peer, b identity.Bureau) bool {
	for _, p := range peers {
		if p.GetBureau() != string(b) || p.GetState() != adminv1.PeerState_PEER_STATE_CONNECTED {
			continue
		}
		for _, o := range p.GetOffers() {
			if o.GetCollection() == policy.CollectionPersons {
				return true
			}
		}
	}
	return false
}

// stop ends the nodes.
func (d *demo) stop() error {
	var errs []error
	for _, b := range d.bureaus {
		for _, conn := range []*grpc.ClientConn{b.officer, b.desk, b.auditor} {
			if conn != nil {
				errs = append(errs, conn.Close())
			}
		}
	}
	for _, b := range d.bureaus {
		if b.node != nil {
			errs = append(errs, b.node.Stop())
		}
	}
	return errors.Join(errs...)
}

// title and event print what happens: lines for people, one object a line with --json.
func (d *demo) title(text string) {
	if !d.app.json {
		fmt.Fprintf(d.app.out, "\n%s\n", text)
	}
}

func (d *demo) event(kind string, fields map[string]any, format string, args ...any) {
	if d.app.json {
		fields["event"] = kind
		_ = d.app.print(fields, "")
		return
	}
	fmt.Fprintf(d.app.out, format+"\n", args...)
}

// expect notes whether something came out as the story says.
func (d *demo) expect(held bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if held {
		d.held++
	} else {
		d.missed = append(d.missed, text)
	}
	if d.app.json {
		d.event("expectation", map[string]any{"text": text, "held": held}, "")
	}
}

func (d *demo) conclude() error {
	d.event("done", map[string]any{"held": d.held, "missed": d.missed}, "\n%d of %d expectations held", d.held, d.held+len(d.missed))
	if len(d.missed) == 0 {
		return nil
	}
	err := fmt.Errorf("the story did not come out as expected:\n  %s", strings.Join(d.missed, "\n  "))
	if d.exit {
		return err
	}
	fmt.Fprintln(d.app.err, err)
	return nil
}

// tryYourself prints the commands with which to try it.
func (d *demo) tryYourself() {
	if d.app.json {
		d.event("ready", map[string]any{"dir": d.dir}, "")
		return
	}
	self := "entente"
	if exe, err := os.Executable(); err == nil && !strings.Contains(exe, "go-build") {
		self = exe
	} else if err == nil {
		self = "go run ./cmd/entente"
	}
	line := func(args string, values ...any) {
		fmt.Fprintf(d.app.out, "  %s %s\n", self, fmt.Sprintf(args, values...))
	}
	fmt.Fprintln(d.app.out, "\nThe four bureaus stay up until you press Ctrl-C. Try it yourself, in another terminal:")
	bgr, lbn, esp := d.bureau("BGR").dir, d.bureau("LBN").dir, d.bureau("ESP").dir
	line("check --dir %s --purpose border-control --name 'Karim Belhadj Soriano' --birth-date 1989-03-14", bgr)
	line("check --dir %s --purpose border-control --document EH482913 --issuer BEL --json", lbn)
	line("check --dir %s --purpose border-control --name 'Anna Petrova' --birth-date 1980", bgr)
	line("status --dir %s", esp)
	line("peers --dir %s", bgr)
	line("policy explain --dir %s --action answer --bureau LBN --collection persons --purpose border-control", esp)
	line("audit list --dir %s --bureau LBN", d.bureau("BEL").dir)
	line("audit verify --dir %s", d.bureau("BEL").dir)
	line("peers distrust BGR --reason 'a try' --dir %s", esp)
}
