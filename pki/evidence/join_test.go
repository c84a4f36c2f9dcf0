package evidence_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// drop says which of the four passages of a message are not booked.
type drop struct{ askOut, askIn, answerOut, answerIn bool }

// exchanges books n asks of BEL to ESP, one a minute, spoiled as given by number.
func exchanges(t testing.TB, f *evidencetest.Federation, n int, drops map[int]drop) (a, b *evidencetest.Book) {
	t.Helper()
	a, b = evidencetest.NewBook(f.Countries[bel]), evidencetest.NewBook(f.Countries[esp])
	for i := range n {
		at, id, d := asked.Add(time.Duration(i)*time.Minute), messageID(i), drops[i]
		ask := &signedv1.Signed{Payload: []byte("ask " + id)}
		answer := &signedv1.Signed{Payload: []byte("answer " + id)}
		book := func(skip bool, book *evidencetest.Book, k auditv1.EntryKind, w auditv1.EntryDirection, about *signedv1.Signed) {
			if !skip {
				book.Add(k, w, peerOf(book == a), id, at, about)
			}
		}
		book(d.askOut, a, evidencetest.Ask, evidencetest.Out, ask)
		book(d.askIn, b, evidencetest.Ask, evidencetest.In, ask)
		book(d.answerOut, b, evidencetest.Answer, evidencetest.Out, answer)
		book(d.answerIn, a, evidencetest.Answer, evidencetest.In, answer)
	}
	return a, b
}

func peerOf(asker bool) identity.Bureau {
	if asker {
		return esp
	}
	return bel
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func messageID(i int) string { return fmt.Sprintf("0b9f7a52-2b7e-4f0e-9a43-%012x", i) }

// joined exports the two books of the first hour and joins them.
func joined(t testing.TB, f *evidencetest.Federation, a, b *evidencetest.Book) evidence.JoinReport {
	t.Helper()
	since, until := asked, asked.Add(time.Hour)
	return evidence.Join(a.Export(t, f, esp, since, until), b.Export(t, f, bel, since, until), evidence.Trust{Fingerprint: f.Fingerprint()})
}

func TestBooksThatAgree(t *testing.T) {
	f := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	a, b := exchanges(t, f, 60, nil)
	r := joined(t, f, a, b)
	if !r.OK() || len(r.Findings) != 0 || r.Matched != 120 || r.NotJudged != 0 {
		t.Fatalf("%+v\n%s", r, failures(&r.Report))
	}
	// Through files, in parts.
	parts := func(b *evidencetest.Book, peer string) *auditv1.Export {
		whole := b.Export(t, f, identity.Bureau(peer), asked, asked.Add(time.Hour))
		var text []byte
		for i := 0; i < len(whole.GetEntries()); i += 50 {
			part := &auditv1.Export{Federation: whole.GetFederation(), Bureau: whole.GetBureau(), Peer: whole.GetPeer(), Entries: whole.GetEntries()[i:min(i+50, len(whole.GetEntries()))], Part: uint32(i / 50)}
			if i == 0 {
				part.Since, part.Checkpoint, part.Rosters = whole.GetSince(), whole.GetCheckpoint(), whole.GetRosters()
			}
			if i+50 >= len(whole.GetEntries()) {
				part.Until = whole.GetUntil()
			}
			p, err := evidence.EncodeExport(part)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, p...)
		}
		back, err := evidence.DecodeExport(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(len(whole.GetEntries()), len(back.GetEntries())); diff != "" || !proto.Equal(whole, back) {
			t.Fatalf("the export is read back otherwise: %s", diff)
		}
		last := strings.LastIndex(string(text), "-----BEGIN")
		if _, err := evidence.DecodeExport(text[:last]); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("an export without its last part: %v", err)
		}
		second := strings.Index(string(text[1:]), "-----BEGIN") + 1
		third := second + 1 + strings.Index(string(text[second+1:]), "-----BEGIN")
		if _, err := evidence.DecodeExport(append(text[:second:second], text[third:]...)); err == nil || !strings.Contains(err.Error(), "taken out") {
			t.Errorf("an export without its second part: %v", err)
		}
		if _, err := evidence.DecodeExport(append(text[:last-100:last-100], text[last:]...)); err == nil {
			t.Error("an export with a damaged part is read")
		}
		return back
	}
	if r := evidence.Join(parts(a, "ESP"), parts(b, "BEL"), evidence.Trust{}); !r.OK() {
		t.Fatal(failures(&r.Report))
	}
}

