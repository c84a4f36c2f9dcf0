package script

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed tables
var files embed.FS

// tables are read once, when the first name is folded.
var tables = sync.OnceValue(func() *allTables {
	han := readHan()
	return &allTables{
		latin:    readTable("latin"),
		wade:     readWadeGiles(han),
		sounds:   readTable("sounds"),
		cyrillic: readTable("cyrillic"),
		greek:    readTable("greek"),
		thaana:   readTable("thaana"),
		nko:      readTable("nko"),
		syriac:   readAbjad("syriac", ""),
		armenian: readTable("armenian"),
		georgian: readTable("georgian"),
		hebrew:   readHebrewTables(),
		arabic:   readArabicTables(),
		zone:     readZone(),
		brahmic:  readBrahmic(),
		thai:     readThai(),
		ethiopic: readEthiopic(),
		kana:     readTable("kana"),
		hangul:   readHangul(),
		han:      han,
	}
})

type allTables struct {
	latin, sounds                       *table
	cyrillic, greek, armenian, georgian *table
	thaana, nko                         *table
	syriac                              *abjad
	hebrew                              *hebrewTables
	arabic                              *arabicTables
	zone                                *arabicZone
	wade                                *wadeGiles
	brahmic                             *brahmic
	thai                                *thai
	ethiopic                            *ethiopic
	kana                                *table
	hangul                              *hangulTables
	han                                 *hanTables
}

// rows yields the lines of a table without its comments, split at tabs.
func rows(name string) [][]string {
	b, err := files.ReadFile("tables/" + name + ".tsv")
	if err != nil {
		panic(fmt.Sprintf("script: table %s: %v", name, err)) // it is part of the program
	}
	var all [][]string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		all = append(all, strings.Split(line, "\t"))
	}
	return all
}
