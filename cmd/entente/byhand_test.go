package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"

	"google.golang.org/protobuf/encoding/protojson"
)

// personLine is an invented wanted person as one line of a file of records.
func personLine(id, primary, secondary, born string) string {
	return fmt.Sprintf(`{"recordId":%q,"person":{"names":[{"type":"NAME_TYPE_PRIMARY","parts":[`+
		`{"kind":"NAME_PART_KIND_PRIMARY","text":%q},{"kind":"NAME_PART_KIND_SECONDARY","text":%q}]}],`+
		`"births":[{"precision":"DATE_PRECISION_DAY","from":%q,"to":%q}],"role":"PERSON_ROLE_WANTED","action":"ACTION_ARREST"}}`+"\n",
		id, primary, secondary, born, born)
}

// fingerprintText is a fingerprint as the command line prints it.
var fingerprintText = regexp.MustCompile(`(?:[0-9A-F]{4} ){15}[0-9A-F]{4}`)

// found forms a federation of the bureaus in the folders, as its operators do by hand: each
// writes a join request, one drafts, each signs, one merges, each installs.
func (f *folder) found(dirs ...string) {
	f.t.Helper()
	var joins, sigs []string
	own := map[string]string{}
	for _, dir := range dirs {
		o := f.into(dir+".join", "roster", "join-request", "--dir", dir)
		own[dir] = fingerprintText.FindString(o.stderr)
		joins = append(joins, dir+".join")
	}
	drafted := f.into("roster.draft", append([]string{"roster", "found", "--name", "demo.entente", "--threshold", fmt.Sprint(len(dirs))}, joins...)...)
	for dir, fingerprint := range own {
		if fingerprint == "" || !strings.Contains(drafted.stderr, strings.ToUpper(dir)+"  ") || !strings.Contains(drafted.stderr, fingerprint) {
			f.t.Fatalf("the draft does not show the fingerprint %q that %s told:\n%s", fingerprint, dir, drafted.stderr)
		}
	}
	for _, dir := range dirs {
		o := f.into(dir+".sig", "roster", "sign", "--dir", dir, "roster.draft")
		for other, fingerprint := range own {
			if !strings.Contains(o.stderr, fingerprint) {
				f.t.Errorf("%s signs without seeing the fingerprint of %s:\n%s", dir, other, o.stderr)
			}
		}
		sigs = append(sigs, dir+".sig")
	}
	merged := f.into("roster.1", append([]string{"roster", "merge", "roster.draft"}, sigs...)...)
	fingerprint := fingerprintText.FindString(merged.stderr)
	if !strings.Contains(drafted.stderr, fingerprint) {
		f.t.Errorf("the draft's fingerprint is not the roster's, %s:\n%s", fingerprint, drafted.stderr)
	}
	for _, dir := range dirs {
		f.do("roster", "install", "--dir", dir, "roster.1", "--fingerprint", fingerprint)
	}
}

// peer is how a node sees another bureau.
func (f *folder) peer(dir, bureau string) *adminv1.Peer {
	f.t.Helper()
	for line := range strings.Lines(f.do("peers", "--dir", dir, "--json").stdout) {
		p := &adminv1.Peer{}
		if err := protojson.Unmarshal([]byte(line), p); err != nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		if p.GetBureau() == bureau {
			return p
		}
	}
	f.t.Fatalf("%s does not list %s", dir, bureau)
	return nil
}

// meets waits until the node in a folder is connected to a bureau and knows what it offers of a
// collection.
func (f *folder) meets(dir, bureau, collection string) {
	f.t.Helper()
	eventually(f.t, dir+" and "+bureau+" find each other", func() bool {
		return offers(f.peer(dir, bureau), collection)
	})
}

func offers(p *adminv1.Peer, collection string) bool {
	if p.GetState() != adminv1.PeerState_PEER_STATE_CONNECTED {
		return false
	}
	for _, o := range p.GetOffers() {
		if o.GetCollection() == collection {
			return true
		}
	}
	return false
}

// The invented persons and documents of the test.
var (
	spaniard  = []string{"--name", "Iker Quintana Robles", "--birth-date", "1985-04-12"}
	bulgarian = []string{"--name", "Ventsislav Dragoev", "--birth-date", "1979-10-05"}
	nobody    = []string{"--name", "Marieke Vanhoutte", "--birth-date", "1992-06"}
)

