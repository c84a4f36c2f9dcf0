package names

import (
	"encoding/binary"
	"math"
	"slices"
)

// nearTable holds what of each word of a segment is read to compare it, in one run of bytes: a search
// compares thousands of words that lie anywhere, and to fetch each from memory takes longer than to
// compare it.
type nearTable struct {
	at   []uint32 // of a word: where it begins in b
	sets []uint32 // of a word: the sounds of all its readings
	lead []lead
	b    []byte
}

// lead is how a word's usual reading begins and how long it is: 0 where there is none.
type lead struct{ letter, size byte }

func leadOf(w *word) lead {
	if w.latin == "" {
		return lead{}
	}
	return lead{w.latin[0], byte(min(len(w.latin), math.MaxUint8))}
}

// Layout of a word: how many readings (1 byte), the group (4); of a reading: the set of its sounds
// (4), its cost (4), its sounds' length (2, the first bit says that it is bare), its sounds.
const (
	nearHead = 5
	nearForm = 10
	bareBit  = 1 << 15
)

func (t *nearTable) add(w *word) {
	t.at = append(t.at, uint32(len(t.b)))
	t.lead = append(t.lead, leadOf(w))
	forms, set := w.forms[:min(len(w.forms), math.MaxUint8)], uint32(0)
	t.b = append(t.b, byte(len(forms)))
	t.b = binary.LittleEndian.AppendUint32(t.b, w.group)
	for _, f := range forms {
		set |= f.set
		sound := f.sound[:min(len(f.sound), bareBit-1)]
		size := uint16(len(sound))
		if f.bare {
			size |= bareBit
		}
		t.b = binary.LittleEndian.AppendUint32(t.b, f.set)
		t.b = binary.LittleEndian.AppendUint32(t.b, math.Float32bits(f.cost))
		t.b = binary.LittleEndian.AppendUint16(t.b, size)
		t.b = append(t.b, sound...)
	}
	t.sets = append(t.sets, set)
}

func (t *nearTable) group(n uint32) uint32 { return binary.LittleEndian.Uint32(t.b[t.at[n]+1:]) }

// usual is the first reading of a word that has one: its sounds, which they are, and 1 if it is bare.
func (t *nearTable) usual(n uint32) (sound []byte, set uint32, bare int) {
	b := t.b[t.at[n]+nearHead:]
	size := binary.LittleEndian.Uint16(b[8:])
	return b[nearForm : nearForm+int(size&^bareBit)], binary.LittleEndian.Uint32(b), int(size >> 15)
}

func (t *nearTable) clipped() nearTable {
	return nearTable{slices.Clip(t.at), slices.Clip(t.sets), slices.Clip(t.lead), slices.Clip(t.b)}
}

// probe is a word that is compared with many, with what it takes to do so worked out once.
type probe struct {
	w     *word
	forms []probeForm
}

type probeForm struct {
	sound []byte // at most maxSounds
	whole []byte
	set   uint32
	cost  float32
	// Of its sounds: what each costs that is left out, and the sum up to there; of the other side
	// with and without vowels.
	gap   [2][maxSounds]float32
	first [2][maxSounds + 1]float32
	// Of a sound of the other side: what it costs to leave it out, and the least it costs at all.
	otherGap [128]float32
	least    [128]float32
}

// reset makes a probe of a word, in the memory of the one before.
func (p *probe) reset(w *word) {
	p.w = w
	p.forms = slices.Grow(p.forms[:0], len(w.forms))[:len(w.forms)]
	for i := range w.forms {
		p.forms[i].reset(&w.forms[i])
	}
}

