package unlist

// The elements of the list (un_sc-sanctions.xsd). All are read as text: one that is not what
// the schema says must cost its own field, not the file.

// values is an element that holds VALUE elements.
type values struct {
	Values []string `xml:"VALUE"`
}

// subject is an INDIVIDUAL or an ENTITY; an entity has fewer of the elements.
type subject struct {
	DataID             string `xml:"DATAID"`
	FirstName          string `xml:"FIRST_NAME"`
	SecondName         string `xml:"SECOND_NAME"`
	ThirdName          string `xml:"THIRD_NAME"`
	FourthName         string `xml:"FOURTH_NAME"`
	ListType           string `xml:"UN_LIST_TYPE"`
	Reference          string `xml:"REFERENCE_NUMBER"`
	ListedOn           string `xml:"LISTED_ON"`
	Gender             string `xml:"GENDER"`
	OriginalScriptName string `xml:"NAME_ORIGINAL_SCRIPT"`
	Comments           string `xml:"COMMENTS1"`

	Titles        values `xml:"TITLE"`
	Designations  values `xml:"DESIGNATION"`
	Nationalities values `xml:"NATIONALITY"`
	LastUpdated   values `xml:"LAST_DAY_UPDATED"`

	Aliases         []alias        `xml:"INDIVIDUAL_ALIAS"`
	EntityAliases   []alias        `xml:"ENTITY_ALIAS"`
	Addresses       []address      `xml:"INDIVIDUAL_ADDRESS"`
	EntityAddresses []address      `xml:"ENTITY_ADDRESS"`
	BirthDates      []birthDate    `xml:"INDIVIDUAL_DATE_OF_BIRTH"`
	BirthPlaces     []address      `xml:"INDIVIDUAL_PLACE_OF_BIRTH"`
	Documents       []documentText `xml:"INDIVIDUAL_DOCUMENT"`
}

type alias struct {
	Quality        string `xml:"QUALITY"`
	Name           string `xml:"ALIAS_NAME"`
	BirthDate      string `xml:"DATE_OF_BIRTH"`
	CityOfBirth    string `xml:"CITY_OF_BIRTH"`
	CountryOfBirth string `xml:"COUNTRY_OF_BIRTH"`
	Note           string `xml:"NOTE"`
}

// address is also a place of birth.
type address struct {
	Street  string `xml:"STREET"`
	City    string `xml:"CITY"`
	State   string `xml:"STATE_PROVINCE"`
	Zip     string `xml:"ZIP_CODE"`
	Country string `xml:"COUNTRY"`
	Note    string `xml:"NOTE"`
}

type birthDate struct {
	Type     string `xml:"TYPE_OF_DATE"`
	Date     string `xml:"DATE"`
	Year     string `xml:"YEAR"`
	FromYear string `xml:"FROM_YEAR"`
	ToYear   string `xml:"TO_YEAR"`
	Note     string `xml:"NOTE"`
}

type documentText struct {
	Type           string `xml:"TYPE_OF_DOCUMENT"`
	Type2          string `xml:"TYPE_OF_DOCUMENT2"`
	Number         string `xml:"NUMBER"`
	IssuingCountry string `xml:"ISSUING_COUNTRY"`
	DateOfIssue    string `xml:"DATE_OF_ISSUE"`
	CityOfIssue    string `xml:"CITY_OF_ISSUE"`
	CountryOfIssue string `xml:"COUNTRY_OF_ISSUE"`
	Note           string `xml:"NOTE"`
}
