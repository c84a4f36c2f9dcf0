package script

import "unicode/utf8"

// readKana reads a Japanese word in kana. One that mixes kanji with them is read only if the table
// of names has it: nobody can tell how else the kanji sound.
func readKana(token string, c *collector) {
	t := tables()
	if j := t.han.japanese[token]; j != nil {
		for i, text := range j.readings {
			c.add(text, nameWeight(i), false)
		}
		return
	}
	var b [4 * MaxLetters]byte
	kana := b[:0]
	for _, r := range token {
		if r >= 'ァ' && r <= 'ヶ' {
			r -= 'ァ' - 'ぁ'
		}
		kana = utf8.AppendRune(kana, r)
	}
	t.kana.read(string(kana), c)
}
