package names

import "strings"

// digraphs are read longest first; what they make is one sound or two. A reading is compared by its
// sounds: one byte a sound, so that SH is one letter beside S, and a doubled letter one. Capitals, and
// c, are sounds that Latin letters write with two: S for SH, C for CH, Z for ZH, X for KH, G for GH, T
// for TH, D for DH, c for TS.
var digraphs = []digraph{
	{"shch", "S"}, {"tsch", "C"}, {"dzh", "j"}, {"tch", "C"}, {"sch", "S"}, {"sh", "S"}, {"ch", "C"}, {"cz", "C"},
	{"zh", "Z"}, {"kh", "X"}, {"gh", "G"}, {"ph", "f"}, {"th", "T"}, {"dh", "D"}, {"dj", "j"}, {"dz", "z"},
	{"tx", "C"}, {"ts", "c"}, {"tz", "c"}, {"ck", "k"}, {"qu", "k"}, {"x", "ks"}, {"ou", "u"}, {"oo", "u"}, {"ee", "i"}, {"ij", "i"},
	{"iy", "i"}, {"yy", "i"}, {"q", "q"},
}

type digraph struct{ letters, sounds string }

// digraphsOf are those that begin with a letter, from a, in their order.
var digraphsOf = func() (of [26][]digraph) {
	for _, d := range digraphs {
		of[d.letters[0]-'a'] = append(of[d.letters[0]-'a'], d)
	}
	return of
}()

// appendSounds appends the sounds of a reading in a to z.
func appendSounds(b []byte, text string) []byte {
	start := len(b)
	for i := 0; i < len(text); {
		n, sounds := 1, text[i:i+1]
		if c := text[i] - 'a'; int(c) < len(digraphsOf) {
			for _, d := range digraphsOf[c] {
				if strings.HasPrefix(text[i:], d.letters) {
					n, sounds = len(d.letters), d.sounds
					break
				}
			}
		}
		if sounds == "C" && i == 0 && strings.HasPrefix(text, "chr") {
			sounds = "k"
		}
		for j := range len(sounds) {
			if len(b) == start || b[len(b)-1] != sounds[j] {
				b = append(b, sounds[j])
			}
		}
		i += n
	}
	return b
}

// Costs are in nats: how much less likely it is that one name is written both ways than that it is
// written alike. A typing error of any kind costs tuned.typo, what writers of names do daily much less.
const costUnrelated = 99

// costTable holds the cost of one sound for another, and of a sound too many.
type costTable struct {
	change [128][128]float32
	gap    [128]float32
	// loss is what it costs at the least that a sound is not on the other side, by the last five bits
	// of the sound.
	loss [32]float32
}

const vowels = "aeiouyw"

// changes are the sounds that are written for each other, with their cost, and both ways round.
const changes = `
ae.5 ao.7 ai1.2 au1.0 ei.4 eo1.1 eu1.3 ou.35 io1.6 iu1.2 yi.15 ye.6 ya1.4 yu1.4 yo1.6
wu.3 wo.6 wv.3 wb2 vu.8 vo1.2 vf.9 vb1.2 wf1.8 wa1.6 we1.8
kq.1 kC1.6 kg1.2 kX.7 kh1.6 kG1.6 kc1.2 qg.7 qG.9 qX.9 qh1.8 gG.3 gh1.4 GX1.2 Gh1.3 Xh.4 Xc2 XC1.6
sS.9 sz.6 sc.7 sC1.8 sT.7 sZ1.5 sD1.6 zS1.6 zZ.8 zD.6 zc1.0 zj1.2 zC2 zT1.5 cC.7 cT1.6 cS1.2 cj2
SC1.0 SZ1.2 Sj1.5 Sx1.5 Cj.9 CZ1.3 CT2 jZ.5 jy.7 ji.9 jg.8 jh1.6 jX1.8 jG1.4 je1.8 gy1.8
tT.3 td1.2 tD1.6 dD.3 dT1.6 dz1.5 Tf2
bp1.2 pf1.2 bf2.2 mn1.8 lr2.2 nl2.4 hy2.5
`

// gaps are the sounds that are left out or put in at less than the cost of a slip.
const gaps = `a.7 e.6 i.8 o1.0 u.9 y.7 w1.0 h.6 G1.8 q2.2 j2.2`

// read makes the table; it is small, and read once.
func newCostTable() *costTable {
	t := &costTable{}
	isVowel := func(c byte) bool { return strings.IndexByte(vowels, c) >= 0 }
	for a := range 128 {
		t.gap[a] = tuned.typo
		for b := range 128 {
			switch {
			case a == b:
			case isVowel(byte(a)) && isVowel(byte(b)):
				t.change[a][b] = 1.8
			default:
				t.change[a][b] = tuned.typo
			}
		}
	}
	for _, f := range strings.Fields(changes) {
		c := parseCost(f[2:])
		t.change[f[0]][f[1]], t.change[f[1]][f[0]] = c, c
	}
	for _, f := range strings.Fields(gaps) {
		t.gap[f[0]] = parseCost(f[1:])
	}
	for bit := range t.loss {
		t.loss[bit] = tuned.typo
		for _, c := range []int{64 + bit, 96 + bit} {
			// Between two bare letters a vowel is left out at hardly any cost.
			t.loss[bit] = min(t.loss[bit], t.gap[c])
			if isPlainVowel(byte(c)) {
				t.loss[bit] = bareVowel
			}
			for other := range 128 {
				if other&31 != bit {
					t.loss[bit] = min(t.loss[bit], t.change[c][other])
				}
			}
		}
	}
	return t
}

// parseCost reads "1.2", ".5" and "2".
func parseCost(s string) float32 {
	whole, part, _ := strings.Cut(s, ".")
	var v float32
	for _, c := range whole {
		v = v*10 + float32(c-'0')
	}
	scale := float32(0.1)
	for _, c := range part {
		v += float32(c-'0') * scale
		scale /= 10
	}
	return v
}

var costs = newCostTable()

// bareVowel is what a vowel costs that the other side's script does not write.
const bareVowel = 0.2

// maxSounds bounds a reading: a zone holds 39 letters for the whole name.
const maxSounds = 40

func isPlainVowel(c byte) bool {
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y'
}
