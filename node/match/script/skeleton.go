package script

// keys gathers skeletons without repeating one.
type keys struct {
	all  []string
	most int
}

func (k *keys) add(skeleton []byte) {
	if len(skeleton) == 0 || len(k.all) >= k.most {
		return
	}
	for _, s := range k.all {
		if s == string(skeleton) {
			return
		}
	}
	if k.all == nil {
		k.all = make([]string, 0, min(k.most, 4))
	}
	k.all = append(k.all, string(skeleton))
}

// vowel stands for a vowel while a skeleton is built: it keeps the two m of Mamdouh apart, where
// those of Ammar are one.
const vowel = '.'

// latin adds the skeletons of a word in a to z.
func (k *keys) latin(text string, most int) {
	var w weave
	w.start(most, 1)
	t := tables().sounds
	for at := 0; at < len(text); {
		r := t.find(text, at)
		if r == nil {
			return
		}
		w.choose(r.sound)
		at += len(r.text)
	}
	k.take(&w)
}

// leastHeard is the weight below which a reading is an escape of the zone and no spelling by ear.
const leastHeard = 0.55

// readings adds the skeletons of what a word is read as, of the best reading first.
func (k *keys) readings(token string) {
	c := collector{most: 8}
	read(token, &c)
	for depth := 1; depth <= k.most; depth *= 2 {
		for i := range c.forms {
			if c.forms[i].Weight >= leastHeard {
				k.latin(c.forms[i].Text, depth)
			}
		}
	}
}

// sound adds the skeletons of a word by the first column of its script's table.
func (t *table) sound(token string, k *keys) {
	var w weave
	w.start(k.most, 1)
	for at := 0; at < len(token); {
		r := t.find(token, at)
		if r == nil {
			return
		}
		w.choose(r.sound)
		at += len(r.text)
	}
	k.take(&w)
}

// take finishes the strands: doubled consonants are one, vowels go, but for an "a" that stands for
// the one at the start.
func (k *keys) take(w *weave) {
	for i := range w.n {
		s := w.strands[i].text[:w.strands[i].n]
		var b [maxLatin]byte
		n := 0
		for j, x := range s {
			switch {
			case x == vowel && j == 0:
				b[n] = 'a'
				n++
			case x == vowel || j > 0 && s[j-1] == x:
			default:
				b[n] = x
				n++
			}
		}
		k.add(b[:n])
	}
}
