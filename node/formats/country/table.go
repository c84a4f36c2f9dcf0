package country

// table has a line for each code of ISO 3166-1: alpha-3, alpha-2, and the names, separated by
// semicolons: the usual one in English and in French, then the official, former and other ones
// that lists use. "Macedonia" and "Swaziland" are former names of the same states, and lists
// are not rewritten when a state is renamed.
const table = `
ABW AW Aruba
AFG AF Afghanistan; Islamic Republic of Afghanistan; Islamic Emirate of Afghanistan
AGO AO Angola
AIA AI Anguilla
ALA AX Åland Islands; Îles Åland; Aland Islands
ALB AL Albania; Albanie; Republic of Albania
AND AD Andorra; Andorre; Principality of Andorra
ARE AE United Arab Emirates; Émirats arabes unis; UAE; United Arab Emirates (the); Emirates
ARG AR Argentina; Argentine
ARM AM Armenia; Arménie; Republic of Armenia
ASM AS American Samoa; Samoa américaines
ATA AQ Antarctica; Antarctique
ATF TF French Southern Territories; Terres australes françaises; French Southern and Antarctic Lands
ATG AG Antigua & Barbuda; Antigua-et-Barbuda; Antigua and Barbuda
AUS AU Australia; Australie
AUT AT Austria; Autriche
AZE AZ Azerbaijan; Azerbaïdjan; Republic of Azerbaijan
BDI BI Burundi
BEL BE Belgium; Belgique; Kingdom of Belgium; Royaume de Belgique
BEN BJ Benin; Bénin
BES BQ Caribbean Netherlands; Pays-Bas caribéens; Bonaire, Sint Eustatius and Saba; Bonaire, Saint-Eustache et Saba
BFA BF Burkina Faso; Upper Volta
BGD BD Bangladesh; People's Republic of Bangladesh; Peoples Republic of Bangladesh
BGR BG Bulgaria; Bulgarie; Republic of Bulgaria
BHR BH Bahrain; Bahreïn; Kingdom of Bahrain
BHS BS Bahamas; The Bahamas; Commonwealth of the Bahamas
BIH BA Bosnia & Herzegovina; Bosnie-Herzégovine; Bosnia and Herzegovina; Bosnia-Herzegovina
BLM BL St. Barthélemy; Saint-Barthélemy; Saint Barthélemy
BLR BY Belarus; Biélorussie; Republic of Belarus; Bélarus; Byelorussia; Belorussia
BLZ BZ Belize
BMU BM Bermuda; Bermudes
BOL BO Bolivia; Bolivie; Bolivia (Plurinational State of); Plurinational State of Bolivia; Bolivie (État plurinational de)
BRA BR Brazil; Brésil
BRB BB Barbados; Barbade
BRN BN Brunei; Brunéi Darussalam; Brunei Darussalam; Brunéi
BTN BT Bhutan; Bhoutan
BVT BV Bouvet Island; Île Bouvet
BWA BW Botswana
CAF CF Central African Republic; République centrafricaine; CAR; Central African Rep.
CAN CA Canada
CCK CC Cocos (Keeling) Islands; Îles Cocos; Cocos Islands; Keeling Islands
CHE CH Switzerland; Suisse; Swiss Confederation; Confédération suisse
CHL CL Chile; Chili
CHN CN China; Chine; People's Republic of China; PRC; République populaire de Chine; Mainland China; China (PRC); PR China; P.R. China
CIV CI Côte d'Ivoire; Ivory Coast; Republic of Côte d'Ivoire
CMR CM Cameroon; Cameroun
COD CD Congo - Kinshasa; Congo-Kinshasa; Democratic Republic of the Congo; DRC; Congo (Kinshasa); République démocratique du Congo; RDC; Congo, Democratic Republic of the; Zaire; Congo, The Democratic Republic of the; Congo (DRC); DR Congo; D.R. Congo; Democratic Republic of Congo; Congo, Dem. Rep.
COG CG Congo - Brazzaville; Congo-Brazzaville; Congo; Republic of the Congo; Congo (Brazzaville); République du Congo; Congo, Republic of the; Republic of Congo; Congo, Rep.
COK CK Cook Islands; Îles Cook; Cook Islands (the)
COL CO Colombia; Colombie; Republic of Colombia
COM KM Comoros; Comores; Union of the Comoros
CPV CV Cape Verde; Cap-Vert; Cabo Verde; Cabo Verde (Cape Verde)
CRI CR Costa Rica
CUB CU Cuba; Republic of Cuba
CUW CW Curaçao; Curacao
CXR CX Christmas Island; Île Christmas
CYM KY Cayman Islands; Îles Caïmans
CYP CY Cyprus; Chypre; Republic of Cyprus
CZE CZ Czechia; Tchéquie; Czech Republic; République tchèque
DEU DE Germany; Allemagne; Federal Republic of Germany; République fédérale d'Allemagne
DJI DJ Djibouti
DMA DM Dominica; Dominique
DNK DK Denmark; Danemark; Kingdom of Denmark
DOM DO Dominican Republic; République dominicaine
DZA DZ Algeria; Algérie; People's Democratic Republic of Algeria
ECU EC Ecuador; Équateur
EGY EG Egypt; Égypte; Arab Republic of Egypt; République arabe d'Égypte; Egypt, Arab Rep.
ERI ER Eritrea; Érythrée; State of Eritrea
ESH EH Western Sahara; Sahara occidental; Sahrawi Arab Democratic Republic
ESP ES Spain; Espagne; Kingdom of Spain; Royaume d'Espagne
EST EE Estonia; Estonie; Republic of Estonia
ETH ET Ethiopia; Éthiopie; Federal Democratic Republic of Ethiopia
FIN FI Finland; Finlande
FJI FJ Fiji; Fidji
FLK FK Falkland Islands; Îles Malouines; Falkland Islands (Malvinas); Îles Falkland (Malvinas); Falkland Islands (Islas Malvinas)
FRA FR France; French Republic; République française
FRO FO Faroe Islands; Îles Féroé; Faeroe Islands; Îles Féroïennes
FSM FM Micronesia; États fédérés de Micronésie; Micronesia (Federated States of); Federated States of Micronesia; Micronésie (États fédérés de)
GAB GA Gabon
GBR GB United Kingdom; Royaume-Uni; United Kingdom of Great Britain and Northern Ireland; Great Britain; UK; U.K.; Royaume-Uni de Grande-Bretagne et d'Irlande du Nord; Grande-Bretagne; Britain; England; Scotland; Wales; Northern Ireland
GEO GE Georgia; Géorgie; Republic of Georgia
GGY GG Guernsey; Guernesey
GHA GH Ghana
GIB GI Gibraltar
GIN GN Guinea; Guinée; Republic of Guinea; Republic of Guinea
GLP GP Guadeloupe
GMB GM Gambia; Gambie; The Gambia; Republic of the Gambia
GNB GW Guinea-Bissau; Guinée-Bissau; Guinea Bissau; Republic of Guinea-Bissau
GNQ GQ Equatorial Guinea; Guinée équatoriale; Republic of Equatorial Guinea
GRC GR Greece; Grèce; Hellenic Republic
GRD GD Grenada; Grenade
GRL GL Greenland; Groenland
GTM GT Guatemala
GUF GF French Guiana; Guyane française
GUM GU Guam
GUY GY Guyana
HKG HK Hong Kong SAR China; R.A.S. chinoise de Hong Kong; Hong Kong; China, Hong Kong Special Administrative Region; Hong Kong Special Administrative Region; Chine, région administrative spéciale de Hong Kong; Hong Kong, China; Hong Kong SAR
HMD HM Heard & McDonald Islands; Îles Heard et McDonald; Heard Island and McDonald Islands
HND HN Honduras
HRV HR Croatia; Croatie; Republic of Croatia
HTI HT Haiti; Haïti; Republic of Haiti
HUN HU Hungary; Hongrie; Republic of Hungary
IDN ID Indonesia; Indonésie; Republic of Indonesia
IMN IM Isle of Man; Île de Man
IND IN India; Inde; Republic of India
IOT IO British Indian Ocean Territory; Territoire britannique de l'océan Indien; British Indian Ocean Territory (the)
IRL IE Ireland; Irlande; Republic of Ireland; Eire
IRN IR Iran; Iran (Islamic Republic of); Islamic Republic of Iran; Iran (République islamique d'); République islamique d'Iran; Persia
IRQ IQ Iraq; Irak; Republic of Iraq
ISL IS Iceland; Islande
ISR IL Israel; Israël; State of Israel
ITA IT Italy; Italie; Italian Republic
JAM JM Jamaica; Jamaïque
JEY JE Jersey
JOR JO Jordan; Jordanie; Hashemite Kingdom of Jordan
JPN JP Japan; Japon
KAZ KZ Kazakhstan; Republic of Kazakhstan; Kazakstan
KEN KE Kenya; Republic of Kenya
KGZ KG Kyrgyzstan; Kirghizistan; Kyrgyz Republic; Kirghizstan; Kirghizia; Kirgizia
KHM KH Cambodia; Cambodge
KIR KI Kiribati
KNA KN St. Kitts & Nevis; Saint-Christophe-et-Niévès; Saint Kitts and Nevis; Saint-Kitts-et-Nevis
KOR KR South Korea; Corée du Sud; Republic of Korea; République de Corée; Korea, Republic of; Korea, South; Korea (the Republic of); Korea, Rep.; ROK
KWT KW Kuwait; Koweït; State of Kuwait
LAO LA Laos; Lao People's Democratic Republic; République démocratique populaire lao; Lao PDR
LBN LB Lebanon; Liban; Lebanese Republic
LBR LR Liberia; Libéria
LBY LY Libya; Libye; State of Libya; Libyan Arab Jamahiriya; Jamahiriya arabe libyenne; Socialist People's Libyan Arab Jamahiriya
LCA LC St. Lucia; Sainte-Lucie; Saint Lucia
LIE LI Liechtenstein; Principality of Liechtenstein
LKA LK Sri Lanka; Democratic Socialist Republic of Sri Lanka; Ceylon
LSO LS Lesotho
LTU LT Lithuania; Lituanie; Republic of Lithuania
LUX LU Luxembourg
LVA LV Latvia; Lettonie; Republic of Latvia
MAC MO Macau SAR China; R.A.S. chinoise de Macao; Macao; Macau; China, Macao Special Administrative Region; Chine, région administrative spéciale de Macao; Macao SAR; Macau SAR
MAF MF St. Martin; Saint-Martin; Saint Martin; Saint Martin (French part); Saint-Martin (partie française)
MAR MA Morocco; Maroc; Kingdom of Morocco; Royaume du Maroc
MCO MC Monaco; Principality of Monaco
MDA MD Moldova; Moldavie; Republic of Moldova; Moldova, Republic of; République de Moldova
MDG MG Madagascar; Republic of Madagascar
MDV MV Maldives
MEX MX Mexico; Mexique; United Mexican States
MHL MH Marshall Islands; Îles Marshall; Republic of the Marshall Islands
MKD MK North Macedonia; Macédoine du Nord; Macedonia; Macédoine; Republic of North Macedonia; The former Yugoslav Republic of Macedonia; FYROM; Macedonia, FYR; Macedonia, the former Yugoslav Republic of
MLI ML Mali; Republic of Mali
MLT MT Malta; Malte
MMR MM Myanmar (Burma); Myanmar (Birmanie); Myanmar; Burma; Birmanie; Union of Myanmar; Burma (Myanmar)
MNE ME Montenegro; Monténégro
MNG MN Mongolia; Mongolie; Mongolian People's Republic
MNP MP Northern Mariana Islands; Îles Mariannes du Nord
MOZ MZ Mozambique
MRT MR Mauritania; Mauritanie; Islamic Republic of Mauritania
MSR MS Montserrat
MTQ MQ Martinique
MUS MU Mauritius; Maurice; Île Maurice
MWI MW Malawi
MYS MY Malaysia; Malaisie; Federation of Malaysia
MYT YT Mayotte
NAM NA Namibia; Namibie
NCL NC New Caledonia; Nouvelle-Calédonie
NER NE Niger; Republic of the Niger
NFK NF Norfolk Island; Île Norfolk
NGA NG Nigeria; Nigéria; Federal Republic of Nigeria
NIC NI Nicaragua; Republic of Nicaragua
NIU NU Niue
NLD NL Netherlands; Pays-Bas; The Netherlands; Kingdom of the Netherlands; Holland; Netherlands (Kingdom of the)
NOR NO Norway; Norvège; Kingdom of Norway
NPL NP Nepal; Népal
NRU NR Nauru
NZL NZ New Zealand; Nouvelle-Zélande
OMN OM Oman; Sultanate of Oman
PAK PK Pakistan; Islamic Republic of Pakistan
PAN PA Panama
PCN PN Pitcairn Islands; Îles Pitcairn; Pitcairn
PER PE Peru; Pérou
PHL PH Philippines; Republic of the Philippines
PLW PW Palau; Palaos
PNG PG Papua New Guinea; Papouasie-Nouvelle-Guinée
POL PL Poland; Pologne; Republic of Poland
PRI PR Puerto Rico; Porto Rico
PRK KP North Korea; Corée du Nord; Democratic People's Republic of Korea; DPRK; D.P.R. Korea; République populaire démocratique de Corée; RPDC; Korea, Democratic People's Republic of; Korea, North; Korea (the Democratic People's Republic of); Korea, DPR; Korea, Dem. People's Rep.; DPR of Korea
PRT PT Portugal; Portuguese Republic
PRY PY Paraguay
PSE PS Palestinian Territories; Territoires palestiniens; State of Palestine; Palestine; Palestine, State of; État de Palestine; Occupied Palestinian Territory; Territoire palestinien occupé; Palestinian; Palestinian Territory; Palestinian Territory, Occupied; West Bank and Gaza; Gaza; West Bank
PYF PF French Polynesia; Polynésie française
QAT QA Qatar; State of Qatar
REU RE Réunion; La Réunion; Reunion
ROU RO Romania; Roumanie; Roumania
RUS RU Russia; Russie; Russian Federation; Fédération de Russie
RWA RW Rwanda; Republic of Rwanda
SAU SA Saudi Arabia; Arabie saoudite; Kingdom of Saudi Arabia; KSA
SDN SD Sudan; Soudan; Republic of the Sudan; The Sudan
SEN SN Senegal; Sénégal; Republic of Senegal
SGP SG Singapore; Singapour
SGS GS South Georgia & South Sandwich Islands; Géorgie du Sud et îles Sandwich du Sud; South Georgia and the South Sandwich Islands
SHN SH St. Helena; Sainte-Hélène; Saint Helena; Saint Helena, Ascension and Tristan da Cunha
SJM SJ Svalbard & Jan Mayen; Svalbard et Jan Mayen; Svalbard and Jan Mayen; Svalbard and Jan Mayen Islands
SLB SB Solomon Islands; Îles Salomon
SLE SL Sierra Leone
SLV SV El Salvador; Salvador
SMR SM San Marino; Saint-Marin
SOM SO Somalia; Somalie; Federal Republic of Somalia; Somali Republic
SPM PM St. Pierre & Miquelon; Saint-Pierre-et-Miquelon; Saint Pierre and Miquelon
SRB RS Serbia; Serbie; Republic of Serbia
SSD SS South Sudan; Soudan du Sud; Republic of South Sudan; S. Sudan
STP ST São Tomé & Príncipe; Sao Tomé-et-Principe; Sao Tome and Principe; Sao Tomé-et-Príncipe
SUR SR Suriname
SVK SK Slovakia; Slovaquie; Slovak Republic; République slovaque
SVN SI Slovenia; Slovénie; Republic of Slovenia
SWE SE Sweden; Suède; Kingdom of Sweden
SWZ SZ Eswatini; Swaziland; Kingdom of Eswatini
SXM SX Sint Maarten; Saint-Martin (partie néerlandaise); Sint Maarten (Dutch part)
SYC SC Seychelles
SYR SY Syria; Syrie; Syrian Arab Republic; République arabe syrienne
TCA TC Turks & Caicos Islands; Îles Turques-et-Caïques; Turks and Caicos Islands
TCD TD Chad; Tchad; Republic of Chad
TGO TG Togo
THA TH Thailand; Thaïlande; Kingdom of Thailand
TJK TJ Tajikistan; Tadjikistan; Republic of Tajikistan
TKL TK Tokelau; Tokélaou
TKM TM Turkmenistan; Turkménistan; Republic of Turkmenistan
TLS TL Timor-Leste; Timor oriental; East Timor
TON TO Tonga
TTO TT Trinidad & Tobago; Trinité-et-Tobago; Trinidad and Tobago; Republic of Trinidad and Tobago
TUN TN Tunisia; Tunisie; Republic of Tunisia; Tunisian Republic
TUR TR Türkiye; Turkey; Turquie; Republic of Türkiye; Republic of Turkey; Turquie (Türkiye)
TUV TV Tuvalu
TWN TW Taiwan; Taïwan; Taiwan, Province of China; Chinese Taipei; Taiwan, China
TZA TZ Tanzania; Tanzanie; United Republic of Tanzania; Tanzania, United Republic of; République-Unie de Tanzanie
UGA UG Uganda; Ouganda; Republic of Uganda
UKR UA Ukraine; Republic of Ukraine
UMI UM U.S. Outlying Islands; Îles mineures éloignées des États-Unis; United States Minor Outlying Islands
URY UY Uruguay
USA US United States; États-Unis; United States of America; USA; U.S.A.; US; U.S.; États-Unis d'Amérique; America
UZB UZ Uzbekistan; Ouzbékistan; Republic of Uzbekistan
VAT VA Vatican City; État de la Cité du Vatican; Holy See; Saint-Siège; Vatican; Vatican City State; Holy See (Vatican City State)
VCT VC St. Vincent & Grenadines; Saint-Vincent-et-les-Grenadines; Saint Vincent and the Grenadines
VEN VE Venezuela; Venezuela (Bolivarian Republic of); Bolivarian Republic of Venezuela; Venezuela (République bolivarienne du); Venezuela, RB
VGB VG British Virgin Islands; Îles Vierges britanniques; Virgin Islands (British); Virgin Islands, British
VIR VI U.S. Virgin Islands; Îles Vierges des États-Unis; United States Virgin Islands; Virgin Islands (U.S.); Virgin Islands, U.S.
VNM VN Vietnam; Viet Nam; Socialist Republic of Viet Nam
VUT VU Vanuatu
WLF WF Wallis & Futuna; Wallis-et-Futuna; Wallis and Futuna; Wallis and Futuna Islands
WSM WS Samoa; Western Samoa
YEM YE Yemen; Yémen; Republic of Yemen; République du Yémen; Yemen, Rep.; Republic of Yemen
ZAF ZA South Africa; Afrique du Sud; Republic of South Africa; RSA
ZMB ZM Zambia; Zambie
ZWE ZW Zimbabwe
`