const customsForbidden = `// ESP does not answer the customs of any bureau: they have no task that needs our persons.
@id("answer/no-customs")
forbid (
  principal in Agency::"BEL/customs",
  action == Action::"answer",
  resource
);
`

// TestByHand sets three bureaus up as operators do, with commands, processes and files alone,
// and goes through a federation's good and bad days.
func TestByHand(t *testing.T) {
	f := newFolder(t)
	// Each step rests on the ones before it.
	step := func(name string, play func()) {
		t.Helper()
		t.Log(name)
		play()
	}
	f.do("init", "--country", "BEL", "--federation", "demo.entente", "--dir", "bel", "--officer-agency", "customs")
	f.do("init", "--country", "ESP", "--federation", "demo.entente", "--dir", "esp")
	f.do("init", "--country", "BGR", "--federation", "demo.entente", "--dir", "bgr")
	f.found("bel", "esp", "bgr")
	// The root and governance keys are taken off the machine: the nodes do without.
	for _, dir := range []string{"bel", "esp", "bgr"} {
		if err := os.Rename(f.at(dir, "governance"), f.at("safe-"+dir)); err != nil {
			t.Fatal(err)
		}
	}
	nodes := map[string]*running{}
	for _, dir := range []string{"bel", "esp", "bgr"} {
		nodes[dir] = f.up(dir)
	}
	if o := f.fails("another", "run", "--dir", "bel"); strings.Contains(o.stderr, "panic") {
		t.Errorf("a second node on one folder:\n%s", o.stderr)
	}

	// Without a permit nobody is asked about anything.
	f.write("persons.jsonl", personLine("esp:1", "Quintana Robles", "Iker", "1985-04-12"))
	f.do("import", "--dir", "esp", "--collection", "persons", "--format", "entente-json", "--source", "sirene", "persons.jsonl")
	wantCame(t, f.check("bgr", spaniard...), "NO_HIT: BGR=NO_HIT")

	// Permits, on both sides.
	permit := func(dir, bureau, collection string) {
		t.Helper()
		f.do("policy", "permit", "--dir", dir, "--bureau", bureau, "--collection", collection, "--mode", "ask", "--purpose", "border-control")
	}
	permit("esp", "BGR", "persons")
	permit("bgr", "ESP", "persons")
	permit("esp", "BEL", "persons")
	permit("bel", "ESP", "persons")
	permit("bgr", "ALL", "documents")
	f.write("stolen.csv", "number,issuing_country,type,status,theft_date,theft_country,national_reference\nEH482913,BEL,passport,stolen,2014-08-19,TUR,BEL-2014-3391\n")
	f.do("import", "--dir", "bel", "--collection", "documents", "--format", "csv", "--source", "sltd", "stolen.csv")
	f.write("bulgarians.jsonl", personLine("bgr:1", "Dragoev", "Ventsislav", "1979-10-05"))
	f.do("import", "--dir", "bgr", "--collection", "persons", "--format", "entente-json", "bulgarians.jsonl")
	f.meets("bgr", "ESP", "persons")
	f.meets("bgr", "BEL", "documents")
	f.meets("bel", "ESP", "persons")
	f.meets("esp", "BGR", "persons")

	step("hit", func() {
		wantCame(t, f.check("bgr", "--document", "EH482913", "--issuer", "BEL", "--type", "passport"), "HIT: BGR=NO_HIT BEL=HIT; BEL/documents/sltd:*")
		wantCame(t, f.check("bgr", spaniard...), "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1")
		// A man whom Spain wants shows the passport that Belgium misses: one zone, two bureaus.
		man := demoPerson{"Quintana Robles", "Iker", "1985-04-12", "BEL", recordv1.Sex_SEX_MALE, "EH482913"}
		zone, err := man.zone("BEL", time.Now().AddDate(3, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		resp := f.check("bgr", "--mrz", zone)
		if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT || len(resp.GetHits()) != 2 || len(resp.GetBureaus()) != 3 ||
			statusAt(resp, "BEL").GetStatus() != queryv1.Status_STATUS_HIT || statusAt(resp, "ESP").GetStatus() != queryv1.Status_STATUS_HIT {
			t.Errorf("came out as %s", came(resp))
		}
		for _, h := range resp.GetHits() {
			// What was matched is not told across a border: exact scores and unmatched parts are
			// an oracle.
			if len(h.GetEvidence()) != 0 || h.GetScore() != 0 || h.GetPerson() != nil || h.GetDocument() != nil {
				t.Errorf("%s told of %s more than its asker may know: %v", h.GetBureau(), h.GetRecordId(), h)
			}
			if h.GetExplanation() == "" || len(h.GetMustNot()) == 0 || h.GetAction() == 0 {
				t.Errorf("%s does not say why it is a hit and what to do: %v", h.GetBureau(), h)
			}
		}
		text := f.do(append([]string{"check", "--dir", "bgr", "--purpose", "border-control"}, spaniard...)...).stdout
		for _, want := range []string{"HIT ESP/persons esp:1", "why ", "do       ARREST", "do not   ", "ESP  HIT"} {
			if !strings.Contains(text, want) {
				t.Errorf("an officer is not shown %q:\n%s", want, text)
			}
		}
	})

	step("no hit", func() {
		wantCame(t, f.check("bgr", nobody...), "NO_HIT: BGR=NO_HIT ESP=NO_HIT")
		wantCame(t, f.check("bgr", "--document", "EH482914", "--issuer", "BEL"), "NO_HIT: BGR=NO_HIT BEL=NO_HIT")
	})

	step("refusal", func() {
		// The same officer of the same bureau had an answer before the rule was in force.
		wantCame(t, f.check("bel", spaniard...), "HIT: BEL=NO_HIT ESP=HIT; ESP/persons/esp:1")
		f.write("esp/policies/no-customs.cedar", customsForbidden)
		f.do("policy", "reload", "--dir", "esp")
		resp := f.check("bel", spaniard...)
		wantCame(t, resp, "INCOMPLETE: BEL=NO_HIT ESP=REFUSED")
		// A refusal depends on the request alone, never on a record.
		other := f.check("bel", nobody...)
		wantCame(t, other, "INCOMPLETE: BEL=NO_HIT ESP=REFUSED")
		if a, b := statusAt(resp, "ESP").GetReason(), statusAt(other, "ESP").GetReason(); a != b || a == "" {
			t.Errorf("refused with %q and %q", a, b)
		}
		if strings.Contains(resp.String(), "no-customs") {
			t.Errorf("a stranger is told which rule refused: %v", resp)
		}
		explained := f.try("", "policy", "explain", "--dir", "esp", "--action", "answer", "--bureau", "BEL", "--agency", "customs",
			"--collection", "persons", "--purpose", "border-control")
		if !strings.Contains(explained.stdout, "answer/no-customs") {
			t.Errorf("its own side is not told which rule refuses:\n%s%s", explained.stdout, explained.stderr)
		}
		// The others are answered as before.
		wantCame(t, f.check("bgr", spaniard...), "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1")
	})

	step("killed", func() {
		nodes["esp"].kill()
		first := f.check("bgr", spaniard...)
		if first.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || heard(statusAt(first, "ESP")) {
			t.Fatalf("with ESP gone: %s", came(first))
		}
		// From now on it costs nothing. The quickest of three, for the machine may be busy.
		quickest := watchdog
		for range 3 {
			again := f.check("bgr", spaniard...)
			s := statusAt(again, "ESP")
			wantCame(t, again, "INCOMPLETE: BGR=NO_HIT ESP=UNAVAILABLE")
			if s.GetSince() == nil || s.GetReason() == "" {
				t.Errorf("not said since when ESP is away, and why: %v", s)
			}
			quickest = min(quickest, s.GetElapsed().AsDuration())
		}
		t.Logf("the first check with ESP gone waited %s for it, a later one %s", statusAt(first, "ESP").GetElapsed().AsDuration(), quickest)
		if quickest >= 50*time.Millisecond {
			t.Errorf("a check waits %s for a bureau that is known to be away", quickest)
		}
		// It costs only its own answer.
		wantCame(t, f.check("bgr", "--document", "EH482913", "--issuer", "BEL"), "HIT: BGR=NO_HIT BEL=HIT; BEL/documents/sltd:*")
		status := f.do("status", "--dir", "bgr").stdout
		if !strings.Contains(status, "WARNING: ESP is not reachable since ") || !strings.Contains(status, "3 bureaus, 1 connected") {
			t.Errorf("the operator is not told:\n%s", status)
		}
	})

	step("back", func() {
		nodes["esp"] = f.up("esp")
		began := jsonInto(t, f.do("status", "--dir", "esp", "--json").stdout, &adminv1.GetStatusResponse{}).GetStartedAt().AsTime()
		var resp *screeningv1.CheckResponse
		eventually(t, "ESP is used again", func() bool {
			resp = f.check("bgr", spaniard...)
			return resp.GetVerdict() == screeningv1.Verdict_VERDICT_HIT
		})
		wantCame(t, resp, "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1")
		// Both times are the nodes' own.
		took := resp.GetCheckedAt().AsTime().Sub(began)
		t.Logf("ESP was used again %s after its start", took)
		if took > 15*time.Second {
			t.Errorf("ESP was used again only %s after its start", took)
		}
	})

	step("distrust", func() {
		eventually(t, "ESP asks BGR again", func() bool { return heard(statusAt(f.check("esp", bulgarian...), "BGR")) })
		wantCame(t, f.check("esp", bulgarian...), "HIT: ESP=NO_HIT BEL=NO_HIT BGR=HIT; BGR/persons/bgr:1")
		f.do("peers", "distrust", "ESP", "--reason", "message key stolen", "--dir", "bgr")
		// The very next check, in both directions.
		here := f.check("bgr", spaniard...)
		wantCame(t, here, "INCOMPLETE: BGR=NO_HIT ESP=UNAVAILABLE")
		if s := statusAt(here, "ESP"); !strings.Contains(s.GetReason(), "cut it off") {
			t.Errorf("the officer is not told why: %v", s)
		}
		there := f.check("esp", bulgarian...)
		if there.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || heard(statusAt(there, "BGR")) {
			t.Errorf("a bureau that was cut off is answered: %s", came(there))
		}
		p := f.peer("bgr", "ESP")
		if p.GetState() != adminv1.PeerState_PEER_STATE_DISTRUSTED || p.GetDistrustReason() != "message key stolen" || len(p.GetOffers()) != 0 {
			t.Errorf("shown as %v", p)
		}
		if text := f.do("peers", "--dir", "bgr").stdout; !strings.Contains(text, "distrusted: message key stolen") {
			t.Errorf("the operator is not told:\n%s", text)
		}
		if text := f.do("status", "--dir", "bgr").stdout; !strings.Contains(text, "WARNING: ESP is distrusted") {
			t.Errorf("the operator is not warned:\n%s", text)
		}
		// Others are not touched, and a distrust outlives the process.
		wantCame(t, f.check("bel", nobody...), "INCOMPLETE: BEL=NO_HIT ESP=REFUSED")
		nodes["bgr"].stop()
		nodes["bgr"] = f.up("bgr")
		wantCame(t, f.check("bgr", spaniard...), "INCOMPLETE: BGR=NO_HIT ESP=UNAVAILABLE")

		f.do("peers", "trust", "ESP", "--dir", "bgr")
		eventually(t, "BGR asks ESP again", func() bool { return heard(statusAt(f.check("bgr", spaniard...), "ESP")) })
		eventually(t, "ESP asks BGR again", func() bool { return heard(statusAt(f.check("esp", bulgarian...), "BGR")) })
		wantCame(t, f.check("bgr", spaniard...), "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1")
		f.fails("is not distrusted", "peers", "trust", "ESP", "--dir", "bgr")
		f.fails("is not in the roster", "peers", "distrust", "LBN", "--reason", "a try", "--dir", "bgr")
		f.fails("cannot distrust itself", "peers", "distrust", "BGR", "--reason", "a try", "--dir", "bgr")
	})

	step("coach", f.checkCoach)

	step("agency", func() {
		// An agency's own system knows an address and two files, not the node's folder.
		officer := func(dir, name string) string { return filepath.Join(dir, "clients", "officer", name) }
		address := jsonInto(t, f.do("status", "--dir", "bgr", "--json").stdout, &adminv1.GetStatusResponse{}).GetLocalListen()
		args := append([]string{"check", "--node", address, "--purpose", "border-control", "--json"}, spaniard...)
		o := f.do(append(args, "--cert", officer("bgr", "cert.pem"), "--key", officer("bgr", "key.pem"))...)
		wantCame(t, jsonInto(t, o.stdout, &screeningv1.CheckResponse{}), "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1")
		// Another country's officer is nobody here, and does not believe the node either.
		if o := f.try("", append(args, "--cert", officer("esp", "cert.pem"), "--key", officer("esp", "key.pem"))...); o.code != exitFailed || o.stdout != "" {
			t.Errorf("an officer of ESP at BGR's node: exit status %d\n%s%s", o.code, o.stdout, o.stderr)
		}
		// An operator keeps the node and checks nobody; an officer checks and keeps nothing.
		operator := []string{"--cert", "bgr/clients/operator/cert.pem", "--key", "bgr/clients/operator/key.pem"}
		f.fails("PermissionDenied", append(args, operator...)...)
		f.fails("PermissionDenied", "status", "--node", address, "--cert", officer("bgr", "cert.pem"), "--key", officer("bgr", "key.pem"))
		// The mesh listener is not for agencies.
		mesh := jsonInto(t, f.do("status", "--dir", "bgr", "--json").stdout, &adminv1.GetStatusResponse{}).GetMeshListen()
		args[2] = mesh
		if o := f.try("", append(args, "--cert", officer("bgr", "cert.pem"), "--key", officer("bgr", "key.pem"))...); o.code != exitFailed || o.stdout != "" {
			t.Errorf("an officer at the mesh listener: exit status %d\n%s%s", o.code, o.stdout, o.stderr)
		}
	})

	step("restart", func() {
		for _, n := range nodes {
			n.stop()
		}
		f.fails("is it running", "check", "--dir", "bgr", "--purpose", "border-control", "--name", "Anybody")
		for dir := range nodes {
			nodes[dir] = f.up(dir)
		}
		eventually(t, "all are used again", func() bool {
			return heard(statusAt(f.check("bgr", spaniard...), "ESP")) && heard(statusAt(f.check("bgr", "--document", "EH482913", "--issuer", "BEL"), "BEL"))
		})
		wantCame(t, f.check("bgr", spaniard...), "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1")
		wantCame(t, f.check("bgr", "--document", "EH482913", "--issuer", "BEL"), "HIT: BGR=NO_HIT BEL=HIT; BEL/documents/sltd:*")
		for _, n := range nodes {
			n.stop()
		}
	})
}

// checkCoach checks forty travellers by their zones on standard input: forty objects come back,
// one a line, one for each.
func (f *folder) checkCoach() {
	t := f.t
	t.Helper()
	var zones strings.Builder
	expires := time.Now().AddDate(3, 0, 0)
	coach := onTheCoach(time.Now())
	coach[6] = demoPerson{"Quintana Robles", "Iker", "1985-04-12", "ESP", recordv1.Sex_SEX_MALE, "AAF184409"}
	for i, p := range coach {
		zone, err := p.zone(p.country, expires)
		if err != nil {
			t.Fatal(err)
		}
		zones.WriteString(zone + "\n")
		if i%2 == 0 {
			zones.WriteString("\n") // an empty line between two zones is nothing
		}
	}
	o := f.try(zones.String(), "check", "--dir", "bgr", "--purpose", "border-control", "--mrz", "-", "--json", "--officer", "post-7", "--unit", "crossing 1")
	if o.code != exitDone || strings.Count(o.stdout, "\n") != 40 {
		t.Fatalf("exit status %d, %d lines\n%s", o.code, strings.Count(o.stdout, "\n"), o.stderr)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(o.stdout) {
		resp := &screeningv1.CheckResponse{}
		if err := protojson.Unmarshal([]byte(line), resp); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if seen[resp.GetReference()] {
			t.Errorf("traveller %s was answered twice", resp.GetReference())
		}
		seen[resp.GetReference()] = true
		want := screeningv1.Verdict_VERDICT_NO_HIT
		if resp.GetReference() == "7" {
			want = screeningv1.Verdict_VERDICT_HIT
		}
		if resp.GetVerdict() != want {
			t.Errorf("traveller %s: %s", resp.GetReference(), came(resp))
		}
	}
	for i := range 40 {
		if !seen[fmt.Sprint(i+1)] {
			t.Errorf("traveller %d was not answered", i+1)
		}
	}

	// One that cannot be read does not keep the others from being checked.
	first, err := coach[0].zone("ESP", expires)
	if err != nil {
		t.Fatal(err)
	}
	o = f.try("this is no zone\n"+first+"\n", "check", "--dir", "bgr", "--purpose", "border-control", "--mrz", "-", "--json")
	objects, err := jsonLines(o.stdout, 2)
	if err != nil {
		t.Fatal(err)
	}
	if o.code != exitFailed || !strings.Contains(o.stderr, "not checked: 1") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
	for _, object := range objects {
		if failure := object["verdict"] == nil; failure != (object["reference"] == "1") || failure != (object["reason"] == "MRZ_UNREADABLE") {
			t.Errorf("came as %v", object)
		}
	}
}