func TestOmissionsAreNamed(t *testing.T) {
	f := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	find := func(message int, lacks, passage, has, shows string) string {
		return fmt.Sprintf("%d: %s lacks %s, %s shows %s", message, lacks, passage, has, shows)
	}
	for name, tt := range map[string]struct {
		drop drop
		want []string
	}{
		"the answerer hides the whole exchange": {drop{askIn: true, answerOut: true}, []string{
			find(20, "ESP", "ASK/in", "BEL", "ASK/out"), find(20, "ESP", "ANSWER/out", "BEL", "ANSWER/in")}},
		"the answerer hides its answer": {drop{answerOut: true}, []string{find(20, "ESP", "ANSWER/out", "BEL", "ANSWER/in")}},
		"the answerer hides the ask":    {drop{askIn: true}, []string{find(20, "ESP", "ASK/in", "BEL", "ASK/out")}},
		"the asker hides that it asked": {drop{askOut: true, answerIn: true}, []string{
			find(20, "BEL", "ASK/out", "ESP", "ASK/in"), find(20, "BEL", "ANSWER/in", "ESP", "ANSWER/out")}},
		"the asker hides the answer": {drop{answerIn: true}, []string{find(20, "BEL", "ANSWER/in", "ESP", "ANSWER/out")}},
		"the asker hides the ask":    {drop{askOut: true}, []string{find(20, "BEL", "ASK/out", "ESP", "ASK/in")}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := exchanges(t, f, 60, map[int]drop{20: tt.drop})
			r := joined(t, f, a, b)
			var got []string
			for _, x := range r.Findings {
				if x.Finding != evidence.Omission || !x.At.Equal(asked.Add(20*time.Minute)) {
					t.Errorf("%s", x)
				}
				got = append(got, find(int(x.MessageID[15]), string(x.Lacks), x.Passage, string(x.Has), x.Shows))
			}
			if diff := cmp.Diff(sorted(tt.want), sorted(got)); diff != "" {
				t.Error(diff)
			}
			if r.OK() || !r.Report.OK() {
				t.Errorf("%s", failures(&r.Report))
			}
		})
	}
}

func TestWhatIsNoOmission(t *testing.T) {
	f := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	add := func(a *evidencetest.Book, i int) {
		a.Add(evidencetest.NoAnswer, evidencetest.In, esp, messageID(i), asked.Add(time.Duration(i)*time.Minute), nil)
	}
	t.Run("undelivered", func(t *testing.T) {
		a, b := exchanges(t, f, 60, map[int]drop{20: {askIn: true, answerOut: true, answerIn: true}, 21: {answerIn: true}})
		add(a, 20)
		add(a, 21)
		r := joined(t, f, a, b)
		if !r.OK() || len(r.Findings) != 2 || r.Findings[0].Finding != evidence.Undelivered || r.Findings[1].Finding != evidence.Undelivered {
			t.Errorf("%v\n%s", r.Findings, failures(&r.Report))
		}
	})
	t.Run("at the ends of the time", func(t *testing.T) {
		a, b := exchanges(t, f, 60, map[int]drop{1: {askIn: true, answerOut: true}, 58: {askOut: true, answerIn: true}})
		if r := joined(t, f, a, b); !r.OK() || len(r.Findings) != 0 || r.NotJudged != 4 {
			t.Errorf("%v, %d not judged\n%s", r.Findings, r.NotJudged, failures(&r.Report))
		}
	})
	t.Run("erased", func(t *testing.T) {
		a, b := exchanges(t, f, 60, nil)
		for i := range 10 {
			b.Openings[i] = nil
		}
		if r := joined(t, f, a, b); !r.OK() || r.Erased != 10 || r.Matched != 120 {
			t.Errorf("%d erased, %d matched\n%s", r.Erased, r.Matched, failures(&r.Report))
		}
	})
	t.Run("a retry", func(t *testing.T) {
		a, b := exchanges(t, f, 60, nil)
		b.Add(evidencetest.Ask, evidencetest.In, bel, messageID(30), asked.Add(30*time.Minute), &signedv1.Signed{Payload: []byte("ask " + messageID(30))})
		if r := joined(t, f, a, b); !r.OK() || r.Matched != 120 {
			t.Errorf("%v\n%s", r.Findings, failures(&r.Report))
		}
	})
	t.Run("another log of the same day", func(t *testing.T) {
		a, _ := exchanges(t, f, 60, nil)
		b := evidencetest.NewBook(f.Countries[esp])
		r := joined(t, f, a, b)
		if r.OK() || len(r.Findings) == 0 {
			t.Error("empty books agree with sixty asks")
		}
	})
}

