package identity

import "strings"

// isoCodes are the 249 officially assigned codes of ISO 3166-1 alpha-3, each of them the bureau
// of itself. They are kept here, as text, and not taken from a library, because libraries also
// carry withdrawn and private codes and change them with each release: which state a document
// belongs to decides whom a node asks, and must not move with an upgrade.
const isoCodes = `
ABW AFG AGO AIA ALA ALB AND ARE ARG ARM ASM ATA ATF ATG AUS AUT AZE
BDI BEL BEN BES BFA BGD BGR BHR BHS BIH BLM BLR BLZ BMU BOL BRA BRB BRN BTN BVT BWA
CAF CAN CCK CHE CHL CHN CIV CMR COD COG COK COL COM CPV CRI CUB CUW CXR CYM CYP CZE
DEU DJI DMA DNK DOM DZA ECU EGY ERI ESH ESP EST ETH
FIN FJI FLK FRA FRO FSM GAB GBR GEO GGY GHA GIB GIN GLP GMB GNB GNQ GRC GRD GRL GTM GUF GUM GUY
HKG HMD HND HRV HTI HUN IDN IMN IND IOT IRL IRN IRQ ISL ISR ITA JAM JEY JOR JPN
KAZ KEN KGZ KHM KIR KNA KOR KWT LAO LBN LBR LBY LCA LIE LKA LSO LTU LUX LVA
MAC MAF MAR MCO MDA MDG MDV MEX MHL MKD MLI MLT MMR MNE MNG MNP MOZ MRT MSR MTQ MUS MWI MYS MYT
NAM NCL NER NFK NGA NIC NIU NLD NOR NPL NRU NZL OMN
PAK PAN PCN PER PHL PLW PNG POL PRI PRK PRT PRY PSE PYF QAT REU ROU RUS RWA
SAU SDN SEN SGP SGS SHN SJM SLB SLE SLV SMR SOM SPM SRB SSD STP SUR SVK SVN SWE SWZ SXM SYC SYR
TCA TCD TGO THA TJK TKL TKM TLS TON TTO TUN TUR TUV TWN TZA UGA UKR UMI URY USA UZB
VAT VCT VEN VGB VIR VNM VUT WLF WSM YEM ZAF ZMB ZWE`

// issuers maps every code that may stand in a document's issuer or nationality field to the
// bureau that speaks for it. An empty bureau is a code that is known but that no bureau speaks
// for: persons without a state.
var issuers = func() map[string]Bureau {
	table := make(map[string]Bureau, 300)
	for _, code := range strings.Fields(isoCodes) {
		table[code] = Bureau(code)
	}
	// Doc 9303-3 section 5, part A: Germany writes one letter, and the classes of British
	// nationality have codes of their own, all issued by one state.
	table["D"] = "DEU"
	for _, code := range []string{"GBD", "GBN", "GBO", "GBP", "GBS"} {
		table[code] = "GBR"
	}
	// Part B: documents of the United Nations. UNA is a specialized agency's, UNK was issued by
	// the interim administration in Kosovo; the organisation answers for all three.
	for _, code := range []string{"UNO", "UNA", "UNK"} {
		table[code] = "UNO"
	}
	// Part C: other issuing authorities. XBA African Development Bank, XIM African
	// Export-Import Bank, XCC Caribbean Community, XCE Council of Europe, XCO Common Market for
	// Eastern and Southern Africa, XDC Southern African Development Community, XEC Economic
	// Community of West African States, XES Organization of Eastern Caribbean States, XMP
	// Parliamentary Assembly of the Mediterranean, XOM Sovereign Military Order of Malta, XPO
	// INTERPOL, EUE European Union. RKS is what Kosovo's documents carry.
	for _, code := range []string{"XBA", "XIM", "XCC", "XCE", "XCO", "XDC", "XEC", "XES", "XMP", "XOM", "XPO", "EUE", "RKS"} {
		table[code] = Bureau(code)
	}
	// UTO is Utopia, the state of Doc 9303's specimens. It is a bureau to itself, so that
	// specimens can be tried; it is in nobody's roster.
	table["UTO"] = "UTO"
	// Part D: XXA stateless, XXB refugee of the 1951 Convention, XXC other refugee, XXX
	// nationality not said. No bureau speaks for these persons, least of all that of the state
	// they fled from.
	for _, code := range []string{"XXA", "XXB", "XXC", "XXX"} {
		table[code] = ""
	}
	return table
}()

// BureauOfIssuer returns the bureau that speaks for an issuer as it stands in a machine
// readable zone, fillers and surrounding blanks aside: "D<<" is DEU, "GBN" is GBR, "UNA" is
// UNO. It says false for a code that is not known, and for those of persons without a state
// (XXA, XXB, XXC, XXX), whom no bureau speaks for.
func BureauOfIssuer(mrzCode string) (Bureau, bool) {
	b, known := issuers[trimCode(mrzCode)]
	return b, known && b != ""
}

// KnownCode tells whether a code may stand as nationality or issuer: ISO 3166-1 alpha-3, or
// Doc 9303-3 section 5 with its specimen state and its codes of persons without a state.
func KnownCode(code string) bool {
	_, known := issuers[trimCode(code)]
	return known
}

// trimCode removes the fillers that pad a shorter code to the three characters of its field.
// Case is not folded: a machine readable zone has capital letters only, and a reader that let
// "bel" pass would hide a bad transcription.
func trimCode(code string) string {
	return strings.TrimSpace(strings.TrimRight(strings.TrimSpace(code), "<"))
}
