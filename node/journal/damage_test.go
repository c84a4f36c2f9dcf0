package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/journal"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// small writes a journal of two segments: one that ended, one with a few groups.
func small(t testing.TB) *world {
	t.Helper()
	w := lossy()
	w.segment = 8 << 10
	j := w.open(t)
	for n := range 4 {
		if n == 3 {
			record(t, j, check(n), check(n+1))
			record(t, j, check(n+2))
			break
		}
		answer(t, j, n)
	}
	whole(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if w.lossy.Bytes(segment2) == nil || w.lossy.Bytes("/node/journal/00000003.seg") != nil {
		t.Fatalf("not the files that were wanted: %v", w.lossy.Names())
	}
	return w
}

const (
	segment1 = "/node/journal/00000001.seg"
	segment2 = "/node/journal/00000002.seg"
)

// verdict opens a journal and checks it: what was found, at Open or by Check.
func verdict(t testing.TB, w *world) (j *journal.Journal, found []journal.Damage) {
	t.Helper()
	j, err := w.tryOpen(t.Context())
	if err != nil {
		var d *journal.Damage
		if !errors.As(err, &d) {
			t.Fatalf("not a damage: %v", err)
		}
		return nil, []journal.Damage{*d}
	}
	defer j.Close()
	r, err := j.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return j, r.Flaws
}

// TestEveryByte flips each byte of a small journal, one by one. Each is found, in its file, and
// not before it. The only bytes that nobody misses are the zeros behind the newest group: nothing
// was written there.
func TestEveryByte(t *testing.T) {
	w := small(t)
	random := rand.New(rand.NewPCG(1, 2))
	flips := 0
	for _, name := range w.lossy.Names() {
		if !strings.HasPrefix(name, "/node/journal/") {
			continue
		}
		content := w.lossy.Bytes(name)
		size := len(bytes.TrimRight(content, "\x00"))
		if strings.HasSuffix(name, ".idx") || strings.HasSuffix(name, "head") {
			size = len(content)
		}
		step := 1
		if testing.Short() || raceEnabled {
			step = 13
		}
		for at := 0; at < size; at += step {
			one := *w
			one.lossy = w.lossy.Copy()
			one.files = one.lossy
			one.lossy.Flip(name, int64(at), uint(random.IntN(8)))
			before := one.lossy.Bytes(name)
			_, found := verdict(t, &one)
			if strings.HasSuffix(name, ".idx") && len(found) == 0 && !bytes.Equal(before, one.lossy.Bytes(name)) {
				continue // it was found, and made anew
			}
			if len(found) == 0 {
				t.Errorf("%s: nobody noticed byte %d of %d", name, at, size)
				continue
			}
			d := found[0]
			if !strings.HasSuffix(name, d.File) {
				t.Errorf("%s, byte %d: found in %s: %v", name, at, d.File, &d)
			}
			if d.Offset > int64(at) || strings.HasSuffix(name, ".seg") && d.Offset < int64(at)-6000 {
				t.Errorf("%s, byte %d: found at %d: %v", name, at, d.Offset, &d)
			}
			flips++
		}
	}
	t.Logf("%d flips found", flips)
}

// TestEveryLength cuts each file of a small journal at every length.
func TestEveryLength(t *testing.T) {
	w := small(t)
	for _, name := range []string{segment1, segment2, "/node/journal/00000001.idx", "/node/journal/head"} {
		content := w.lossy.Bytes(name)
		written := len(content)
		if strings.HasSuffix(name, ".seg") {
			written = len(bytes.TrimRight(content, "\x00"))
		}
		step := 1
		if testing.Short() || raceEnabled {
			step = 17
		}
		for n := 0; n < written; n += step {
			one := *w
			one.lossy = w.lossy.Copy()
			one.files = one.lossy
			one.lossy.Put(name, content[:n])
			_, found := verdict(t, &one)
			if len(found) == 0 && !strings.HasSuffix(name, ".idx") {
				t.Errorf("%s: nobody noticed that %d bytes of %d are left", name, n, written)
			}
			for _, d := range found {
				if !strings.HasSuffix(name, d.File) {
					t.Errorf("%s cut at %d: found in %s: %v", name, n, d.File, &d)
				}
			}
		}
	}
}

// TestTornTail cuts the newest segment within its last group, as a lost power supply may: the head
// says nothing of that group yet. The group goes, everything before it stays, and it goes on.
func TestTornTail(t *testing.T) {
	w := lossy()
	j := w.open(t)
	answer(t, j, 1)
	record(t, j, check(2))
	before := len(bytes.TrimRight(w.lossy.Bytes(segment1), "\x00"))
	head := w.lossy.Bytes("/node/journal/head")
	answer(t, j, 3)
	content := bytes.TrimRight(w.lossy.Bytes(segment1), "\x00")
	j.Close()
	for n := before; n < len(content); n++ {
		for _, zeros := range []int{0, 4096} {
			one := *w
			one.lossy = w.lossy.Copy()
			one.files = one.lossy
			if zeros > 0 && n/512 == len(content)/512 {
				continue // a disk's block is written whole: no crash leaves this
			}
			cut := n
			if zeros > 0 {
				cut = n / 512 * 512
			}
			one.lossy.Put(segment1, append(bytes.Clone(content[:max(cut, before)]), make([]byte, zeros)...))
			one.lossy.Put("/node/journal/head", head)
			j := one.open(t)
			if j.Leaves() != 3 {
				t.Fatalf("cut at %d: %d leaves", n, j.Leaves())
			}
			if _, _, found, err := j.RecallAsk(t.Context(), "FRA", id(3)); found || err != nil {
				t.Fatalf("cut at %d: a torn ask is remembered: %v", n, err)
			}
			answer(t, j, 3)
			whole(t, j)
			j.Close()
		}
	}
}

// frames finds where the frames of a segment begin, by their mark.
func frames(content []byte) (at []int) {
	for i := 0; i+8 < len(content); i++ {
		if string(content[i:i+4]) == "EJF1" {
			at = append(at, i)
		}
	}
	return at
}

// TestFramesMoved leaves out, doubles and swaps frames and groups.
func TestFramesMoved(t *testing.T) {
	w := lossy()
	w.segment = 64 << 10
	j := w.open(t)
	for n := range 6 {
		record(t, j, border(n, auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_OUT),
			border(n+100, auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_OUT))
	}
	j.Close()
	content := bytes.TrimRight(w.lossy.Bytes(segment1), "\x00")
	at := frames(content)
	frame := func(i int) []byte {
		return content[at[i]:][:binary.BigEndian.Uint32(content[at[i]+4:])]
	}
	if len(at) != 12 {
		t.Fatalf("%d frames", len(at))
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	end := func(i int) int { return at[i] + len(frame(i)) }
	group := func(i int) []byte { return content[at[2*i]-28 : end(2*i+1)+4] }
	upTo := func(i int) []byte { return content[:at[2*i]-28] }
	from := func(i int) []byte { return content[at[2*i]-28:] }
	for name, c := range map[string]struct {
		content []byte
		what    string
		index   uint64
	}{
		"a frame left out":   {join(content[:at[5]], content[end(5):]), journal.Missing, 5},
		"a frame doubled":    {join(content[:end(5)], frame(5), content[end(5):]), journal.Reordered, 5},
		"frames swapped":     {join(content[:at[4]], frame(5), frame(4), content[end(5):]), journal.Reordered, 4},
		"a group left out":   {join(upTo(2), from(3)), journal.Missing, 4},
		"a group doubled":    {join(upTo(3), group(2), from(3)), journal.Reordered, 4},
		"groups swapped":     {join(upTo(2), group(3), group(2), from(4)), journal.Reordered, 4},
		"the last left out":  {upTo(5), journal.Missing, 10},
		"a frame in another": {join(content[:at[4]], frame(9), content[end(4):]), journal.Missing, 4},
	} {
		t.Run(name, func(t *testing.T) {
			// While the node runs: Check looks at the file as it is now.
			one := *w
			one.lossy = w.lossy.Copy()
			one.files = one.lossy
			j := one.open(t)
			room := len(one.lossy.Bytes(segment1))
			one.lossy.Put(segment1, append(bytes.Clone(c.content), make([]byte, max(0, room-len(c.content)))...))
			r, err := j.Check(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			named := false
			for _, f := range r.Flaws {
				named = named || f.What == c.what && f.Index == c.index && f.File == "00000001.seg"
			}
			if !named {
				t.Errorf("Check: %v", r.Flaws)
			}
			j.Close()
			// And when it starts.
			one.lossy.Put(segment1, c.content)
			_, err = one.tryOpen(t.Context())
			var d *journal.Damage
			if !errors.As(err, &d) || d.File != "00000001.seg" {
				t.Errorf("Open: %v", err)
			}
			if strings.HasSuffix(name, "swapped") && (d.What != journal.Reordered || d.Index != c.index) {
				t.Errorf("Open says of %s: %v", name, err)
			}
		})
	}
}

// TestAnotherJournalsSegment is refused, and so is a missing one.
func TestAnotherJournalsSegment(t *testing.T) {
	w := small(t)
	other := *w
	other.lossy = w.lossy.Copy()
	other.files = other.lossy
	c, err := other.config()
	if err != nil {
		t.Fatal(err)
	}
	c.Replica = "b"
	var d *journal.Damage
	if _, err := journal.Open(t.Context(), c); !errors.As(err, &d) || d.Offset != 0 {
		t.Errorf("another's: %v", err)
	}
	for _, name := range []string{segment1, segment2} {
		one := *w
		one.lossy = w.lossy.Copy()
		one.files = one.lossy
		if err := one.lossy.Remove(name); err != nil {
			t.Fatal(err)
		}
		if _, err := one.tryOpen(t.Context()); !errors.As(err, &d) || d.What != journal.Missing || !strings.HasSuffix(name, d.File) {
			t.Errorf("%s removed: %v", name, err)
		}
	}
	one := *w
	one.lossy = w.lossy.Copy()
	one.files = one.lossy
	a, b := one.lossy.Bytes(segment1), one.lossy.Bytes(segment2)
	one.lossy.Put(segment1, b)
	one.lossy.Put(segment2, a)
	if _, err := one.tryOpen(t.Context()); !errors.As(err, &d) || d.What != journal.Reordered {
		t.Errorf("swapped: %v", err)
	}
}