func TestDifferentBytesAreNamed(t *testing.T) {
	f := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	a, b := exchanges(t, f, 60, map[int]drop{20: {askIn: true}})
	b.Add(evidencetest.Ask, evidencetest.In, bel, messageID(20), asked.Add(20*time.Minute), &signedv1.Signed{Payload: []byte("another question")})
	r := joined(t, f, a, b)
	if r.OK() || len(r.Findings) != 1 || r.Findings[0].Finding != evidence.DifferentBytes || r.Findings[0].Passage != "ASK/in" {
		t.Errorf("%v\n%s", r.Findings, failures(&r.Report))
	}
}

// TestSeveralMessagesUnderOneID has the asker send two asks under one id, and the answerer use it for
// an ask of its own.
func TestSeveralMessagesUnderOneID(t *testing.T) {
	f := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	const i = 20
	at, id := asked.Add(i*time.Minute), messageID(i)
	second, reply := &signedv1.Signed{Payload: []byte("second")}, &signedv1.Signed{Payload: []byte("reply to the second")}
	theirs := &signedv1.Signed{Payload: []byte("of the other's own")}
	for name, tt := range map[string]struct {
		asked, answered bool // whether the asker books the second ask, and its answer
		want            []string
	}{
		"both books have all":             {true, true, nil},
		"the asker hides the second":      {false, false, []string{"BEL lacks ANSWER/in", "BEL lacks ASK/out"}},
		"the asker hides its answer":      {true, false, []string{"BEL lacks ANSWER/in"}},
		"the asker hides what it answers": {false, true, []string{"BEL lacks ASK/out"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := exchanges(t, f, 60, nil)
			b.Add(evidencetest.Ask, evidencetest.In, bel, id, at, second)
			b.Add(evidencetest.Answer, evidencetest.Out, bel, id, at, reply)
			b.Add(evidencetest.Ask, evidencetest.In, bel, id, at, second) // a retry
			b.Add(evidencetest.Ask, evidencetest.Out, bel, id, at, theirs)
			a.Add(evidencetest.Ask, evidencetest.In, esp, id, at, theirs)
			if tt.asked {
				a.Add(evidencetest.Ask, evidencetest.Out, esp, id, at, second)
			}
			if tt.answered {
				a.Add(evidencetest.Answer, evidencetest.In, esp, id, at, reply)
			}
			b.Add(evidencetest.NoAnswer, evidencetest.In, bel, id, at, nil)
			r := joined(t, f, a, b)
			var got []string
			for _, x := range r.Findings {
				if x.Finding != evidence.Omission {
					t.Error(x)
				}
				got = append(got, string(x.Lacks)+" lacks "+x.Passage)
			}
			if diff := cmp.Diff(tt.want, sorted(got)); diff != "" || r.OK() != (tt.want == nil) {
				t.Errorf("%s\n%s", diff, failures(&r.Report))
			}
			if said := slices.ContainsFunc(r.Steps, func(s evidence.Step) bool { return s.Name == "omissions" && s.Verdict == evidence.Open }); said != (tt.want != nil) {
				t.Errorf("that a bundle alone proves an omission is said: %v", said)
			}
		})
	}
	t.Run("what was erased may be the second's", func(t *testing.T) {
		a, b := exchanges(t, f, 60, nil)
		b.Add(evidencetest.Ask, evidencetest.In, bel, id, at, second)
		a.Openings[a.Add(evidencetest.Ask, evidencetest.Out, esp, id, at, second)] = nil
		if r := joined(t, f, a, b); !r.OK() || len(r.Findings) != 0 {
			t.Errorf("%v\n%s", r.Findings, failures(&r.Report))
		}
	})
}