func (p *probeForm) reset(f *form) {
	p.whole, p.set, p.cost = f.sound, f.set, f.cost
	p.sound = f.sound[:min(len(f.sound), maxSounds)]
	for bare := range 2 {
		for i, c := range p.sound {
			gap := costs.gap[c&127]
			if bare == 1 && isPlainVowel(c) {
				gap = min(gap, bareVowel)
			}
			p.gap[bare][i] = gap
			p.first[bare][i+1] = p.first[bare][i] + gap
		}
	}
	for c := range 128 {
		gap := costs.gap[c]
		if f.bare && isPlainVowel(byte(c)) {
			gap = min(gap, bareVowel)
		}
		p.otherGap[c], p.least[c] = gap, gap
	}
	for _, a := range p.sound {
		change := &costs.change[a&127]
		for c := range p.least {
			p.least[c] = min(p.least[c], change[c])
		}
	}
}

// far tells from the sounds of a word alone that it costs more than most.
func (p *probe) far(set uint32, most float32) bool {
	for i := range p.forms {
		if f := &p.forms[i]; f.cost+lossOf(f.set&^set) <= most+roundings {
			return false
		}
	}
	return true
}

// cost is the least cost of writing one name as both words: the one of the probe and one of the
// table.
func (p *probe) cost(t *nearTable, n uint32, most float32) float32 {
	best := most + 0.001
	b := t.b[t.at[n]:]
	forms := int(b[0])
	b = b[nearHead:]
	for range forms {
		set, read := binary.LittleEndian.Uint32(b), math.Float32frombits(binary.LittleEndian.Uint32(b[4:]))
		size := binary.LittleEndian.Uint16(b[8:])
		sound := b[nearForm : nearForm+int(size&^bareBit)]
		b = b[nearForm+len(sound):]
		for i := range p.forms {
			f := &p.forms[i]
			if left := best - read - f.cost; left > 0 && lossOf(f.set&^set) <= left {
				best = min(best, read+f.cost+f.compare(sound, int(size>>15), left))
			}
		}
	}
	if best > most {
		return costUnrelated
	}
	return best
}

// usual is the probe of the usual reading of the word that was asked at a place, made once a search.
func (t *scratch) usual(at int, w *word) *probeForm {
	if t.usualSet&(1<<at) == 0 {
		t.usuals[at].reset(&w.forms[0])
		t.usualSet |= 1 << at
	}
	return &t.usuals[at]
}

// roundings is more than what sums of the same costs in another order differ by.
const roundings = 0.001

// compare is the least cost of writing the sounds of the probe as those, and more than most (without
// more work) where it exceeds that. A bare side leaves out its vowels, and they cost little on the
// other.
func (p *probeForm) compare(b []byte, bare int, most float32) float32 {
	if string(p.whole) == string(b) {
		return 0
	}
	b = b[:min(len(b), maxSounds)]
	// What is still to come costs at least so much.
	rest := float32(0)
	for _, c := range b {
		rest += p.least[c&127]
	}
	most += roundings
	if rest > most {
		return costUnrelated
	}
	a := p.sound
	gaps := p.gap[bare][:len(a)]
	var rows [3][maxSounds + 1]float32
	before, last, row := &rows[0], &rows[1], &rows[2]
	copy(last[:], p.first[bare][:len(a)+1])
	leastBefore := float32(costUnrelated)
	for i, c := range b {
		gapB, change := p.otherGap[c&127], &costs.change[c&127]
		rest -= p.least[c&127]
		left := last[0] + gapB
		row[0] = left
		least := left
		for j := range a {
			d := last[j] + change[a[j]&127]
			if v := last[j+1] + gapB; v < d {
				d = v
			}
			if i > 0 && j > 0 && c == a[j-1] && b[i-1] == a[j] {
				if v := before[j-1] + tuned.transpose; v < d {
					d = v
				}
			}
			if v := left + gaps[j]; v < d {
				d = v
			}
			row[j+1], left = d, d
			if d < least {
				least = d
			}
		}
		// Two that changed places go from the row before to the next.
		if min(least, leastBefore+tuned.transpose)+rest > most {
			return costUnrelated
		}
		leastBefore = least
		before, last, row = last, row, before
	}
	return last[len(a)]
}
