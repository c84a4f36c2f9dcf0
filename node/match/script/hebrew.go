package script

// hebrewTables are the letters of Hebrew, and the names that most people bear.
type hebrewTables struct {
	*abjad
	names map[string][]string
}

func readHebrewTables() *hebrewTables {
	return &hebrewTables{
		abjad: readAbjad("hebrew", "ײױװ"),
		names: readNames("hebrew_names", func(s string, b []byte) []byte { return append(b, s...) }),
	}
}

func (h *hebrewTables) read(token string, c *collector) {
	known := h.names[token]
	for i, text := range known {
		c.add(text, nameWeight(i), false)
	}
	if known == nil {
		h.abjad.read(token, 1, c)
	} else {
		h.abjad.read(token, 0.55, c)
	}
}

func (h *hebrewTables) skeletons(token string, k *keys) {
	for _, text := range h.names[token] {
		k.latin(text, 1)
	}
	h.sounds.sound(token, k)
}