func TestExportsThatDoNotHold(t *testing.T) {
	f := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	other := evidencetest.Found(t, fed, founded, bel, esp, bgr)
	a, b := exchanges(t, f, 20, nil)
	since, until := asked, asked.Add(time.Hour)
	for name, tt := range map[string]struct {
		spoil func(e *auditv1.Export)
		want  string
	}{
		"about another":        {func(e *auditv1.Export) { e.Peer = string(bgr) }, "about each other"},
		"no common time":       {func(e *auditv1.Export) { e.Until = e.GetSince() }, "no time in common"},
		"a leaf changed":       {func(e *auditv1.Export) { e.GetEntries()[3].GetLeaf()[40] ^= 1 }, "entry 3"},
		"a leaf of nonsense":   {func(e *auditv1.Export) { e.GetEntries()[3].Leaf = []byte("x") }, "entry 3"},
		"a leaf twice":         {func(e *auditv1.Export) { e.Entries = append(e.GetEntries(), e.GetEntries()[0]) }, "stands twice"},
		"an opening changed":   {func(e *auditv1.Export) { e.GetEntries()[3].GetOpening().EvidenceDigest[0] ^= 1 }, "does not open"},
		"a path changed":       {func(e *auditv1.Export) { e.GetEntries()[3].GetInclusion()[0][0] ^= 1 }, "entry 3"},
		"outside its time":     {func(e *auditv1.Export) { e.Since.Seconds += 90 }, "outside"},
		"another's checkpoint": {func(e *auditv1.Export) { e.Checkpoint = b.Checkpoint(t, 40) }, "checkpoint of BEL"},
		"a stranger's rosters": {func(e *auditv1.Export) { e.Rosters = other.Rosters }, "another federation"},
		"no rosters":           {func(e *auditv1.Export) { e.Rosters = nil }, "rosters"},
	} {
		t.Run(name, func(t *testing.T) {
			e := proto.CloneOf(a.Export(t, f, esp, since, until))
			tt.spoil(e)
			r := evidence.Join(e, b.Export(t, f, bel, since, until), evidence.Trust{Fingerprint: f.Fingerprint()})
			if got := failures(&r.Report); r.OK() || !strings.Contains(got, tt.want) {
				t.Errorf("found:\n%s\nexpected: %s", got, tt.want)
			}
		})
	}
}

func FuzzExport(f *testing.F) {
	s := evidencetest.Found(f, fed, founded, bel, esp, bgr)
	a, b := exchanges(f, s, 6, nil)
	raw, err := proto.Marshal(a.Export(f, s, esp, asked, asked.Add(time.Hour)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, 0)
	f.Add(raw, 40)
	theirs := b.Export(f, s, bel, asked, asked.Add(time.Hour))
	f.Fuzz(func(t *testing.T, raw []byte, at int) {
		e, err := evidence.DecodeExport(armoured(evidence.BlockExport, raw, at))
		if err != nil {
			return
		}
		if r := evidence.Join(e, theirs, evidence.Trust{Fingerprint: s.Fingerprint()}); r.OK() && r.Matched > 12 {
			t.Fatalf("%d passages match of the 12 that there are", r.Matched)
		}
	})
}
